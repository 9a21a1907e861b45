"""Bad uploads: each is one clear error, changes nothing, and leaves nothing in the token."""

import os
from contextlib import contextmanager

import pytest
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1.resources_pb2 import MainKey
from keystead.v1.rotation_service_pb2 import ListRotationsRequest

from tests.support.crypto import OAEP_SHA256, WRONG_PADDINGS, encrypt, fingerprint
from tests.support.service import openssl_zero_key_fingerprint, refused

pytestmark = pytest.mark.slow

MODULUS = 384


def token_files(service):
    return sorted(path.name for path in (service.folder / "token/tokens").glob("*/*.object"))


def picture(org):
    """Everything of the organisation that an upload could change, and what is in the token."""
    organization = org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name))
    rotations = org.admin.rotations.ListRotations(_rotations(org))
    return organization, org.main_keys(), rotations, token_files(org.service)


def _rotations(org):
    return ListRotationsRequest(parent=org.name)


@contextmanager
def nothing_changes(org):
    before = picture(org)
    yield
    assert picture(org) == before


@pytest.fixture(scope="module")
def told():
    """What each rejected upload was told: it must be the same for all."""
    messages = set()
    yield messages
    assert len(messages) == 1


def rejected(org, wrapping_key, encrypted, told):
    for activation in (main_keys.NOW, main_keys.LATER):
        with refused("INVALID_ARGUMENT", "ENCRYPTED_KEY_REJECTED") as refusal:
            org.upload(encrypted, wrapping_key.name, activation)
        told.add((refusal[0].message, tuple(refusal[0].metadata.items()), refusal[0].details))


@pytest.mark.parametrize("size", [0, 1, MODULUS - 1, MODULUS + 1, 2**20])
def test_an_upload_of_another_size(org, told, size):
    wrapping_key = org.wrapping_key()
    with nothing_changes(org):
        rejected(org, wrapping_key, os.urandom(size), told)


def test_random_bytes(org, told):
    wrapping_key = org.wrapping_key()
    with nothing_changes(org):
        rejected(org, wrapping_key, b"\0" + os.urandom(MODULUS - 1), told)


def test_a_number_beyond_the_modulus(org, told):
    wrapping_key = org.wrapping_key()
    with nothing_changes(org):
        rejected(org, wrapping_key, b"\xff" * MODULUS, told)


@pytest.mark.parametrize("scheme", WRONG_PADDINGS)
def test_another_padding_or_hash(org, told, scheme):
    wrapping_key = org.wrapping_key()
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), os.urandom(32), WRONG_PADDINGS[scheme])
    with nothing_changes(org):
        rejected(org, wrapping_key, encrypted, told)


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33, 64])
def test_a_key_of_another_length(org, told, size):
    wrapping_key = org.wrapping_key()
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), os.urandom(size))
    with nothing_changes(org):
        rejected(org, wrapping_key, encrypted, told)


def test_a_right_upload_for_another_organisations_wrapping_key(org, told):
    other = org.service.new_organization("other").wrapping_key()
    encrypted = encrypt(other.public_key_pem.encode(), os.urandom(32))
    wrapping_key = org.wrapping_key()
    with nothing_changes(org):
        rejected(org, wrapping_key, encrypted, told)
        for name in (other.name, other.name.replace("other", "org")):
            with refused("FAILED_PRECONDITION", "WRAPPING_KEY_NOT_USABLE"):
                org.upload(encrypted, name)


def test_the_all_zero_key(org):
    wrapping_key = org.wrapping_key()
    assert fingerprint(bytes(32)) == openssl_zero_key_fingerprint()
    with nothing_changes(org), refused("FAILED_PRECONDITION", "WEAK_KEY"):
        org.upload(encrypt(wrapping_key.public_key_pem.encode(), bytes(32)), wrapping_key.name)


@pytest.mark.parametrize("activation", [main_keys.NOW, main_keys.LATER])
def test_the_same_key_twice(org, activation):
    value = os.urandom(32)
    first = org.bring(value)
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
    wrapping_key = org.wrapping_key()
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), value)
    with nothing_changes(org), refused("ALREADY_EXISTS", "DUPLICATE_KEY") as refusal:
        org.upload(encrypted, wrapping_key.name, activation)
    assert refusal[0].metadata == {"main_key": first.name}


def test_two_organisations_may_bring_the_same_value(org):
    value = os.urandom(32)
    other = org.service.new_organization()
    assert org.bring(value).fingerprint == other.bring(value).fingerprint


def test_another_fingerprint_than_expected(org):
    value = os.urandom(32)
    wrapping_key = org.wrapping_key()
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), value)
    with nothing_changes(org):
        with refused("FAILED_PRECONDITION", "FINGERPRINT_MISMATCH"):
            org.upload(encrypted, wrapping_key.name, fingerprint=os.urandom(32))
        with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
            org.upload(encrypted, wrapping_key.name, fingerprint=os.urandom(31))
    assert org.upload(encrypted, wrapping_key.name, fingerprint=fingerprint(value)).main_key.state == MainKey.PENDING


def test_a_second_pending_key(org):
    first = org.bring(activation=main_keys.LATER)
    wrapping_key = org.wrapping_key()
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), os.urandom(32))
    with nothing_changes(org), refused("FAILED_PRECONDITION", "PENDING_KEY_EXISTS") as refusal:
        org.upload(encrypted, wrapping_key.name, main_keys.LATER)
    assert refusal[0].metadata == {"main_key": first.name}
    # The refusal has cost no attempt, and the same upload may still be activated at once.
    assert org.wrapping_key().remaining_attempts == 5
    assert org.upload(encrypted, wrapping_key.name, main_keys.NOW).main_key.state == MainKey.ACTIVE
    assert org.main_key(first.name).state == MainKey.PENDING


def test_a_used_wrapping_key(org):
    wrapping_key = org.wrapping_key()
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), os.urandom(32))
    org.upload(encrypted, wrapping_key.name)
    again = encrypt(wrapping_key.public_key_pem.encode(), os.urandom(32))
    with nothing_changes(org):
        for replayed in (encrypted, again):
            with refused("FAILED_PRECONDITION", "WRAPPING_KEY_NOT_USABLE"):
                org.upload(replayed, wrapping_key.name, main_keys.NOW)


def test_a_sixth_bad_upload_finds_no_wrapping_key(org):
    wrapping_key = org.wrapping_key()
    good = encrypt(wrapping_key.public_key_pem.encode(), os.urandom(32), OAEP_SHA256)
    bad = encrypt(wrapping_key.public_key_pem.encode(), os.urandom(16))
    before = len(token_files(org.service))
    for tried in range(5):
        assert org.wrapping_key().remaining_attempts == 5 - tried
        with refused("INVALID_ARGUMENT", "ENCRYPTED_KEY_REJECTED"):
            org.upload(bad, wrapping_key.name)
    for encrypted in (bad, good):
        with refused("FAILED_PRECONDITION", "WRAPPING_KEY_NOT_USABLE"):
            org.upload(encrypted, wrapping_key.name)
    assert len(token_files(org.service)) == before - 1
    assert org.wrapping_key().name != wrapping_key.name


def test_an_activation_that_is_not_said(org):
    wrapping_key = org.wrapping_key()
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), os.urandom(32))
    for activation in (main_keys.ACTIVATION_UNSPECIFIED, 99):
        with nothing_changes(org), refused("INVALID_ARGUMENT", "INVALID_FIELD") as refusal:
            org.upload(encrypted, wrapping_key.name, activation)
        assert refusal[0].metadata == {"field": "activation"}
        assert "BadRequest" in refusal[0].details
