"""What each return value leads to, on a real token behind a shim that answers it."""

import secrets

import pytest

from hsm_adapter import (
    HsmAuthenticationError,
    HsmCapacityError,
    HsmPolicyError,
    HsmReadOnlyError,
    HsmUnavailableError,
    KekRejectedError,
    ObjectMissingError,
    probe,
)
from hsm_adapter.constants import Rv
from hsm_adapter.return_values import FAULTS, Fault
from tests.support.crypto import encrypt, fingerprint
from tests.support.keks import Used

MAIN = secrets.token_bytes(16)
VENDOR = 0x80000123


def of(*faults):
    return [rv for rv, fault in FAULTS.items() if fault in faults]


@pytest.fixture
def kek(token):
    token.generate_main_key(MAIN)
    return token.create_kek(MAIN, b"context")


def works(token, kek):
    in_use = Used(token, MAIN, kek, b"context")
    return in_use.decrypt(in_use.encrypt(b"content key", b""), b"") == b"content key"


@pytest.mark.parametrize("rv", [*of(Fault.SESSION, Fault.LOGIN, Fault.HANDLE, Fault.TOKEN), VENDOR])
def test_a_fault_that_passes_is_not_noticed(token, kek, shim, rv):
    shim.fail("C_UnwrapKey", rv)
    assert works(token, kek)
    assert shim.used_up()


@pytest.mark.parametrize("rv", [*of(Fault.TOKEN), VENDOR])
def test_a_fault_of_the_token_that_lasts_is_told_and_not_repeated_for_ever(token, kek, shim, rv):
    before = shim.count("C_UnwrapKey")
    shim.fail("C_UnwrapKey", rv, times=99)
    with pytest.raises(HsmUnavailableError):
        works(token, kek)
    assert shim.count("C_UnwrapKey") - before == 3  # As it was, after a login, after a restart.
    shim.heal()
    assert works(token, kek)


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ((Fault.CAPACITY,), HsmCapacityError),
        ((Fault.AUTH,), HsmAuthenticationError),
        ((Fault.WRITE,), HsmReadOnlyError),
        ((Fault.CALLER,), KekRejectedError),
    ],
)
def test_a_fault_that_a_repeat_cannot_mend_is_told_at_once(token, kek, shim, faults, error):
    for rv in of(*faults):
        before = shim.count("C_UnwrapKey")
        shim.fail("C_UnwrapKey", rv)
        with pytest.raises(error):
            works(token, kek)
        assert shim.count("C_UnwrapKey") - before == 1
    assert works(token, kek)


def test_what_the_token_may_not_do_is_a_policy_error(token, kek, shim):
    for rv in (Rv.KEY_FUNCTION_NOT_PERMITTED, Rv.ACTION_PROHIBITED, Rv.TEMPLATE_INCONSISTENT, Rv.MECHANISM_INVALID):
        shim.fail("C_UnwrapKey", rv)
        with pytest.raises(HsmPolicyError):
            works(token, kek)


@pytest.mark.parametrize("rv", of(Fault.AMBIGUOUS))
def test_an_ambiguous_answer_is_the_inputs_fault_while_the_canary_lives(token, kek, shim, rv):
    initialized = shim.count("C_Initialize")
    shim.fail("C_UnwrapKey", rv)
    with pytest.raises(KekRejectedError):
        works(token, kek)
    assert shim.count("C_Initialize") == initialized  # Garbage from a caller restarts nothing.
    assert works(token, kek)


@pytest.mark.parametrize("rv", of(Fault.AMBIGUOUS))
def test_an_ambiguous_answer_is_the_tokens_fault_when_the_canary_dies(token, kek, shim, rv):
    shim.fail("C_UnwrapKey", rv, times=99)
    with pytest.raises(HsmUnavailableError):
        works(token, kek)
    shim.heal()
    assert works(token, kek)


@pytest.mark.parametrize(
    "function", ["C_OpenSession", "C_GenerateRandom", "C_FindObjectsInit", "C_Decrypt", "C_GetAttributeValue"]
)
def test_a_lost_session_is_replaced_wherever_it_is_noticed(token, kek, shim, function):
    shim.fail(function, Rv.SESSION_HANDLE_INVALID)
    token.random(8)
    token.report_main_key(MAIN)
    assert works(token, kek)


