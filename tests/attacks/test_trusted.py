"""Who has the PIN, in the trust mode `trusted`: KEKs do not leave the token, save for what the last tests show.

docs/security.md tells the same.
"""

import os

import pytest
from cryptography.hazmat.primitives import keywrap

from hsm_adapter import Role, TrustMode
from hsm_adapter.constants import Attribute, Mechanism
from hsm_adapter.library import CryptokiError
from hsm_adapter.mechanisms import AES_KW, OAEP_SHA256
from hsm_adapter.profiles import PROFILES
from hsm_adapter.structures import Template
from hsm_adapter.templates import generated_main_key, identity, kek_birth, kek_rewrap
from server.domain.errors import MainKeyNotTrustedError
from tests.attacks.conftest import AES, Victim
from tests.attacks.deeds import KEK, READABLE
from tests.support.held import HELD_AS_MAIN_KEY
from tests.support.officer import trusted_world

SOFTHSM = PROFILES["softhsm"]
MOVING = kek_rewrap(SOFTHSM, TrustMode.TRUSTED)
OWN_RIGHTS = {Attribute.WRAP: True, Attribute.UNWRAP: True}
TRUSTED = {Attribute.TRUSTED: True}


@pytest.fixture(scope="module")
def officers(tmp_path_factory):
    with trusted_world(tmp_path_factory.mktemp("world")) as officers:
        yield officers


@pytest.fixture(scope="module")
def world(officers):
    return officers.world


def somebody(officers) -> Victim:
    """An organisation that brought a main key, which the officer has marked."""
    org, value = officers.world.new_organization(), os.urandom(32)
    return Victim(org, value, officers.bring(org, value), officers.world.new_kek(org))


@pytest.fixture(scope="module")
def victim(officers):
    return somebody(officers)


@pytest.fixture
def main_key(thief, victim):
    return thief.find(Role.MAIN_KEY, victim.main_key.object_id)


@pytest.fixture
def kek(thief, victim, main_key):
    """The victim's KEK as a rotation has it: that much the thief gets."""
    return thief.p11.unwrap_key(thief.session, AES_KW, main_key, victim.kek.key.wrapped, MOVING)


def test_the_officers_mark_alone_lets_a_key_wrap(officers, world, thief):
    org = world.new_organization()
    waiting = world.bring(org, activate_now=False)
    born = thief.p11.generate_key(thief.session, Mechanism.AES_KEY_GEN, kek_birth(TrustMode.TRUSTED))
    with pytest.raises(CryptokiError, match="CKR_KEY_NOT_WRAPPABLE"):
        thief.p11.wrap_key(thief.session, AES_KW, thief.find(Role.MAIN_KEY, waiting.object_id), born)
    with pytest.raises(MainKeyNotTrustedError):
        officers.activate(org, waiting)


def test_a_kek_is_not_wrapped_under_a_key_of_the_thiefs_own(thief, kek):
    with pytest.raises(CryptokiError, match="CKR_KEY_NOT_WRAPPABLE"):
        thief.p11.wrap_key(thief.session, AES_KW, thief.key_of_his_own(OWN_RIGHTS), kek)


def test_a_kek_is_not_wrapped_under_a_main_key_that_the_thief_made(thief, kek):
    mine = thief.p11.generate_key(
        thief.session, Mechanism.AES_KEY_GEN, generated_main_key(os.urandom(16), TrustMode.TRUSTED, token=False)
    )
    with pytest.raises(CryptokiError, match="CKR_KEY_NOT_WRAPPABLE"):
        thief.p11.wrap_key(thief.session, AES_KW, mine, kek)


@pytest.mark.parametrize(
    "rights",
    [{}, {Attribute.WRAP_WITH_TRUSTED: False}, READABLE],
    ids=["silently", "aloud", "readable"],
)
def test_a_kek_does_not_unwrap_as_one_that_any_key_wraps(thief, victim, main_key, rights):
    template = Template({**AES, **KEK, Attribute.EXTRACTABLE: True, **rights, Attribute.MODIFIABLE: False})
    with pytest.raises(CryptokiError):
        thief.p11.unwrap_key(thief.session, AES_KW, main_key, victim.kek.key.wrapped, template)


