"""The life of a main key, as one table.

Rules kept here:
- `MOVES` is all there is: a pair of state and action that is not in it is illegal.
- The common key has its own, shorter table: it is never revoked, deleted or removed, since it serves all organisations.
- Undelete leads back to the state before the deletion.
- Recovery leads out of REMOVED only for the key in charge (`in_charge`), that is, one that was deleted while it locked
  its organisation; a key that was rotated out and removed is never recovered.
What the other keys of an organisation forbid beside the table is in moves.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

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
    TAKE_OVER = "TAKE_OVER"
    """BYOK was disabled."""


LOCKING_STATES = frozenset({State.REVOKED, State.DELETED, State.REMOVED})
"""The states in which the key in charge locks its organisation."""

ROTATION_PERIOD = timedelta(days=365)
"""A main key should be replaced this long after its activation, at the latest."""

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
        (State.ROTATING, Action.TAKE_OVER): State.ACTIVE,
        (State.RETIRED, Action.TAKE_OVER): State.ACTIVE,
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
    activate_time: datetime | None = None
    """When it was last put in charge; that it came back from REVOKED does not count."""
    revoke_time: datetime | None = None
    """When it was revoked; None unless it is, or was before its deletion."""
    revoke_reason: str = ""
    reactivate_time: datetime | None = None
    """When a timed revocation ends by itself."""
    verify_time: datetime | None = None
    """When a copy was last verified to be this key."""
    missing_time: datetime | None = None
    """Since when its object has been missing in the token; None if it is there, or is not to be."""
    is_reminded: bool = False
    """Whether the reminder to replace it was given."""

    @property
    def due_time(self) -> datetime | None:
        """Return when its state ends by itself; None if it does not."""
        return None if self.state is State.REMOVED else self.reactivate_time or self.purge_time

    @property
    def rotation_due_time(self) -> datetime | None:
        """Return when its owner should replace it; None for a key that was never in charge, and for the common key."""
        if self.origin is Origin.COMMON or self.activate_time is None:
            return None
        return self.activate_time + ROTATION_PERIOD


def next_state(key: MainKey, action: Action, *, in_charge: bool) -> State | None:
    """Return the state that `action` leads to, or None where it is illegal."""
    table = COMMON_MOVES if key.origin is Origin.COMMON else MOVES
    target = table.get((key.state, action))
    if target is None or (action is Action.RECOVER and not in_charge):
        return None
    return key.prior_state if action is Action.UNDELETE else target


def moved(key: MainKey, target: State, *, now: datetime, purge_time: datetime | None = None) -> MainKey:
    """Return `key` in the state `target`, with what goes with it; that the move is legal was made sure of."""
    after = replace(
        key,
        state=target,
        prior_state=key.state if target is State.DELETED else None,
        state_time=now,
        purge_time=purge_time,
        reactivate_time=None,
    )
    if target is State.REVOKED and key.state is State.ACTIVE:
        return replace(after, revoke_time=now)
    if target is not State.ACTIVE:
        return after
    comes_back = key.state in LOCKING_STATES
    return replace(
        after,
        revoke_time=None,
        revoke_reason="",
        activate_time=key.activate_time if comes_back else now,
        is_reminded=key.is_reminded and comes_back,
    )
