"""A leak is seen: each of these is planted into the recording, and found by what proves that there is no other."""

import secrets

import pytest
from cryptography.hazmat.primitives import keywrap

from hsm_adapter.constants import Attribute as A  # noqa: N817 - the templates below are read as tables
from hsm_adapter.constants import KeyType, Mechanism, ObjectClass
from hsm_adapter.mechanisms import AES_KW, OAEP_SHA256, aes_gcm
from hsm_adapter.profiles import PROFILES
from hsm_adapter.structures import MechanismCall, Template
from hsm_adapter.templates import kek_birth, kek_rewrap, kek_use
from tests.support.spy_rules import seen_in_calls, seen_in_text

SOFTHSM = PROFILES["softhsm"]
AES = {A.CLASS: ObjectClass.SECRET_KEY, A.KEY_TYPE: KeyType.AES, A.TOKEN: False, A.PRIVATE: True}
OPEN = {**AES, A.SENSITIVE: False, A.EXTRACTABLE: True}
HELD = {**AES, A.SENSITIVE: True, A.EXTRACTABLE: False}
SIZE = {A.VALUE_LEN: 32}


def test_a_main_key_created_from_its_value_is_found_in_every_way(recording):
    value = recording.lifecycle.main_keys[-1]
    leak = recording.also(lambda p11, session, _: p11.create_object(session, Template({**HELD, A.VALUE: value})))
    assert seen_in_text(leak.text, value)
    assert seen_in_calls(leak.calls, value) == {"C_CreateObject"}
    assert [(it.function, it.what) for it in leak.violations] == [("C_CreateObject", "creates an object from a value")]


@pytest.mark.parametrize("start", [0, 3, 20, 24])
@pytest.mark.parametrize("attribute", [A.ID, A.LABEL])
def test_eight_bytes_of_a_key_are_found_wherever_they_are(recording, attribute, start):
    value = next(iter(recording.lifecycle.keks.values()))
    among_others = b"x" * 13 + value[start : start + 8] + b"y" * 9
    template = Template({attribute: among_others})
    leak = recording.also(lambda p11, session, _: p11.find_objects(session, template, 1))
    assert seen_in_calls(leak.calls, value) == {"C_FindObjectsInit"}


def test_nothing_is_found_where_nothing_is(recording):
    nothing = recording.also(lambda p11, session, _: p11.generate_random(session, 16))
    assert [call.function for call in nothing.calls] == ["C_OpenSession", "C_GenerateRandom", "C_CloseSession"]
    assert nothing.violations == []


def _reads_a_value(p11, session, main_key):
    p11.attribute(session, main_key, A.VALUE)


def _makes_an_open_key_and_reads_it(p11, session, main_key):
    p11.attribute(session, p11.generate_key(session, Mechanism.AES_KEY_GEN, Template({**OPEN, **SIZE})), A.VALUE)


def _unwraps_as_open(p11, session, main_key):
    p11.unwrap_key(session, AES_KW, main_key, keywrap.aes_key_wrap(bytes(32), bytes(32)), Template(OPEN))


def _unwraps_by_another_mechanism(p11, session, main_key):
    p11.unwrap_key(session, MechanismCall(Mechanism.AES_CBC), main_key, bytes(48), kek_use(SOFTHSM))


def _unwraps_a_main_key_under_a_main_key(p11, session, main_key):
    p11.unwrap_key(session, OAEP_SHA256, main_key, bytes(384), kek_use(SOFTHSM))


def _encrypts_with_a_main_key(p11, session, main_key):
    p11.encrypt(session, MechanismCall(Mechanism.AES_ECB), main_key, bytes(32))


def _decrypts_with_a_main_key(p11, session, main_key):
    p11.decrypt(session, aes_gcm(bytes(12), b""), main_key, bytes(32))


def _wraps_under_a_key_of_its_own(p11, session, main_key):
    own = p11.generate_key(session, Mechanism.AES_KEY_GEN, Template({**HELD, **SIZE, A.WRAP: True, A.DECRYPT: True}))
    p11.wrap_key(session, AES_KW, own, p11.generate_key(session, Mechanism.AES_KEY_GEN, kek_birth()))


