"""Who has the service's PIN attacks the service's own keys in the token.

Each deed is also done to a key without the controls, where it works: so what stops it is the control. The last tests
show what the trust mode `flags` does not stop.
"""

import os

import pytest
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hsm_adapter import Role
from hsm_adapter.constants import Attribute, KeyType, Mechanism, ObjectClass
from hsm_adapter.library import CryptokiError
from hsm_adapter.mechanisms import AES_KW, OAEP_SHA256
from hsm_adapter.profiles import PROFILES
from hsm_adapter.structures import Template
from hsm_adapter.templates import identity, kek_rewrap, unwrapped_main_key, wrapping_public
from server.domain.errors import WrappingKeyNotUsableError
from server.domain.keks import binding_context
from server.use_cases import Import
from tests.attacks.conftest import AES
from tests.attacks.deeds import ON_AES, ON_MAIN_KEY, ON_RSA, READABLE, RSA_PKCS
from tests.support.crypto import WRONG_PADDINGS, encrypt
from tests.support.held import HELD_AS_MAIN_KEY

WITHOUT_CONTROLS = {
    **READABLE,
    Attribute.ENCRYPT: True,
    Attribute.DECRYPT: True,
    Attribute.WRAP: True,
    Attribute.UNWRAP: True,
}
MAIN_KEY = {
    **AES,
    **HELD_AS_MAIN_KEY,
}


@pytest.fixture
def main_key(thief, victim):
    return thief.find(Role.MAIN_KEY, victim.main_key.object_id)


@pytest.fixture
def kek_in_use(world, thief, victim):
    world.do.generate_content_keys(world.user(victim.id), victim.kek_name, count=1, size=32, context={})
    return thief.find_kek_in_use()


@pytest.fixture
def wrapping_key(world, thief, victim):
    made = world.do.get_wrapping_key(world.admin(victim.id), victim.id, None)
    return thief.find(Role.WRAPPING_KEY, made.id)


@pytest.fixture
def pair(thief):
    """The public half's DER, and the private half, of a pair without the controls."""
    rights = {Attribute.DECRYPT: True, Attribute.UNWRAP: True, Attribute.SIGN: True, **READABLE}
    private = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.RSA, Attribute.TOKEN: False}
    public = wrapping_public(2048)
    _, handle = thief.p11.generate_key_pair(
        thief.session, Mechanism.RSA_PKCS_KEY_PAIR_GEN, public, Template({**private, **rights})
    )
    return handle


@pytest.mark.parametrize("deed", ON_MAIN_KEY)
def test_a_key_without_controls_does_what_the_thief_wants(thief, deed):
    ON_MAIN_KEY[deed](thief, thief.key_of_his_own(WITHOUT_CONTROLS))


@pytest.mark.parametrize("deed", ON_RSA)
def test_a_pair_without_controls_does_what_the_thief_wants(thief, pair, deed):
    ON_RSA[deed](thief, pair)


@pytest.mark.parametrize("deed", ON_MAIN_KEY)
def test_a_main_key_does_not(thief, main_key, deed):
    with pytest.raises(CryptokiError):
        ON_MAIN_KEY[deed](thief, main_key)


@pytest.mark.parametrize("deed", ON_AES)
def test_a_kek_in_use_does_not(thief, kek_in_use, deed):
    with pytest.raises(CryptokiError):
        ON_AES[deed](thief, kek_in_use)


@pytest.mark.parametrize("deed", ON_RSA)
def test_a_wrapping_key_does_not(thief, wrapping_key, deed):
    with pytest.raises(CryptokiError):
        ON_RSA[deed](thief, wrapping_key)


# The customer's upload.


def test_an_upload_that_was_overheard_does_not_become_a_weaker_key(world, thief, victim):
    upload = world.upload(victim.id, os.urandom(32))
    private = thief.find(Role.WRAPPING_KEY, upload.wrapping_key.id)
    held = {**MAIN_KEY, Attribute.COPYABLE: False, Attribute.MODIFIABLE: False}
    assert thief.p11.unwrap_key(thief.session, OAEP_SHA256, private, upload.encrypted, Template(held))
    for right, value in ((Attribute.SENSITIVE, False), (Attribute.EXTRACTABLE, True), (Attribute.DECRYPT, True)):
        with pytest.raises(CryptokiError):
            thief.p11.unwrap_key(
                thief.session, OAEP_SHA256, private, upload.encrypted, Template({**held, right: value})
            )


def test_a_wrapping_key_unwraps_with_oaep_alone(world, thief, victim):
    made = world.do.get_wrapping_key(world.admin(victim.id), victim.id, None)
    private = thief.find(Role.WRAPPING_KEY, made.id)
    encrypted = encrypt(made.public_key, os.urandom(32), WRONG_PADDINGS["PKCS#1 v1.5"])
    template = unwrapped_main_key(os.urandom(16), PROFILES["softhsm"], token=False)
    with pytest.raises(CryptokiError):
        thief.p11.unwrap_key(thief.session, RSA_PKCS, private, encrypted, template)


def test_an_upload_that_is_replayed_is_useless(world, thief):
    org = world.new_organization()
    upload = world.upload(org, os.urandom(32))
    world.do.import_main_key(world.admin(org), Import(upload, activate_now=True))
    with pytest.raises(WrappingKeyNotUsableError):
        world.do.import_main_key(world.admin(org), Import(upload, activate_now=False))
    # In the token there is nothing left that could open it.
    private = identity(Role.WRAPPING_KEY, bytes.fromhex(upload.wrapping_key.id))
    assert thief.p11.find_objects(thief.session, private, 1) == []


# What the trust mode `flags` does not stop: docs/security.md says so.


def test_flags_do_not_stop_the_export_of_a_kek(thief, victim, main_key):
    wrapped = victim.kek.key.wrapped
    in_transit = thief.p11.unwrap_key(thief.session, AES_KW, main_key, wrapped, kek_rewrap(PROFILES["softhsm"]))
    taken = thief.p11.wrap_key(thief.session, AES_KW, thief.key_of_his_own({Attribute.WRAP: True}), in_transit)
    kek = keywrap.aes_key_unwrap(bytes(32), taken)
    assert kek == keywrap.aes_key_unwrap(victim.value, wrapped)
    # It is the KEK: its binding opens with it.
    binding, place = victim.kek.key.binding, binding_context(victim.id, victim.kek.id)
    assert AESGCM(kek).decrypt(binding[:12], binding[12:], place) == b""


def test_flags_do_not_stop_a_kek_of_the_thiefs_own(thief, victim, main_key):
    known = bytes(range(32))
    mine = thief.key_of_his_own({Attribute.EXTRACTABLE: True}, known)
    wrapped = thief.p11.wrap_key(thief.session, AES_KW, main_key, mine)
    assert keywrap.aes_key_unwrap(victim.value, wrapped) == known


def test_flags_do_not_stop_destruction(world, thief):
    org = world.new_organization()
    upload = world.upload(org, os.urandom(32))
    thief.p11.destroy_object(thief.session, thief.find(Role.WRAPPING_KEY, upload.wrapping_key.id))
