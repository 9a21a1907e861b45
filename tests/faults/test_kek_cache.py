"""KEKs that stay loaded: how long, how many, and that they go when they must."""

import secrets
import threading
from dataclasses import replace

import pytest

from hsm_adapter import HsmToken, KekCacheLimits, KekToUse, RejectedInputError
from hsm_adapter.constants import Attribute, Rv
from hsm_adapter.structures import Template
from tests.support.keks import Used

MAIN = secrets.token_bytes(16)


@pytest.fixture
def few(settings, shim):
    """A token of one session, in which two KEKs stay loaded."""
    with HsmToken.open(replace(settings, sessions=2, keks=KekCacheLimits(keks=2))) as token:
        token.generate_main_key(MAIN)
        yield token
        shim.heal()


def made(token: HsmToken, context: bytes, tenant: str = "acme") -> KekToUse:
    return Used(token, MAIN, token.create_kek(MAIN, context), context, tenant).kek


def works(token: HsmToken, kek: KekToUse) -> bool:
    def work(keks):
        return keks.decrypt(kek, keks.encrypt(kek, b"content key", b"aad"), b"aad")

    return token.with_keks(work, first=kek) == b"content key"


def objects(token: HsmToken) -> int:
    """How many session objects the token has."""
    wanted = Template({Attribute.TOKEN: False})
    return token._recovery.run(lambda s: len(token._cryptoki.find_objects(s.handle, wanted, 1000)))


def test_a_kek_is_loaded_once(few, shim):
    kek = made(few, b"one")
    before = shim.count("C_UnwrapKey")
    for _ in range(5):
        assert works(few, kek)
    assert shim.count("C_UnwrapKey") == before + 1
    assert (few.kek_statistics.loads, few.kek_statistics.loaded) == (1, 1)


def test_a_bad_input_leaves_every_kek_loaded(few, shim):
    one, other = made(few, b"one"), made(few, b"other")
    assert works(few, one)
    assert works(few, other)
    before = shim.count("C_UnwrapKey")

    def work(keks):
        sealed = keks.encrypt(one, b"x", b"")
        for _ in range(3):
            with pytest.raises(RejectedInputError):
                keks.decrypt(one, sealed, b"other data")
        return keks.decrypt(one, sealed, b"")

    assert few.with_keks(work, first=one) == b"x"
    assert works(few, other)
    assert shim.count("C_UnwrapKey") == before


def test_an_error_of_the_caller_leaves_every_kek_loaded(few, shim):
    kek = made(few, b"one")
    assert works(few, kek)
    before = shim.count("C_UnwrapKey")
    with pytest.raises(LookupError):
        few.with_keks(lambda _: {}["nothing"], first=kek)
    assert works(few, kek)
    assert shim.count("C_UnwrapKey") == before


def test_the_least_recently_used_goes_first(few, shim):
    one, two, three = (made(few, b"%d" % number) for number in range(3))
    for kek in (one, two, one, three):
        assert works(few, kek)
    before = shim.count("C_UnwrapKey")
    assert works(few, one)
    assert shim.count("C_UnwrapKey") == before
    assert works(few, two)
    assert shim.count("C_UnwrapKey") == before + 1
    assert (few.kek_statistics.loaded, objects(few)) == (2, 2)


def test_a_kek_of_another_stamp_takes_the_place_of_the_old_one(few):
    kek = made(few, b"one")
    assert works(few, kek)
    assert works(few, replace(kek, stamp=kek.stamp + 10_000))
    assert (few.kek_statistics.loads, objects(few)) == (2, 1)


def test_a_tenants_keks_are_unloaded_together(few):
    mine, theirs = made(few, b"mine"), made(few, b"theirs", "globex")
    assert works(few, mine)
    assert works(few, theirs)
    few.unload_keks(frozenset({"acme"}))
    assert objects(few) == 1
    few.unload_keks(frozenset({"acme", "globex"}))
    assert objects(few) == 0


def test_a_kek_in_use_is_unloaded_when_its_use_ends(few):
    kek = made(few, b"one")

    def work(keks):
        sealed = keks.encrypt(kek, b"x", b"")
        elsewhere = threading.Thread(target=few.unload_keks, args=(frozenset({"acme"}),))
        elsewhere.start()
        elsewhere.join()
        return keks.decrypt(kek, sealed, b"")

    assert few.with_keks(work, first=kek) == b"x"
    assert (objects(few), few.kek_statistics.loaded) == (0, 0)


def test_a_kek_is_loaded_anew_when_its_time_is_over(settings, shim):
    with HsmToken.open(replace(settings, keks=KekCacheLimits(lifetime=1e-9))) as token:
        token.generate_main_key(MAIN)
        kek = made(token, b"one")
        assert works(token, kek)
        assert works(token, kek)
        assert token.kek_statistics.hits == 0
        token.unload_keks()
        assert objects(token) == 0


@pytest.mark.parametrize(
    "rv", [Rv.KEY_HANDLE_INVALID, Rv.SESSION_HANDLE_INVALID, Rv.DEVICE_ERROR, Rv.USER_NOT_LOGGED_IN]
)
def test_a_loaded_kek_that_is_lost_is_loaded_again(few, shim, rv):
    kek = made(few, b"one")
    assert works(few, kek)
    shim.fail("C_DecryptInit", rv)
    assert works(few, kek)
    assert few.kek_statistics.loads == 2
    assert objects(few) == 1


def test_nothing_that_was_loaded_outlives_a_restart_of_the_module(few):
    kek, other = made(few, b"one"), made(few, b"other")
    assert works(few, kek)
    module = few._recovery._module
    module.restart(module.generation)
    # What is loaded first now may well have the old handle's number.
    assert works(few, other)
    assert works(few, kek)
    assert (few.kek_statistics.loads, few.kek_statistics.loaded) == (3, 2)


def test_sessions_that_take_turns_share_what_is_loaded(settings, shim):
    with HsmToken.open(replace(settings, sessions=4)) as token:
        token.generate_main_key(MAIN)
        keks = [made(token, b"%d" % number) for number in range(4)]
        barrier = threading.Barrier(4)

        def held(kek):
            token.with_keks(lambda used: (used.encrypt(kek, b"", b""), barrier.wait(10)), first=kek)

        threads = [threading.Thread(target=held, args=(kek,)) for kek in keks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        loads = token.kek_statistics.loads
        for kek in keks * 3:
            assert works(token, kek)
        assert token.kek_statistics.loads == loads == 4
