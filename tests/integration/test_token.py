"""What the service asks of a token, on a real SoftHSM2."""

import secrets
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm_adapter import (
    HsmError,
    KekBindingError,
    KekRejectedError,
    ObjectMissingError,
    RejectedInputError,
    Role,
    SignatureAlgorithm,
    WrappedKek,
)
from hsm_adapter.constants import Attribute
from hsm_adapter.structures import Template
from tests.support.crypto import WRONG_PADDINGS, encrypt, fingerprint, openssl_encrypt, public_key
from tests.support.keks import Used


def new_id():
    return secrets.token_bytes(16)


@pytest.fixture(scope="module")
def wrapping(token):
    """A wrapping key: its id and public half. The adapter itself does not use it up."""
    wrapping_id = new_id()
    return wrapping_id, token.create_wrapping_key(wrapping_id, modulus_bits=2048)


@pytest.fixture(scope="module")
def main_key(token, wrapping):
    """A main key whose value the test knows: its id and value."""
    value, main_id = secrets.token_bytes(32), new_id()
    token.unwrap_main_key(main_id, wrapping[0], encrypt(wrapping[1], value))
    return main_id, value


def test_an_upload_made_by_the_openssl_command_line_is_unwrapped(token, wrapping, tmp_path):

    value = secrets.token_bytes(32)
    pem = public_key(wrapping[1]).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    encrypted = openssl_encrypt(tmp_path, pem, value)
    assert token.examine_main_key(wrapping[0], encrypted) == fingerprint(value)
    main_id = new_id()
    assert token.unwrap_main_key(main_id, wrapping[0], encrypted).fingerprint == fingerprint(value)
    assert token.report_main_key(main_id).fingerprint == fingerprint(value)


@pytest.mark.parametrize("scheme", WRONG_PADDINGS)
def test_another_padding_is_refused_and_leaves_nothing(token, wrapping, count_objects, scheme):
    before = count_objects()
    encrypted = encrypt(wrapping[1], secrets.token_bytes(32), WRONG_PADDINGS[scheme])
    with pytest.raises(RejectedInputError):
        token.examine_main_key(wrapping[0], encrypted)
    with pytest.raises(RejectedInputError):
        token.unwrap_main_key(new_id(), wrapping[0], encrypted)
    assert count_objects() == before


@pytest.mark.parametrize("size", [0, 1, 15, 16, 24, 31, 33, 64, 190])
def test_a_key_of_another_length_is_refused_and_leaves_nothing(token, wrapping, count_objects, size):
    before = count_objects()
    encrypted = encrypt(wrapping[1], secrets.token_bytes(size))
    with pytest.raises(RejectedInputError):
        token.examine_main_key(wrapping[0], encrypted)
    with pytest.raises(RejectedInputError):
        token.unwrap_main_key(new_id(), wrapping[0], encrypted)
    assert count_objects() == before


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 2**20])
def test_random_bytes_are_refused(token, wrapping, size):
    with pytest.raises(RejectedInputError):
        token.examine_main_key(wrapping[0], secrets.token_bytes(size))


def test_an_object_that_does_not_exist_is_missing(token, main_key):
    with pytest.raises(ObjectMissingError):
        token.report_main_key(new_id())
    with pytest.raises(ObjectMissingError):
        token.create_kek(new_id(), b"")
    with pytest.raises(ObjectMissingError):
        token.examine_main_key(new_id(), bytes(256))
    # The id of a main key is not that of a wrapping key.
    with pytest.raises(ObjectMissingError):
        token.wrapping_public_key(main_key[0])


def test_what_is_destroyed_is_gone_and_destroying_again_is_no_error(token):
    main_id = new_id()
    token.generate_main_key(main_id)
    token.destroy(Role.MAIN_KEY, main_id)
    token.destroy(Role.MAIN_KEY, main_id)
    with pytest.raises(ObjectMissingError):
        token.report_main_key(main_id)


def test_making_a_key_again_under_its_id_leaves_one(token, count_objects):
    main_id = new_id()
    first = token.generate_main_key(main_id).fingerprint
    before = count_objects()
    assert token.generate_main_key(main_id).fingerprint != first
    assert count_objects() == before
    token.destroy(Role.MAIN_KEY, main_id)


def test_a_wrapping_key_keeps_its_public_half(token, wrapping):
    assert token.wrapping_public_key(wrapping[0]) == wrapping[1]
    assert public_key(wrapping[1]).public_numbers().e == 65537


