import pytest

from server.domain.errors import ForbiddenError
from server.domain.ids import OrganizationId
from server.domain.roles import ALLOWED, UNBOUND_ROLES, Caller, Grant, Operation, Role, authorize

ACME, OTHER = OrganizationId("acme"), OrganizationId("other")


def caller(role: Role, *organizations: OrganizationId) -> Caller:
    return Caller("spiffe://test/x", (Grant(role, frozenset(organizations)),))


def test_every_operation_has_its_roles():
    assert set(ALLOWED) == set(Operation)
    assert all(ALLOWED.values())


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("role", Role)
def test_a_grant_allows_what_the_table_says_for_its_own_organizations_only(operation, role):
    someone = caller(role) if role in UNBOUND_ROLES else caller(role, ACME)
    if role not in ALLOWED[operation]:
        with pytest.raises(ForbiddenError):
            authorize(someone, operation, ACME)
        return
    authorize(someone, operation, ACME)
    if role is not Role.OPERATOR:
        with pytest.raises(ForbiddenError):
            authorize(someone, operation, OTHER)


@pytest.mark.parametrize("operation", Operation)
def test_a_caller_without_grants_may_do_nothing(operation):
    for organization in (None, ACME):
        with pytest.raises(ForbiddenError):
            authorize(Caller("spiffe://test/x", ()), operation, organization)


def test_roles_of_different_organizations_do_not_mix():
    both = Caller(
        "spiffe://test/x",
        (Grant(Role.ADMINISTRATOR, frozenset({ACME})), Grant(Role.SERVICE, frozenset({OTHER}))),
    )
    authorize(both, Operation.IMPORT_MAIN_KEY, ACME)
    with pytest.raises(ForbiddenError):
        authorize(both, Operation.IMPORT_MAIN_KEY, OTHER)
    with pytest.raises(ForbiddenError):
        authorize(both, Operation.CREATE_KEK, ACME)


def test_an_operator_touches_no_keys():
    operator = caller(Role.OPERATOR)
    touched = {operation for operation in Operation if Role.OPERATOR in ALLOWED[operation]}
    assert touched == {Operation.CREATE_ORGANIZATION, Operation.GET_ORGANIZATION, Operation.LIST_ORGANIZATIONS}
    authorize(operator, Operation.LIST_ORGANIZATIONS, None)


def test_an_auditor_sees_what_an_administrator_sees_and_changes_nothing():
    seen = {operation for operation in Operation if Role.AUDITOR in ALLOWED[operation]}
    assert seen == {it for it in Operation if it.startswith(("Get", "List", "Watch", "Export"))} - {
        Operation.GET_WRAPPING_KEY,  # it may make one
        Operation.GET_AUTHORITY,  # for services
        Operation.WATCH_ORGANIZATION,  # likewise
    }
    assert all(Role.ADMINISTRATOR in ALLOWED[operation] for operation in seen)


def test_a_console_may_do_nothing_by_itself():
    assert not any(Role.CONSOLE in allowed for allowed in ALLOWED.values())
