"""Show KEKs."""

from server.domain.errors import ResourceNotFoundError
from server.domain.ids import KekName, ObjectId, OrganizationId
from server.domain.keks import Kek
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.authority import read_authority
from server.use_cases.environment import Environment
from server.use_cases.paging import Page, PageRequest, cut


class GetKek:
    """Show one KEK."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self, caller: Caller, name: KekName) -> Kek:
        """Return the newest version of the KEK.

        Raises:
            ForbiddenError: the caller neither administers nor serves the organisation.
            ResourceNotFoundError: there is no such KEK.
        """
        authorize(caller, Operation.GET_KEK, name.organization)
        with self._env.storage.read() as tx:
            kek = tx.keks.newest(name.organization, name.id)
        if kek is None:
            raise ResourceNotFoundError(str(name))
        return kek


class ListKeks:
    """Show a page of an organisation's KEKs."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self, caller: Caller, organization: OrganizationId, page: PageRequest) -> Page[Kek]:
        """Return the KEKs by id, of each its newest version.

        Raises:
            ForbiddenError: the caller neither administers nor serves the organisation.
            InvalidFieldError: the page asked for cannot be.
            ResourceNotFoundError: there is no such organisation.
        """
        authorize(caller, Operation.LIST_KEKS, organization)
        after = ObjectId(page.last_id) if page.last_id else None
        with self._env.storage.read() as tx:
            read_authority(tx, organization)
            found = tx.keks.page(organization, after, page.limit + 1)
        return cut(found, page.limit, lambda kek: kek.kek)
