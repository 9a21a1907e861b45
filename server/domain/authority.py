"""Whether an organisation may work: what was seen of it at one moment."""

from dataclasses import dataclass

from server.domain.errors import OrganizationLockedError, StateDamagedError
from server.domain.ids import MainKeyName, ObjectId, OrganizationId
from server.domain.main_keys import LOCKING_STATES, State

_IN_CHARGE = LOCKING_STATES | {State.ACTIVE}
"""The states that the main key in charge can have."""


@dataclass(frozen=True, slots=True)
class AuthoritySnapshot:
    """An organisation's main key in charge and its state, as they were at one moment."""

    organization: OrganizationId
    epoch: int
    """The organisation's; another one means that the key in charge or its state has changed."""
    main_key: ObjectId
    state: State
    is_recorded: bool = True
    """Whether the audit log tells the same of the key's state."""

    @property
    def is_locked(self) -> bool:
        """Return whether no content key may be made, wrapped or unwrapped."""
        return self.is_damaged or self.state in LOCKING_STATES

    @property
    def is_damaged(self) -> bool:
        """Return whether a key is in charge that was never put in charge, as far as the audit log knows."""
        return not self.is_recorded or self.state not in _IN_CHARGE

    def demand_undamaged(self) -> None:
        """Return if the audit log tells the same of the key's state.

        Raises:
            StateDamagedError: it does not.
        """
        if self.is_damaged:
            raise StateDamagedError(str(MainKeyName(self.organization, self.main_key)))

    def demand_unlocked(self) -> None:
        """Return if the organisation may work.

        Raises:
            OrganizationLockedError: its main key is REVOKED, DELETED or REMOVED.
            StateDamagedError: the audit log does not tell the same of the key's state.
        """
        self.demand_undamaged()
        if self.is_locked:
            raise OrganizationLockedError(str(MainKeyName(self.organization, self.main_key)), self.state)
