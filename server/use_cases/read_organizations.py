"""Show organisations."""

from collections.abc import Sequence

from server.domain.ids import OrganizationId
from server.domain.organizations import Organization
from server.domain.ports import Transaction
from server.domain.roles import Caller, Operation, Role, authorize
from server.use_cases.authority import read_authority
from server.use_cases.environment import Environment
from server.use_cases.paging import Page, PageRequest, cut
from server.use_cases.views import OrganizationView, view_organization


def _views(tx: Transaction, organizations: Sequence[Organization]) -> list[OrganizationView]:
    totals = dict.fromkeys((organization.id for organization in organizations), 0)
    for (organization, _), count in tx.keks.count_by_main_key(list(totals)).items():
        totals[organization] += count
    leading = tx.main_keys.leading(list(totals))
    return [OrganizationView(it, leading[it.id], totals[it.id]) for it in organizations]


class GetOrganization:
    """Show one organisation."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self, caller: Caller, organization: OrganizationId) -> OrganizationView:
        """Return the organisation.

        Raises:
            ForbiddenError: the caller has no grant for it.
            ResourceNotFoundError: it does not exist.
        """
        authorize(caller, Operation.GET_ORGANIZATION, organization)
        with self._env.storage.read() as tx:
            return view_organization(tx, read_authority(tx, organization))


class ListOrganizations:
    """Show a page of organisations."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self, caller: Caller, page: PageRequest) -> Page[OrganizationView]:
        """Return those that the caller may see, by id.

        Raises:
            ForbiddenError: the caller has no grant at all.
            InvalidFieldError: the page asked for cannot be.
        """
        authorize(caller, Operation.LIST_ORGANIZATIONS, None)
        everything = any(grant.role is Role.OPERATOR for grant in caller.grants)
        only = None if everything else frozenset().union(*(grant.organizations for grant in caller.grants))
        after = OrganizationId(page.last_id) if page.last_id else None
        with self._env.storage.read() as tx:
            found = cut(tx.organizations.page(after, page.limit + 1, only), page.limit, lambda item: item.id)
            return Page(_views(tx, found.items), found.next_token)