def test_a_kek_keeps_its_demand(thief, kek):
    with pytest.raises(CryptokiError):
        thief.p11.set_attributes(thief.session, kek, Template({Attribute.WRAP_WITH_TRUSTED: False}))
    with pytest.raises(CryptokiError):
        thief.p11.copy_object(thief.session, kek, Template({Attribute.WRAP_WITH_TRUSTED: False}))


MARKING = {
    "brought with the mark": lambda thief: thief.key_of_his_own({**OWN_RIGHTS, **TRUSTED}),
    "made with the mark": lambda thief: thief.p11.generate_key(
        thief.session, Mechanism.AES_KEY_GEN, Template({**AES, **OWN_RIGHTS, **TRUSTED, Attribute.VALUE_LEN: 32})
    ),
    "marked later": lambda thief: thief.p11.set_attributes(
        thief.session, thief.key_of_his_own(OWN_RIGHTS), Template(TRUSTED)
    ),
    "copied with the mark": lambda thief: thief.p11.copy_object(
        thief.session, thief.key_of_his_own(OWN_RIGHTS), Template(TRUSTED)
    ),
}


@pytest.mark.parametrize("how", MARKING)
def test_no_key_of_the_thiefs_is_marked(thief, how):
    with pytest.raises(CryptokiError):
        MARKING[how](thief)


def test_an_upload_that_was_overheard_is_not_unwrapped_with_the_mark(world, thief):
    org = world.new_organization()
    upload = world.upload(org, os.urandom(32))
    private = thief.find(Role.WRAPPING_KEY, upload.wrapping_key.id)
    with pytest.raises(CryptokiError):
        thief.p11.unwrap_key(thief.session, OAEP_SHA256, private, upload.encrypted, clone(TRUSTED))


def test_a_marked_key_is_not_copied(thief, main_key):
    with pytest.raises(CryptokiError, match="CKR_ACTION_PROHIBITED"):
        thief.p11.copy_object(thief.session, main_key, Template({Attribute.DECRYPT: True}))


# What the mode does not stop: docs/security.md says so.


def clone(more: dict) -> Template:
    """A main key that pins nothing, as a thief would have it."""
    held = {
        **AES,
        **HELD_AS_MAIN_KEY,
        **more,
    }
    return Template({**held, Attribute.COPYABLE: False, Attribute.MODIFIABLE: False})


def test_trusted_does_not_stop_who_knows_the_value_of_a_marked_key(thief, kek, officers):
    insider = somebody(officers)
    theirs = thief.find(Role.MAIN_KEY, insider.main_key.object_id)
    taken = thief.p11.wrap_key(thief.session, AES_KW, theirs, kek)
    assert len(keywrap.aes_key_unwrap(insider.value, taken)) == 32


def test_trusted_does_not_stop_who_overhears_an_upload_before_its_wrapping_key_is_used_up(world, thief):
    org, value = world.new_organization(), os.urandom(32)
    upload = world.upload(org, value)
    private = thief.find(Role.WRAPPING_KEY, upload.wrapping_key.id)
    pins_nothing = thief.p11.unwrap_key(thief.session, OAEP_SHA256, private, upload.encrypted, clone({}))
    later = keywrap.aes_key_wrap(value, bytes(range(32)))  # A KEK, by the time that there is one.
    kek = thief.p11.unwrap_key(thief.session, AES_KW, pins_nothing, later, Template({**AES, **READABLE}))
    assert thief.p11.attribute(thief.session, kek, Attribute.VALUE) == bytes(range(32))


def test_trusted_does_not_stop_a_kek_of_the_thiefs_own(thief, victim, main_key):
    known = bytes(range(32))
    mine = thief.key_of_his_own({Attribute.EXTRACTABLE: True}, known)
    wrapped = thief.p11.wrap_key(thief.session, AES_KW, main_key, mine)
    assert keywrap.aes_key_unwrap(victim.value, wrapped) == known


def test_trusted_does_not_stop_destruction(world, thief):
    key = world.bring(world.new_organization(), activate_now=False)
    thief.p11.destroy_object(thief.session, thief.find(Role.MAIN_KEY, key.object_id))
    assert thief.p11.find_objects(thief.session, identity(Role.MAIN_KEY, bytes.fromhex(key.object_id)), 1) == []