def test_a_lost_reply_to_making_a_key_leaves_one_key(token, shim):
    wrapping, main = secrets.token_bytes(16), secrets.token_bytes(16)
    value = secrets.token_bytes(32)
    shim.fail("C_GenerateKeyPair", Rv.DEVICE_ERROR, when="after")
    public = token.create_wrapping_key(wrapping, modulus_bits=2048)
    shim.fail("C_UnwrapKey", Rv.DEVICE_ERROR, when="after")
    # Two objects of one id would be refused when they are looked for.
    assert token.unwrap_main_key(main, wrapping, encrypt(public, value)).fingerprint == fingerprint(value)
    assert token.wrapping_public_key(wrapping) == public
    assert token.report_main_key(main).fingerprint == fingerprint(value)
    assert shim.used_up()


def test_logged_out_is_not_taken_for_missing(token, kek, shim):
    token._objects.forget()
    with token._pool.lease() as session:
        token._cryptoki.logout(session.handle)
    assert works(token, kek)


def test_nothing_found_while_the_login_cannot_be_proven_is_no_absence(token, kek, shim):
    token._objects.forget()
    shim.fail("C_GetSessionInfo", Rv.DEVICE_ERROR, times=99)
    shim.fail("C_FindObjects", Rv.OK, times=99)
    with pytest.raises(HsmUnavailableError):
        token.report_main_key(MAIN)


def test_an_absent_key_is_looked_for_once_more_after_a_restart_and_not_each_time(token, shim):
    before = shim.count("C_Initialize")
    for _ in range(3):
        with pytest.raises(ObjectMissingError):
            token.report_main_key(secrets.token_bytes(16))
    assert shim.count("C_Initialize") == before + 1


def test_a_handle_of_before_a_restart_never_reaches_another_key(token, kek):
    names = [secrets.token_bytes(16) for _ in range(6)]
    prints = {name: token.generate_main_key(name).fingerprint for name in names}
    for turn in range(4):
        # In another order each time: handles are given out anew, in the order of finding.
        for name in names[turn:] + names[:turn]:
            assert token.report_main_key(name).fingerprint == prints[name]
        with token._pool.lease() as session:
            generation = session.era[0]
        assert token._recovery._module.restart(generation)
    assert works(token, kek)


def test_a_read_back_that_differs_destroys_the_key(token, shim):
    main = secrets.token_bytes(16)
    shim.fail("C_GetAttributeValue", Rv.ATTRIBUTE_SENSITIVE)
    with pytest.raises(HsmPolicyError):
        token.generate_main_key(main)
    shim.heal()
    with pytest.raises(ObjectMissingError):
        token.report_main_key(main)


def test_what_the_token_does_not_write_is_not_taken_for_read_back(token, shim):
    for rv in (Rv.OK, Rv.ATTRIBUTE_SENSITIVE):
        main = secrets.token_bytes(16)
        token.generate_main_key(main)
        shim.fail("C_GetAttributeValue", rv)
        with pytest.raises(HsmPolicyError):
            token.report_main_key(main)
        # The next answer is the token's again.
        assert token.report_main_key(main)


def test_the_probe_notices_a_token_that_lets_attacks_pass(settings, shim):

    assert probe(settings).ok
    for function, check in {
        "C_SetAttributeValue": "a key's attributes cannot be changed",
        "C_CopyObject": "a key cannot be copied",
        "C_UnwrapKey": "AES-KW refuses an altered KEK",
        "C_Encrypt": "a main key does not encrypt or decrypt",
        "C_WrapKey": "a KEK in use cannot be wrapped",
    }.items():
        shim.fail(function, Rv.OK, times=999, when="before")
        if function == "C_Encrypt":
            shim.fail("C_EncryptInit", Rv.OK, times=999, when="before")
        report = probe(settings)
        shim.heal()
        assert check in {it.name for it in report.checks if it.fault}
        assert not report.ok
