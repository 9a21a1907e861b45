"""Who may do what: every rpc, every role, the own and a foreign organisation; and who is nobody."""

import os
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.api.resource_pb2 import resource_reference
from google.protobuf import message_factory
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from keystead.v1 import (
    authority_service_pb2,
    content_key_service_pb2,
    main_key_service_pb2,
    organization_service_pb2,
    rotation_service_pb2,
)
from keystead.v1 import organization_service_pb2 as organizations

from server.cli.dev_pki import DevelopmentCa
from server.domain.roles import ALLOWED, Operation, Role
from tests.support.service import Client, eventually, refusal_of, refusal_told, refused
from tests.support.strangers import client_with, stranger

FILES = (
    authority_service_pb2,
    content_key_service_pb2,
    main_key_service_pb2,
    organization_service_pb2,
    rotation_service_pb2,
)
METHODS = {
    method.name: method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
CALLERS = {"operator": Role.OPERATOR, "admin": Role.ADMINISTRATOR, "service": Role.SERVICE}
NAMES = {
    "keystead.dev/Organization": "",
    "keystead.dev/WrappingKey": f"/wrappingKeys/{'0' * 32}",
    "keystead.dev/MainKey": "/mainKeys/common",
    "keystead.dev/Kek": f"/keks/{'0' * 32}",
    "keystead.dev/Rotation": f"/rotations/{'0' * 32}",
}
"""What a field names that refers to one of these, below the organisation."""
UNBOUND = {"ListOrganizations"}
"""Methods that name no organisation: each caller gets what is its own."""


def request_for(kind, organization):
    """A request to this organisation, well-formed where the contract says that a field names something."""
    name = f"organizations/{organization}"
    request = message_factory.GetMessageClass(kind)()
    for field in kind.fields:
        refers_to = field.GetOptions().Extensions[resource_reference]
        if refers_to.child_type:
            setattr(request, field.name, name)
        elif refers_to.type and field.is_repeated:
            getattr(request, field.name).append(name + NAMES[refers_to.type])
        elif refers_to.type:
            setattr(request, field.name, name + NAMES[refers_to.type])
        elif field.name == "organization_id":
            request.organization_id = organization
        elif field.enum_type is not None:
            setattr(request, field.name, 1)
    for choice in kind.oneofs:
        # A message that carries one of several others; those that are optional fields have a oneof of their own.
        field = choice.fields[0]
        if field.message_type is not None:
            getattr(request, field.name).CopyFrom(request_for(field.message_type, organization))
    return request


def outcome(client: Client, method, organization):
    """Return the refusal of a call, or None."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    answer = message_factory.GetMessageClass(method.output_type).FromString
    shape = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(client.channel, shape)(path, lambda request: request.SerializeToString(), answer)
    request = request_for(method.input_type, organization)
    try:
        answers = call(iter([request]) if method.client_streaming else request, timeout=20)
        if method.server_streaming:
            first = next(answers)
            answers.cancel()
            return refusal_told(first.status) if "status" in {field.name for field, _ in first.ListFields()} else None
        if method.name == "GetAuthority" and answers.results[0].HasField("status"):
            return refusal_told(answers.results[0].status)
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        assert refusal.reason != "MALFORMED_NAME", "the request does not get as far as to be forbidden"
        return refusal
    return None


def is_forbidden(refusal) -> bool:
    return refusal is not None and (refusal.code.name, refusal.reason) == ("PERMISSION_DENIED", "FORBIDDEN")


@pytest.fixture(scope="module")
def two(service):
    return service.new_organization("own"), service.new_organization("foreign")


def test_the_table_of_roles_names_every_rpc_that_the_server_shows(service):
    database = ProtoReflectionDescriptorDatabase(service.client("operator").channel)
    ours = [name for name in database.get_services() if name.startswith("keystead.")]
    found = set()
    for name in ours:
        file = database.FindFileContainingSymbol(name)
        for described in file.service:
            found |= {method.name for method in described.method}
    assert found == set(METHODS) == {operation.value for operation in Operation}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", CALLERS)
def test_each_role_may_do_what_the_table_says_in_its_own_organisation_only(service, two, method, kind):
    own, foreign = two
    client = service.client("operator" if kind == "operator" else f"{kind}:{own.id}")
    may = CALLERS[kind] in ALLOWED[Operation(method)]
    unknown = f"unknown-{os.urandom(4).hex()}"
    assert is_forbidden(outcome(client, METHODS[method], own.id)) == (not may)
    elsewhere = [outcome(client, METHODS[method], name) for name in (foreign.id, unknown)]
    if kind == "operator" and may:
        assert not any(map(is_forbidden, elsewhere))
    elif method not in UNBOUND:
        # What is somebody else's, and what does not exist, look the same.
        assert all(map(is_forbidden, elsewhere))
        assert elsewhere[0] == elsewhere[1]


@pytest.mark.parametrize("method", METHODS)
def test_a_caller_that_the_policy_does_not_know_may_do_nothing(service, two, method):
    client = stranger(service, "spiffe://keystead.dev/nobody")
    assert is_forbidden(outcome(client, METHODS[method], two[0].id))


def test_a_list_shows_to_each_caller_what_is_its_own(service, two):
    for kind in ("admin", "service"):
        client = service.client(f"{kind}:{two[0].id}")
        answer = client.organizations.ListOrganizations(organizations.ListOrganizationsRequest())
        assert [organization.name for organization in answer.organizations] == [two[0].name]
    everything = service.client("operator").organizations.ListOrganizations(
        organizations.ListOrganizationsRequest(page_size=1000)
    )
    assert {two[0].name, two[1].name} <= {organization.name for organization in everything.organizations}


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


def test_a_grant_holds_from_the_next_call_and_so_does_its_end(service, two):
    own, _ = two
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
