"""Whether an organisation may work: what was seen of it at one moment."""

from dataclasses import dataclass

from server.domain.errors import OrganizationLockedError
from server.domain.ids import MainKeyName, ObjectId, OrganizationId
from server.domain.main_keys import LOCKING_STATES, State


@dataclass(frozen=True, slots=True)
class AuthoritySnapshot:
    """An organisation's main key in charge and its state, as they were at one moment."""

    organization: OrganizationId
    epoch: int
    """The organisation's; another one means that the key in charge or its state has changed."""
    main_key: ObjectId
    state: State

    @property
    def is_locked(self) -> bool:
        """Return whether no content key may be made, wrapped or unwrapped."""
        return self.state in LOCKING_STATES

    def demand_unlocked(self) -> None:
        """Return if the organisation may work.

        Raises:
            OrganizationLockedError: its main key is REVOKED, DELETED or REMOVED.
        """
        if self.is_locked:
            raise OrganizationLockedError(str(MainKeyName(self.organization, self.main_key)), self.state)