@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_an_audit_key_signs_as_openssl_verifies_and_does_nothing_else(token, tmp_path, count_objects, algorithm):
    before, audit_id = count_objects(), new_id()
    der = token.audit_keys.create(audit_id, algorithm)
    for name, content in (
        ("key.der", der),
        ("signed", b"a message"),
        ("sig", token.audit_keys.sign(audit_id, algorithm, b"a message")),
    ):
        (tmp_path / name).write_bytes(content)
    verify = ["openssl", "dgst", "-sha256", "-verify", "key.der", "-keyform", "DER", "-signature", "sig"]
    if algorithm is SignatureAlgorithm.RSA_PSS_3072_SHA256:
        verify += ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]
    told = subprocess.run([*verify, "signed"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.stdout == "Verified OK\n", told
    (tmp_path / "signed").write_bytes(b"another message")
    assert subprocess.run([*verify, "signed"], cwd=tmp_path, capture_output=True, check=False).returncode == 1
    with pytest.raises(HsmError):
        token.audit_keys.sign(audit_id, next(it for it in SignatureAlgorithm if it is not algorithm), b"a message")
    with pytest.raises(ObjectMissingError):
        token.examine_main_key(audit_id, bytes(384))
    assert count_objects() == before + 1
    token.destroy(Role.AUDIT_KEY, audit_id)
    with pytest.raises(ObjectMissingError):
        token.audit_keys.sign(audit_id, algorithm, b"a message")
    assert count_objects() == before


def test_a_kek_is_what_the_standards_say(token, main_key):
    main_id, value = main_key
    kek = token.create_kek(main_id, b"context")
    clear = keywrap.aes_key_unwrap(value, kek.wrapped)
    assert AESGCM(clear).decrypt(kek.binding[:12], kek.binding[12:], b"context") == b""
    in_use = Used(token, main_id, kek, b"context")
    sealed = in_use.encrypt(b"content key", b"data")
    assert AESGCM(clear).decrypt(sealed[:12], sealed[12:], b"data") == b"content key"
    assert in_use.decrypt(sealed, b"data") == b"content key"


def test_a_bad_ciphertext_does_not_spoil_the_next_one(token, main_key):
    kek = token.create_kek(main_key[0], b"")
    in_use = Used(token, main_key[0], kek, b"")
    sealed = in_use.encrypt(b"content key", b"")
    for place in (0, 12, len(sealed) - 1):
        bad = bytearray(sealed)
        bad[place] ^= 1
        with pytest.raises(RejectedInputError):
            in_use.decrypt(bytes(bad), b"")
        assert in_use.decrypt(sealed, b"") == b"content key"
    for size in (0, 11, 27):
        with pytest.raises(RejectedInputError):
            in_use.decrypt(sealed[:size], b"")
    with pytest.raises(RejectedInputError):
        in_use.decrypt(sealed, b"other data")


def test_a_kek_in_another_place_is_refused(token, main_key):
    kek = token.create_kek(main_key[0], b"mine")
    other = token.create_kek(main_key[0], b"other")
    with pytest.raises(KekBindingError):
        Used(token, main_key[0], kek, b"other").load()
    with pytest.raises(KekBindingError):
        Used(token, main_key[0], WrappedKek(other.wrapped, kek.binding), b"mine").load()


def test_a_kek_that_was_changed_is_refused(token, main_key):
    kek = token.create_kek(main_key[0], b"")
    changed = bytearray(kek.wrapped)
    changed[5] ^= 1
    for wrapped in (bytes(changed), kek.wrapped[:-8], kek.wrapped + bytes(8), b""):
        with pytest.raises(KekRejectedError):
            Used(token, main_key[0], WrappedKek(wrapped, kek.binding), b"").load()


def test_a_kek_does_not_unwrap_under_another_main_key(token, main_key):
    other = new_id()
    token.generate_main_key(other)
    kek = token.create_kek(main_key[0], b"")
    with pytest.raises(KekRejectedError):
        Used(token, other, kek, b"").load()


def test_rewrapping_keeps_keks_and_names_the_bad_ones(token, main_key):
    new = new_id()
    token.generate_main_key(new)
    good = [token.create_kek(main_key[0], b"%d" % number) for number in range(5)]
    in_use = Used(token, main_key[0], good[0], b"0")
    sealed = in_use.encrypt(b"content key", b"")
    batch = [(kek, b"%d" % number) for number, kek in enumerate(good)]
    batch[2:2] = [
        (WrappedKek(bytes(40), good[0].binding), b"damaged"),
        (good[1], b"in another place"),
        (WrappedKek(b"short", good[0].binding), b"0"),
    ]
    results = token.rewrap_keks(main_key[0], new, batch)
    assert [type(result) for result in results[2:5]] == [RejectedInputError, KekBindingError, RejectedInputError]
    moved = [result for result in results if isinstance(result, bytes)]
    assert len(moved) == 5
    in_use = Used(token, new, WrappedKek(moved[0], good[0].binding), b"0")
    assert in_use.decrypt(sealed, b"") == b"content key"


def test_rewrapping_to_or_from_a_missing_key_fails_as_a_whole(token, main_key):
    kek = token.create_kek(main_key[0], b"")
    for old, new in ((new_id(), main_key[0]), (main_key[0], new_id())):
        with pytest.raises(ObjectMissingError):
            token.rewrap_keks(old, new, [(kek, b"")])


def test_many_threads_get_right_answers(token, main_key):
    keks = [token.create_kek(main_key[0], b"%d" % number) for number in range(8)]

    def work(number):
        for turn in range(100):
            plaintext = secrets.token_bytes(32)
            place = (number + turn) % len(keks)
            in_use = Used(token, main_key[0], keks[place], b"%d" % place)
            assert in_use.decrypt(in_use.encrypt(plaintext, b"aad"), b"aad") == plaintext
        return number

    with ThreadPoolExecutor(16) as threads:
        assert sorted(threads.map(work, range(16))) == list(range(16))


def test_no_session_object_stays_behind(token, main_key):
    def session_objects():
        template = Template({Attribute.TOKEN: False})
        return token._recovery.run(lambda s: len(token._cryptoki.find_objects(s.handle, template, 1000)))

    kek = token.create_kek(main_key[0], b"")
    token.unload_keks(frozenset({"acme"}))
    before = session_objects()
    for _ in range(10):
        token.create_kek(main_key[0], b"")
        token.rewrap_keks(main_key[0], main_key[0], [(kek, b""), (kek, b"wrong place")])
        in_use = Used(token, main_key[0], kek, b"")
        in_use.encrypt(b"", b"")
        with pytest.raises(KekBindingError):
            Used(token, main_key[0], kek, b"wrong place").load()
        token.check()
    assert token.kek_statistics.loaded == 1
    token.unload_keks(frozenset({"acme"}))
    assert token.kek_statistics.loaded == 0
    assert session_objects() == before


def test_calls_are_counted_by_function_and_return_value(token, main_key):
    context = b"counted"
    kek = token.create_kek(main_key[0], context)

    def counted(function, result):
        return token.statistics().calls.get((function, result), 0)

    in_use = Used(token, main_key[0], kek, context)
    sealed = in_use.encrypt(b"x" * 32, b"")
    before = token.statistics()
    for _ in range(3):
        in_use.decrypt(sealed, b"")
    assert counted("C_Decrypt", "CKR_OK") == before.calls["C_Decrypt", "CKR_OK"] + 3
    with pytest.raises(RejectedInputError):
        in_use.decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1]), b"")
    after = token.statistics()
    refusals = {
        result: count - before.calls.get((function, result), 0)
        for (function, result), count in after.calls.items()
        if function == "C_Decrypt" and result != "CKR_OK"
    }
    assert list(refusals.values()) == [1]
    assert after.seconds["C_Decrypt"] > before.seconds["C_Decrypt"]
    assert after.seconds.keys() == {function for function, _ in after.calls}


def test_sessions_are_counted_while_they_are_leased(token):
    token.random(1)
    (before, idle) = (token.statistics().sessions_in_use, token.statistics().sessions_idle)
    assert before == 0
    assert idle >= 1
    with token._pool.lease():
        assert (token.statistics().sessions_in_use, token.statistics().sessions_idle) == (1, idle - 1)
    assert (token.statistics().sessions_in_use, token.statistics().sessions_idle) == (0, idle)


def test_calls_of_many_threads_are_all_counted(token):
    before = token.statistics().calls["C_GenerateRandom", "CKR_OK"]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: token.random(1), range(2000)))
    assert token.statistics().calls["C_GenerateRandom", "CKR_OK"] == before + 2000
