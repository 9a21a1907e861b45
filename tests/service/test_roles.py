"""Who may do what: every rpc of a running service, every role, the own, a foreign and an unknown organisation."""

import os
from dataclasses import dataclass

import grpc
import pytest
from google.api.resource_pb2 import resource_reference
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import Default
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from keystead.v1 import organization_service_pb2 as organizations

from server.domain.roles import ALLOWED, Operation, Role
from server.grpc_api.server import SERVICES
from tests.support.service import Client, Refusal, refusal_of, refusal_told
from tests.support.strangers import grant, stranger

METHODS = {method.name: method for name in SERVICES for method in Default().FindServiceByName(name).methods}
ROLES = {
    "operator": Role.OPERATOR,
    "administrator": Role.ADMINISTRATOR,
    "auditor": Role.AUDITOR,
    "service": Role.SERVICE,
    "console": Role.CONSOLE,
    "nobody": None,
}
"""The callers, and what the policy says that they are."""
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
CALL_ID = (("x-request-id", "roles"),)
"""The same for every call, so that answers can be compared byte for byte."""


@dataclass(frozen=True)
class Outcome:
    """How a call ended: the refusal, if it was one, and every byte of it."""

    refusal: Refusal | None
    told: bytes = b""

    @property
    def is_forbidden(self) -> bool:
        refusal = self.refusal
        return refusal is not None and (refusal.code.name, refusal.reason) == ("PERMISSION_DENIED", "FORBIDDEN")


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


def outcome(client: Client, method, organization) -> Outcome:
    """Return how a call ended; of a stream, or of a call of several items, how the first of it did."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    answer = message_factory.GetMessageClass(method.output_type).FromString
    shape = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(client.channel, shape)(path, lambda request: request.SerializeToString(), answer)
    request = request_for(method.input_type, organization)
    try:
        answers = call(iter([request]) if method.client_streaming else request, timeout=20, metadata=CALL_ID)
        if method.server_streaming:
            first = next(answers)
            answers.cancel()
            return outcome_of_item(first)
        return outcome_of_item(answers.results[0]) if method.name == "GetAuthority" else Outcome(None)
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        assert refusal.reason != "MALFORMED_NAME", "the request does not get as far as to be forbidden"
        trailing = {key: value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"}
        return Outcome(refusal, trailing.get("grpc-status-details-bin", b""))


def outcome_of_item(item) -> Outcome:
    if "status" not in {field.name for field, _ in item.ListFields()}:
        return Outcome(None)
    return Outcome(refusal_told(item.status), item.status.SerializeToString(deterministic=True))


@pytest.fixture(scope="module")
def two(service):
    return service.new_organization("own"), service.new_organization("foreign")


@pytest.fixture(scope="module")
def callers(service, two):
    """A client of each kind; those that have a role have it in the own organisation."""
    own = two[0].id
    for role in ("auditor", "console"):
        grant(service, f"spiffe://keystead.dev/roles/{role}", role, *([own] if role == "auditor" else []))
    found = {role: stranger(service, f"spiffe://keystead.dev/roles/{role}") for role in ("auditor", "console")}
    found["nobody"] = stranger(service, "spiffe://keystead.dev/nobody")
    found["operator"] = service.client("operator")
    found["administrator"], found["service"] = service.client(f"admin:{own}"), service.client(f"service:{own}")
    return found


def test_the_table_of_roles_names_every_rpc_that_the_server_shows(service):
    database = ProtoReflectionDescriptorDatabase(service.client("operator").channel)
    ours = [name for name in database.get_services() if name.startswith("keystead.")]
    found = set()
    for name in ours:
        file = database.FindFileContainingSymbol(name)
        for described in file.service:
            found |= {method.name for method in described.method}
    assert set(ours) == set(SERVICES)
    assert found == set(METHODS) == {operation.value for operation in Operation} == set(ALLOWED)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ROLES)
def test_each_role_may_do_what_the_table_says_in_its_own_organisation_only(callers, two, method, kind):
    own, foreign = two
    client, described = callers[kind], METHODS[method]
    may = ROLES[kind] in ALLOWED[Operation(method)]
    assert outcome(client, described, own.id).is_forbidden == (not may)
    unknown = f"unknown-{os.urandom(4).hex()}"
    elsewhere = [outcome(client, described, name) for name in (foreign.id, unknown)]
    if kind == "operator" and may:
        assert not any(it.is_forbidden for it in elsewhere)
    elif may and method in UNBOUND:
        assert not any(it.refusal for it in elsewhere)
    else:
        # What is somebody else's, and what does not exist, look the same, down to the last byte.
        assert all(it.is_forbidden for it in elsewhere)
        assert elsewhere[0].told == elsewhere[1].told != b""
        assert elsewhere[0] == elsewhere[1]


def test_a_list_shows_to_each_caller_what_is_its_own(callers, two):
    for kind in ("administrator", "auditor", "service"):
        answer = callers[kind].organizations.ListOrganizations(organizations.ListOrganizationsRequest())
        assert [organization.name for organization in answer.organizations] == [two[0].name]
    everything = callers["operator"].organizations.ListOrganizations(
        organizations.ListOrganizationsRequest(page_size=1000)
    )
    assert {two[0].name, two[1].name} <= {organization.name for organization in everything.organizations}
