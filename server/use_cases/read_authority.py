"""Tell services whether their organisations may work."""

from collections.abc import Sequence
from datetime import timedelta

from server.domain.authority import AuthoritySnapshot
from server.domain.errors import InvalidFieldError, KeysteadError
from server.domain.ids import OrganizationId, OrganizationName
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.authorities import Authorities

ORGANIZATIONS_LIMIT = 1000


class GetAuthority:
    """Tell of many organisations at once."""

    def __init__(self, authorities: Authorities) -> None:
        self._authorities = authorities

    def __call__(
        self, caller: Caller, names: Sequence[str]
    ) -> list[tuple[AuthoritySnapshot, timedelta] | KeysteadError]:
        """Return, for each organisation, what is known and for how long it may be relied on; or why it is not told.

        Raises:
            ForbiddenError: the caller is no service.
            InvalidFieldError: not 1 to 1000 organisations.
        """
        authorize(caller, Operation.GET_AUTHORITY, None)
        if not 1 <= len(names) <= ORGANIZATIONS_LIMIT:
            raise InvalidFieldError("organizations", f"1 to {ORGANIZATIONS_LIMIT} organisations")
        return [self._tell(caller, name) for name in names]

    def _tell(self, caller: Caller, name: str) -> tuple[AuthoritySnapshot, timedelta] | KeysteadError:
        try:
            organization = OrganizationName.parse(name).id
            authorize(caller, Operation.GET_AUTHORITY, organization)
            snapshot, seconds = self._authorities.describe(organization)
        except KeysteadError as error:
            return error
        return snapshot, timedelta(seconds=seconds)


class WatchOrganization:
    """Tell of one organisation again and again."""

    def __init__(self, authorities: Authorities) -> None:
        self._authorities = authorities

    def look(self, caller: Caller, organization: OrganizationId) -> AuthoritySnapshot:
        """Return what is known now.

        Raises:
            ForbiddenError: the caller is no service of the organisation.
            ResourceNotFoundError: it does not exist.
            StorageUnavailableError: it is not known.
        """
        authorize(caller, Operation.WATCH_ORGANIZATION, organization)
        return self._authorities.describe(organization)[0]

    def wait(self, organization: OrganizationId, epoch: int, seconds: float) -> None:
        """Return when the organisation has another epoch, at the latest after `seconds`."""
        self._authorities.wait_for_change(organization, epoch, seconds)
