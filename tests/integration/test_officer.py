"""The security officer and main keys: what he examines and marks; our SoftHSM lets him do nothing else."""

import secrets
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import pytest

from hsm_adapter import (
    HsmAuthenticationError,
    HsmPolicyError,
    HsmToken,
    ObjectMissingError,
    PinFile,
    Role,
    Standing,
    TrustMode,
    examine,
    mark,
)
from hsm_adapter.constants import Attribute, Mechanism, User
from hsm_adapter.cryptoki import Cryptoki, find_token
from hsm_adapter.library import CryptokiError
from hsm_adapter.mechanisms import AES_KEY_SIZE, AES_KW, aes_gcm
from hsm_adapter.module import Module
from hsm_adapter.structures import Template
from hsm_adapter.templates import AES, generated_main_key, identity, kek_shared
from tests.support.held import HELD_AS_MAIN_KEY

TRUSTED = {Attribute.TRUSTED: True}


@pytest.fixture(scope="module")
def settings(hsm_settings):
    return replace(hsm_settings, trust_mode=TrustMode.TRUSTED)


@pytest.fixture
def main_key(settings):
    main_id = secrets.token_bytes(16)
    with HsmToken.open(settings) as token:
        token.generate_main_key(main_id)
    return main_id


@pytest.fixture
def officers_pin(settings):
    return PinFile(settings.pin_file.with_name("so_pin")).pin


@contextmanager
def session_of(settings, user: User, name: str):
    """A session that is logged in, and nothing between it and the token."""
    p11: Cryptoki = Module.load(settings.module_path, settings.init_args).cryptoki
    (token,) = find_token(p11, label=settings.token_label, serial=None)
    session = p11.open_session(token.slot)
    try:
        with PinFile(settings.pin_file.with_name(name)).pin() as pin:
            p11.login(session, user, pin)
        yield p11, session
    finally:
        p11.close_session(session)


def test_the_officer_examines_and_marks_a_main_key(settings, main_key, officers_pin):
    found = examine(settings, main_key)
    assert not found.is_marked
    mark(settings, main_key, officers_pin)
    assert examine(settings, main_key) == replace(found, is_marked=True)
    with HsmToken.open(settings) as token:
        assert token.trust.standing(main_key) is Standing.GOOD
        token.create_kek(main_key, b"context")


def zeros(p11: Cryptoki, session: int) -> int:
    public = {**AES, Attribute.TOKEN: False, Attribute.PRIVATE: False, Attribute.EXTRACTABLE: True}
    return p11.create_object(session, Template({**public, Attribute.VALUE: bytes(AES_KEY_SIZE)}))


DEEDS: dict[str, Callable[[Cryptoki, int, int], object]] = {
    "reads its label": lambda p11, session, key: p11.attribute(session, key, Attribute.LABEL),
    "reads its value": lambda p11, session, key: p11.attribute(session, key, Attribute.VALUE),
    "renames it": lambda p11, session, key: p11.set_attributes(session, key, Template({Attribute.LABEL: b"mine"})),
    "gives it a right": lambda p11, session, key: p11.set_attributes(session, key, Template({Attribute.DECRYPT: True})),
    "gives it a right beside the mark": lambda p11, session, key: p11.set_attributes(
        session, key, Template({**TRUSTED, Attribute.DECRYPT: True})
    ),
    "copies it": lambda p11, session, key: p11.copy_object(session, key, Template({Attribute.TOKEN: False})),
    "wraps with it": lambda p11, session, key: p11.wrap_key(session, AES_KW, key, zeros(p11, session)),
    "encrypts with it": lambda p11, session, key: p11.encrypt(session, aes_gcm(bytes(12), b""), key, b"data"),
    "destroys it": lambda p11, session, key: p11.destroy_object(session, key),
}


def test_of_a_private_key_the_officer_reaches_the_mark_alone(settings, main_key):
    with session_of(settings, User.SO, "so_pin") as (p11, session):
        (key,) = p11.find_objects(session, identity(Role.MAIN_KEY, main_key), 2)
        for name, deed in DEEDS.items():
            try:
                deed(p11, session, key)
            except CryptokiError:
                continue
            pytest.fail(f"the officer {name}")
        p11.set_attributes(session, key, Template(TRUSTED))
        p11.set_attributes(session, key, Template({Attribute.TRUSTED: False}))
    assert not examine(settings, main_key).is_marked


