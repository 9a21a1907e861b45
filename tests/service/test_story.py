"""The main job, end to end, on each database: an organisation brings its key, services use it, it rotates."""

import os

import pytest
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1 import rotation_service_pb2 as rotations
from keystead.v1.resources_pb2 import MainKey, Rotation

from tests.support.crypto import fingerprint, openssl_encrypt
from tests.support.service import running

pytestmark = pytest.mark.slow


@pytest.fixture
def service_of_its_own(database_url, tmp_path):
    with running(tmp_path / "service", database=database_url, LIFE__RETIRED_LIFETIME="PT1S") as service:
        yield service


def test_the_whole_story(service_of_its_own, tmp_path):
    org = service_of_its_own.new_organization()
    common = f"{org.name}/mainKeys/common"

    # It starts on the common key, and works.
    organization = org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name))
    assert (organization.main_key, organization.epoch, organization.kek_count) == (common, 1, 0)
    keks = [org.new_kek() for _ in range(3)]
    assert {kek.main_key for kek in keks} == {common}
    made = [(key, kek.name) for kek in keks for key in org.generate(kek.name, 2, document="report")]
    brought = os.urandom(48)
    wrapped = org.wrap(keks[0].name, brought).wrapped

    # The customer encrypts a key with OpenSSL; the token unwraps it.
    wrapping_key = org.wrapping_key()
    assert org.wrapping_key() == wrapping_key
    value = os.urandom(32)
    encrypted = openssl_encrypt(tmp_path, wrapping_key.public_key_pem.encode(), value)
    answer = org.upload(encrypted, wrapping_key.name)
    first = answer.main_key
    assert answer.active_main_key == common
    assert (first.state, first.origin, first.fingerprint) == (MainKey.PENDING, MainKey.UPLOADED, fingerprint(value))
    assert list(first.next_moves) == [MainKey.ACTIVATE, MainKey.DELETE]
    assert org.wrapping_key().name != wrapping_key.name

    # Activated, it takes over every KEK; the common key stays in the token for the other organisations.
    active = org.activate(first.name)
    assert active.state == MainKey.ACTIVE
    org.await_state(common, "RETIRED")
    assert org.main_key(first.name).kek_count == 3
    assert org.new_kek().main_key == first.name

    # A second import, activated at once, is a rotation; the first key leaves the token at the end of its lifetime.
    second = org.bring(activation=main_keys.NOW)
    assert second.state == MainKey.ACTIVE
    org.await_state(first.name, "REMOVED")
    assert org.main_key(first.name).HasField("purge_time")
    assert first.name not in {key.name for key in org.main_keys(show_removed=False)}
    assert org.states() == {common: "RETIRED", first.name: "REMOVED", second.name: "ACTIVE"}

    # Every content key made before still unwraps.
    for key, kek in made:
        result = org.unwrap(key.wrapped, document="report")
        assert (result.plaintext, result.kek) == (key.plaintext, kek)
    assert org.unwrap(wrapped).plaintext == brought

    # Both rotations tell how they went, newest first, and page by page.
    request = rotations.ListRotationsRequest(parent=org.name, page_size=1)
    page = org.admin.rotations.ListRotations(request)
    rest = org.admin.rotations.ListRotations(
        rotations.ListRotationsRequest(parent=org.name, page_token=page.next_page_token)
    )
    newest, oldest = *page.rotations, *rest.rotations
    assert (newest.from_main_key, newest.to_main_key, newest.done_count) == (first.name, second.name, 4)
    assert (oldest.from_main_key, oldest.total_count, oldest.done_count) == (common, 3, 3)
    assert {newest.state, oldest.state} == {Rotation.DONE}
    assert org.admin.rotations.GetRotation(rotations.GetRotationRequest(name=newest.name)) == newest

    # Nothing of it depends on the memory of a process.
    service_of_its_own.kill()
    service_of_its_own.start()
    assert org.unwrap(made[0][0].wrapped, document="report").plaintext == made[0][0].plaintext
    assert org.states() == {common: "RETIRED", first.name: "REMOVED", second.name: "ACTIVE"}
