"""Who is nobody, and how the policy file changes what somebody may do."""

from datetime import UTC, datetime, timedelta

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from keystead.v1 import organization_service_pb2 as organizations

from server.cli.dev_pki import DevelopmentCa
from tests.support.service import Client, eventually, refused
from tests.support.strangers import client_with, stranger


@pytest.fixture(scope="module")
def own(service):
    return service.new_organization("own")


# Nobody.


def is_turned_away(client):
    """Whether the connection itself fails, before any call is heard."""
    with pytest.raises(grpc.RpcError) as caught:
        client.health.Check(HealthCheckRequest(), timeout=5)
    return caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def test_without_a_certificate_nobody_is_heard(service):
    assert is_turned_away(client_with(service))
    assert is_turned_away(Client(grpc.insecure_channel(service.address)))


def test_a_certificate_of_another_authority_is_not_heard(service, tmp_path):
    other = DevelopmentCa(tmp_path)
    other.ensure()
    assert is_turned_away(stranger(service, "spiffe://keystead.dev/operator", authority=other))


def test_an_expired_certificate_is_not_heard(service, monkeypatch):
    class LongAgo(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=1000)

    monkeypatch.setattr("server.cli.dev_pki.datetime", LongAgo)
    assert is_turned_away(stranger(service, "spiffe://keystead.dev/operator"))
    assert datetime.now(UTC) > LongAgo.now(UTC)


@pytest.mark.parametrize("uris", [(), ("spiffe://keystead.dev/operator", "spiffe://keystead.dev/operator2")])
def test_a_certificate_that_does_not_name_exactly_one_caller_is_nobody(service, uris):
    with refused("UNAUTHENTICATED", "NO_IDENTITY"):
        stranger(service, *uris).organizations.ListOrganizations(organizations.ListOrganizationsRequest())


# The policy file.


def test_a_grant_holds_from_the_next_call_and_so_does_its_end(service, own):
    policy = service.folder / "policy.toml"
    before = policy.read_text()
    client = stranger(service, "spiffe://keystead.dev/late")
    request = organizations.GetOrganizationRequest(name=own.name)
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        client.organizations.GetOrganization(request)
    grant = f'\n[[grants]]\nidentity = "spiffe://keystead.dev/late"\nrole = "service"\norganizations = ["{own.id}"]\n'
    try:
        policy.write_text(before + grant)
        assert client.organizations.GetOrganization(request).name == own.name
        # A file that cannot be used keeps the last good one in force, and the log says so.
        policy.write_text(before + grant + "\nnonsense")
        assert client.organizations.GetOrganization(request).name == own.name
        eventually(lambda: "policy_not_read" in service.log.read_text(), "the log says so")
        policy.write_text(before)
        with refused("PERMISSION_DENIED", "FORBIDDEN"):
            client.organizations.GetOrganization(request)
    finally:
        policy.write_text(before)
    eventually(service.serves, "the service serves on")