def test_the_officer_marks_secret_keys_alone(settings):
    wrapping_id = secrets.token_bytes(16)
    with HsmToken.open(settings) as token:
        token.create_wrapping_key(wrapping_id, modulus_bits=2048)
    with session_of(settings, User.SO, "so_pin") as (p11, session):
        (private,) = p11.find_objects(session, identity(Role.WRAPPING_KEY, wrapping_id), 2)
        with pytest.raises(CryptokiError):
            p11.set_attributes(session, private, Template(TRUSTED))


def test_a_user_neither_sets_the_mark_nor_takes_it_away(settings, main_key, officers_pin):
    for wanted in (True, False):
        with session_of(settings, User.USER, "pin") as (p11, session):
            (key,) = p11.find_objects(session, identity(Role.MAIN_KEY, main_key), 2)
            with pytest.raises(CryptokiError):
                p11.set_attributes(session, key, Template({Attribute.TRUSTED: wanted}))
        if wanted:
            mark(settings, main_key, officers_pin)
    assert examine(settings, main_key).is_marked


MAIN_KEY = {
    **AES,
    Attribute.TOKEN: True,
    Attribute.LABEL: Role.MAIN_KEY.value.encode(),
    **HELD_AS_MAIN_KEY,
    Attribute.UNWRAP_TEMPLATE: kek_shared(TrustMode.TRUSTED),
    Attribute.VALUE_LEN: AES_KEY_SIZE,
    Attribute.COPYABLE: False,
}
PLANTED = {
    "which decrypts": {Attribute.DECRYPT: True},
    "that can be copied": {Attribute.COPYABLE: True},
    "that can be changed": {Attribute.MODIFIABLE: True},
    "with a further mechanism": {Attribute.ALLOWED_MECHANISMS: (Mechanism.AES_KEY_WRAP, Mechanism.AES_ECB)},
    "of the mode flags": {Attribute.UNWRAP_TEMPLATE: kek_shared(TrustMode.FLAGS)},
    "that pins less": {Attribute.UNWRAP_TEMPLATE: {Attribute.WRAP_WITH_TRUSTED: True}},
}


@pytest.mark.parametrize("kind", ["as it should be", *PLANTED])
def test_a_key_that_was_planted_is_found_out(settings, kind):
    """Who has the user's PIN makes a key under the id that the officer is told."""
    main_id = secrets.token_bytes(16)
    wanted = {**MAIN_KEY, Attribute.ID: main_id, Attribute.MODIFIABLE: False, **PLANTED.get(kind, {})}
    with session_of(settings, User.USER, "pin") as (p11, session):
        p11.generate_key(session, Mechanism.AES_KEY_GEN, Template(wanted))
    if kind == "as it should be":
        examine(settings, main_id)
    else:
        with pytest.raises(HsmPolicyError):
            examine(settings, main_id)


def test_two_keys_of_one_id_are_not_marked(settings, main_key, officers_pin):
    with session_of(settings, User.USER, "pin") as (p11, session):
        p11.generate_key(session, Mechanism.AES_KEY_GEN, generated_main_key(main_key, TrustMode.TRUSTED))
    with pytest.raises(HsmPolicyError):
        examine(settings, main_key)
    with pytest.raises(HsmPolicyError):
        mark(settings, main_key, officers_pin)


def test_what_is_not_there_and_a_wrong_pin_are_told(settings, main_key, tmp_path):
    with pytest.raises(ObjectMissingError):
        examine(settings, secrets.token_bytes(16))
    wrong = tmp_path / "pin"
    wrong.write_text("not the PIN")
    wrong.chmod(0o600)
    pin = PinFile(wrong).pin
    for told in ("CKR_PIN_INCORRECT", "is not tried again"):
        with pytest.raises(HsmAuthenticationError, match=told):
            mark(settings, main_key, pin)
    with pytest.raises(HsmPolicyError, match="trust mode flags"):
        examine(replace(settings, trust_mode=TrustMode.FLAGS), main_key)
