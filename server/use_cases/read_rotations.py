"""Show rotations."""

from server.domain.errors import ResourceNotFoundError
from server.domain.ids import ObjectId, OrganizationId, RotationName
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.authority import read_authority
from server.use_cases.environment import Environment
from server.use_cases.paging import Page, PageRequest, cut
from server.use_cases.views import RotationView, view_rotation


class GetRotation:
    """Show one rotation."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(
        self, caller: Caller, name: RotationName, operation: Operation = Operation.GET_ROTATION
    ) -> RotationView:
        """Return the rotation; `operation` is what the caller does with it.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            ResourceNotFoundError: there is no such rotation.
        """
        authorize(caller, operation, name.organization)
        with self._env.storage.read() as tx:
            rotation = tx.rotations.find(name.organization, name.id)
            if rotation is None:
                raise ResourceNotFoundError(str(name))
            return view_rotation(tx, rotation)


class ListRotations:
    """Show a page of an organisation's rotations."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self, caller: Caller, organization: OrganizationId, page: PageRequest) -> Page[RotationView]:
        """Return the rotations, newest first.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            InvalidFieldError: the page asked for cannot be.
            ResourceNotFoundError: there is no such organisation.
        """
        authorize(caller, Operation.LIST_ROTATIONS, organization)
        before = ObjectId(page.last_id) if page.last_id else None
        with self._env.storage.read() as tx:
            read_authority(tx, organization)
            found = cut(tx.rotations.page(organization, before, page.limit + 1), page.limit, lambda it: it.id)
            return found.map(lambda rotation: view_rotation(tx, rotation))
