"""Who may do what: every rpc of a running service, every role, the own, a foreign and an unknown organisation."""

import os

import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from keystead.v1 import organization_service_pb2 as organizations

from server.domain.roles import ALLOWED, Operation, Role
from server.grpc_api.server import SERVICES
from tests.support.every_rpc import METHODS, UNBOUND, outcome
from tests.support.strangers import grant, stranger

ROLES = {
    "operator": Role.OPERATOR,
    "administrator": Role.ADMINISTRATOR,
    "auditor": Role.AUDITOR,
    "service": Role.SERVICE,
    "console": Role.CONSOLE,
    "nobody": None,
}
"""The callers, and what the policy says that they are."""


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
