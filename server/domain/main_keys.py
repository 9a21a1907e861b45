"""The life of a main key, as one table.

Rules kept here:
- `MOVES` is all there is: a pair of state and action that is not in it is illegal.
- The common key has its own, shorter table: it is never revoked, deleted or removed, since it serves all organisations.
- Undelete leads back to the state before the deletion.
- Recovery leads out of REMOVED only for the key in charge (`in_charge`), that is, one that was deleted while it locked
  its organisation; a key that was rotated out and removed is never recovered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from server.domain.errors import IllegalTransitionError
from server.domain.ids import ObjectId, OrganizationId


class Origin(StrEnum):
    """Where a main key comes from."""

    COMMON = "COMMON"
    UPLOADED = "UPLOADED"


class State(StrEnum):
    """Where a main key is in its life."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    ROTATING = "ROTATING"
    RETIRED = "RETIRED"
    REVOKED = "REVOKED"
    DELETED = "DELETED"
    REMOVED = "REMOVED"


class Action(StrEnum):
    """What can happen to a main key."""

    ACTIVATE = "ACTIVATE"
    REPLACE = "REPLACE"
    """Another key was activated."""
    DRAIN = "DRAIN"
    """No KEK is left under it."""
    EXPIRE = "EXPIRE"
    """The lifetime of a RETIRED key ended."""
    REVOKE = "REVOKE"
    DELETE = "DELETE"
    UNDELETE = "UNDELETE"
    PURGE = "PURGE"
    """The time in which a deletion can be undone ended."""
    RECOVER = "RECOVER"
    """The same key was imported again."""


ADMINISTRATORS_ACTIONS = (Action.ACTIVATE, Action.REVOKE, Action.DELETE, Action.UNDELETE, Action.RECOVER)
"""The actions that people ask for; the others happen by themselves."""

LOCKING_STATES = frozenset({State.REVOKED, State.DELETED, State.REMOVED})
"""The states in which the key in charge locks its organisation."""

IN_TOKEN_STATES = frozenset(State) - {State.REMOVED}
"""The states in which the key's object is in the token."""

MOVES: Mapping[tuple[State, Action], State] = MappingProxyType(
    {
        (State.PENDING, Action.ACTIVATE): State.ACTIVE,
        (State.PENDING, Action.DELETE): State.DELETED,
        (State.ACTIVE, Action.REPLACE): State.ROTATING,
        (State.ACTIVE, Action.REVOKE): State.REVOKED,
        (State.ROTATING, Action.DRAIN): State.RETIRED,
        (State.RETIRED, Action.EXPIRE): State.REMOVED,
        (State.REVOKED, Action.ACTIVATE): State.ACTIVE,
        (State.REVOKED, Action.DELETE): State.DELETED,
        (State.DELETED, Action.UNDELETE): State.REVOKED,
        (State.DELETED, Action.PURGE): State.REMOVED,
        (State.REMOVED, Action.RECOVER): State.ACTIVE,
    }
)
"""The life of an uploaded key. UNDELETE leads to the state before the deletion (REVOKED is only the usual one)."""

COMMON_MOVES: Mapping[tuple[State, Action], State] = MappingProxyType(
    {
        (State.ACTIVE, Action.REPLACE): State.ROTATING,
        (State.ROTATING, Action.DRAIN): State.RETIRED,
        (State.ROTATING, Action.ACTIVATE): State.ACTIVE,
        (State.RETIRED, Action.ACTIVATE): State.ACTIVE,
    }
)
"""The life of the common key in one organisation: it takes over again whenever BYOK is disabled."""


@dataclass(frozen=True, slots=True)
class MainKey:
    """A main key of one organisation. Its value is in the token, under `object_id`."""

    organization: OrganizationId
    id: ObjectId
    object_id: ObjectId
    """The CKA_ID of its object in the token. The common key has one object for all organisations."""
    origin: Origin
    state: State
    prior_state: State | None
    """The state before DELETED; None in every other state."""
    fingerprint: bytes
    """32 bytes: SHA-256 of AES-KW(key, 32 zero bytes)."""
    create_time: datetime
    state_time: datetime
    purge_time: datetime | None
    """When it leaves, or left, the token; None when nothing is set."""


def next_state(key: MainKey, action: Action, *, in_charge: bool) -> State | None:
    """Return the state that `action` leads to, or None where it is illegal."""
    table = COMMON_MOVES if key.origin is Origin.COMMON else MOVES
    target = table.get((key.state, action))
    if target is None or (action is Action.RECOVER and not in_charge):
        return None
    return key.prior_state if action is Action.UNDELETE else target


def next_moves(key: MainKey, *, in_charge: bool) -> tuple[Action, ...]:
    """Return what people can ask for now, in a fixed order.

    The common key offers nothing here: it takes over when BYOK is disabled, and not by a move of its own.
    """
    if key.origin is Origin.COMMON:
        return ()
    return tuple(action for action in ADMINISTRATORS_ACTIONS if next_state(key, action, in_charge=in_charge))


def transition(
    key: MainKey, action: Action, *, now: datetime, in_charge: bool, purge_time: datetime | None = None
) -> MainKey:
    """Return `key` as it is after `action`.

    Pure: no clock, no storage, no HSM. The caller commits the result.

    Args:
        key: the key as it is.
        action: what happens.
        now: aware UTC; becomes `state_time`.
        in_charge: whether it is the organisation's main key.
        purge_time: aware UTC; when the new state is to end by removal from the token.

    Raises:
        IllegalTransitionError: `key.state` does not allow `action`; carries the legal next moves.
    """
    target = next_state(key, action, in_charge=in_charge)
    if target is None:
        raise IllegalTransitionError(action, key.state, next_moves(key, in_charge=in_charge))
    prior = key.state if target is State.DELETED else None
    return replace(key, state=target, prior_state=prior, state_time=now, purge_time=purge_time)