def _wraps_a_key_in_use(p11, session, main_key):
    born = p11.generate_key(session, Mechanism.AES_KEY_GEN, kek_birth())
    used = p11.unwrap_key(session, AES_KW, main_key, p11.wrap_key(session, AES_KW, main_key, born), kek_use(SOFTHSM))
    p11.wrap_key(session, AES_KW, main_key, used)


def _has_a_kek_in_transit_work_on_data(p11, session, main_key):
    born = p11.generate_key(session, Mechanism.AES_KEY_GEN, kek_birth())
    wrapped = p11.wrap_key(session, AES_KW, main_key, born)
    moved = p11.unwrap_key(session, AES_KW, main_key, wrapped, kek_rewrap(SOFTHSM))
    p11.encrypt(session, aes_gcm(bytes(12), b""), moved, b"")


def _changes_an_attribute(p11, session, main_key):
    p11.set_attributes(session, main_key, Template({A.SENSITIVE: False}))


def _copies(p11, session, main_key):
    p11.copy_object(session, main_key, Template({A.TOKEN: False}))


def _searches_by_value(p11, session, main_key):
    p11.find_objects(session, Template({A.VALUE: bytes(32)}), 1)


def _hides_a_value_in_a_nested_template(p11, session, main_key):
    nested = {A.ID: secrets.token_bytes(32)}
    p11.generate_key(session, Mechanism.AES_KEY_GEN, Template({**HELD, **SIZE, A.UNWRAP_TEMPLATE: nested}))


def _hides_a_value_under_a_name_that_the_spy_does_not_know(p11, session, main_key):
    p11.find_objects(session, Template({A.COPYABLE: secrets.token_bytes(32)}), 1)


@pytest.mark.parametrize(
    ("deed", "function", "what"),
    [
        (_reads_a_value, "C_GetAttributeValue", "reads CKA_VALUE of Kind.MAIN_KEY"),
        (_makes_an_open_key_and_reads_it, "C_GenerateKey", "generates a key that is no main key and no KEK"),
        (_makes_an_open_key_and_reads_it, "C_GetAttributeValue", "reads CKA_VALUE of None"),
        (_unwraps_as_open, "C_UnwrapKey", "unwraps by CKM_AES_KEY_WRAP"),
        (_unwraps_by_another_mechanism, "C_UnwrapKey", "unwraps by CKM_AES_CBC"),
        (_unwraps_a_main_key_under_a_main_key, "C_UnwrapKey", "unwraps by CKM_RSA_PKCS_OAEP"),
        (_encrypts_with_a_main_key, "C_EncryptInit", "has ('CKM_AES_ECB', <Kind.MAIN_KEY"),
        (_decrypts_with_a_main_key, "C_DecryptInit", "has ('CKM_AES_GCM', <Kind.MAIN_KEY"),
        (_wraps_under_a_key_of_its_own, "C_WrapKey", "wraps ('CKM_AES_KEY_WRAP', None"),
        (_wraps_a_key_in_use, "C_WrapKey", "wraps ('CKM_AES_KEY_WRAP', <Kind.MAIN_KEY"),
        (_has_a_kek_in_transit_work_on_data, "C_EncryptInit", "has ('CKM_AES_GCM', <Kind.KEK_IN_TRANSIT"),
        (_changes_an_attribute, "C_SetAttributeValue", "is not one of the functions"),
        (_copies, "C_CopyObject", "is not one of the functions"),
        (_searches_by_value, "C_FindObjectsInit", "searches by other things"),
        (_hides_a_value_in_a_nested_template, "C_GenerateKey", "has a nested attribute 0x102 of 32 bytes"),
        (_hides_a_value_under_a_name_that_the_spy_does_not_know, "C_FindObjectsInit", "0x171 crossed unseen"),
    ],
)
def test_a_call_that_is_not_allowed_is_found(recording, deed, function, what):
    found = recording.also(deed).violations
    assert any(it.function == function and it.what.startswith(what) for it in found), found
