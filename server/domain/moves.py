"""Which moves a main key can make in its organisation: the table of main_keys.py, and what the other keys forbid.

- While the key in charge is REVOKED, DELETED or REMOVED, no other key is activated.
- While BYOK is disabled, no key is activated.
- At most one key is PENDING, and at most one that was PENDING is DELETED.
"""

from dataclasses import dataclass
from datetime import datetime

from server.domain.errors import (
    ByokDisabledError,
    DeletedKeyExistsError,
    FailedPreconditionError,
    IllegalTransitionError,
    OrganizationLockedError,
    PendingKeyExistsError,
)
from server.domain.ids import MainKeyName
from server.domain.main_keys import LOCKING_STATES, Action, MainKey, Origin, State, moved, next_state

ADMINISTRATORS_ACTIONS = (Action.ACTIVATE, Action.REVOKE, Action.DELETE, Action.UNDELETE, Action.RECOVER)
"""The actions that people ask for; the others happen by themselves."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What of an organisation decides which moves its main keys can make."""

    in_charge: MainKey
    byok_enabled: bool
    pending: MainKey | None
    """The key that is PENDING."""
    deleted_pending: MainKey | None
    """The key that is DELETED and was PENDING before."""

    @property
    def is_locked(self) -> bool:
        """Return whether the key in charge locks the organisation."""
        return self.in_charge.state in LOCKING_STATES

    def leads(self, key: MainKey) -> bool:
        """Return whether this is the key in charge."""
        return key.id == self.in_charge.id


def name_of(key: MainKey) -> str:
    """Return a main key's resource name."""
    return str(MainKeyName(key.organization, key.id))


def _obstacle(key: MainKey, action: Action, situation: Situation) -> FailedPreconditionError | None:
    """Return what forbids a move that the table allows."""
    waits = key.state is State.PENDING
    if action is Action.ACTIVATE and waits and situation.is_locked:
        return OrganizationLockedError(name_of(situation.in_charge), situation.in_charge.state)
    if action is Action.ACTIVATE and waits and not situation.byok_enabled:
        return ByokDisabledError()
    if action is Action.DELETE and waits and situation.deleted_pending is not None:
        return DeletedKeyExistsError(name_of(situation.deleted_pending))
    if action is Action.UNDELETE and key.prior_state is State.PENDING and situation.pending is not None:
        return PendingKeyExistsError(name_of(situation.pending))
    return None


def next_moves(key: MainKey, situation: Situation) -> tuple[Action, ...]:
    """Return what people can ask for now, in a fixed order.

    The common key offers nothing here: it takes over when BYOK is disabled, and not by a move of its own.
    """
    if key.origin is Origin.COMMON:
        return ()
    in_charge = situation.leads(key)
    return tuple(
        action
        for action in ADMINISTRATORS_ACTIONS
        if next_state(key, action, in_charge=in_charge) and _obstacle(key, action, situation) is None
    )


def transition(
    key: MainKey, action: Action, situation: Situation, *, now: datetime, purge_time: datetime | None = None
) -> MainKey:
    """Return `key` as it is after `action`.

    Pure: no clock, no storage, no HSM. The caller commits the result.

    Args:
        key: the key as it is.
        action: what happens.
        situation: the organisation as it is.
        now: aware UTC; becomes `state_time`.
        purge_time: aware UTC; when the new state is to end by removal from the token.

    Raises:
        IllegalTransitionError: `key.state` does not allow `action`; carries the legal next moves.
        OrganizationLockedError, ByokDisabledError, DeletedKeyExistsError, PendingKeyExistsError: the organisation does
            not allow it now.
    """
    target = next_state(key, action, in_charge=situation.leads(key))
    if target is None:
        raise IllegalTransitionError(action, key.state, next_moves(key, situation))
    obstacle = _obstacle(key, action, situation)
    if obstacle is not None:
        raise obstacle
    return moved(key, target, now=now, purge_time=purge_time)
