"""VerifyMainKeyCopy over gRPC: whether a backup is a copy of this main key, of another one, or of none."""

import os

import pytest
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations

from tests.support.crypto import encrypt, fingerprint
from tests.support.service import refused

pytestmark = pytest.mark.slow


def test_a_copy_is_told_from_another_key(org):
    value = os.urandom(32)
    first, second = org.bring(value), org.bring()

    def verify(key, copy):
        wrapping_key = org.wrapping_key()
        encrypted = encrypt(wrapping_key.public_key_pem.encode(), copy)
        request = main_keys.VerifyMainKeyCopyRequest(
            name=key.name, wrapping_key=wrapping_key.name, encrypted_key=encrypted
        )
        answer = org.admin.main_keys.VerifyMainKeyCopy(request)
        with refused("FAILED_PRECONDITION", "WRAPPING_KEY_NOT_USABLE"):
            org.admin.main_keys.VerifyMainKeyCopy(request)
        return answer

    answer = verify(first, value)
    assert (answer.matches, answer.matching_main_key) == (True, first.name)
    assert answer.copy_fingerprint == fingerprint(value) == first.fingerprint
    assert org.main_key(first.name).HasField("verify_time")
    answer = verify(second, value)
    assert (answer.matches, answer.matching_main_key) == (False, first.name)
    answer = verify(second, os.urandom(32))
    assert (answer.matches, answer.matching_main_key) == (False, "")
    assert not org.main_key(second.name).HasField("verify_time")
    organization = org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name))
    assert not organization.HasField("verify_time")
