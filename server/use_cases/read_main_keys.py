"""Show main keys."""

from server.domain.errors import ResourceNotFoundError
from server.domain.ids import MainKeyName, ObjectId, OrganizationId
from server.domain.main_keys import MainKey
from server.domain.moves import next_moves
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.authority import read_authority, situation
from server.use_cases.environment import Environment
from server.use_cases.paging import Page, PageRequest, cut
from server.use_cases.views import MainKeyView, view_main_key


class GetMainKey:
    """Show one main key."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self, caller: Caller, name: MainKeyName) -> MainKeyView:
        """Return the key.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            ResourceNotFoundError: there is no such key.
        """
        authorize(caller, Operation.GET_MAIN_KEY, name.organization)
        with self._env.storage.read() as tx:
            authority = read_authority(tx, name.organization)
            key = tx.main_keys.find(name.organization, name.id)
            if key is None:
                raise ResourceNotFoundError(str(name))
            return view_main_key(tx, authority, key)


class ListMainKeys:
    """Show a page of an organisation's main keys."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(
        self, caller: Caller, organization: OrganizationId, page: PageRequest, *, show_removed: bool
    ) -> Page[MainKeyView]:
        """Return the keys, newest first.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            InvalidFieldError: the page asked for cannot be.
            ResourceNotFoundError: there is no such organisation.
        """
        authorize(caller, Operation.LIST_MAIN_KEYS, organization)
        before = ObjectId(page.last_id) if page.last_id else None
        with self._env.storage.read() as tx:
            where = situation(tx, read_authority(tx, organization))
            counts = tx.keks.count_by_main_key([organization])
            found = tx.main_keys.page(organization, before, page.limit + 1, show_removed=show_removed)

        def view(key: MainKey) -> MainKeyView:
            return MainKeyView(key, counts.get((organization, key.id), 0), next_moves(key, where))

        return cut(found, page.limit, lambda key: key.id).map(view)
