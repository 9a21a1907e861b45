"""The record of changes of one organisation, played again from its start by the domain's own table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby

from server.domain.audit import COUNTED, AuditAction
from server.domain.ids import COMMON
from server.domain.main_keys import COMMON_MOVES, LOCKING_STATES, MOVES, Action, State
from tests.support.rows import Rows

_STEWARDS = {Action.DRAIN, Action.EXPIRE, Action.PURGE}
"""What happens by itself, and only by itself."""
_NEVER = datetime.max.replace(tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUERY = """
    SELECT sequence, time, actor, action, subject, from_state, to_state FROM audit_events
    WHERE organization = :organization ORDER BY sequence
"""


@dataclass(frozen=True)
class Event:
    """One row of the record."""

    sequence: int
    time: datetime
    actor: str
    action: AuditAction
    subject: str | None
    from_state: State | None
    to_state: State | None

    @property
    def is_stewards(self) -> bool:
        return self.actor == "steward"


def events_of(rows: Rows, organization: str) -> list[Event]:
    events = []
    for sequence, time, actor, action, subject, *states in rows.all(_QUERY, organization=organization):
        moved = action == AuditAction.MAIN_KEY_MOVED
        from_state, to_state = (State(state) if moved and state else None for state in states)
        moment = _EPOCH + timedelta(microseconds=time)
        events.append(Event(sequence, moment, actor, AuditAction(action), subject, from_state, to_state))
    return events


@dataclass(frozen=True)
class Scene:
    """How the organisation stood after a change."""

    epoch: int
    in_charge: str
    state: State
    byok_enabled: bool


@dataclass
class Stay:
    """A key was in this state from then until then."""

    state: State
    since: datetime
    until: datetime = _NEVER


@dataclass
class Replay:
    """Plays events, and holds each against the table."""

    stays: dict[str, list[Stay]] = field(default_factory=dict)
    prior: dict[str, State] = field(default_factory=dict)
    in_charge: str = COMMON
    epoch: int = 1
    byok_enabled: bool = False
    paused: set[str] = field(default_factory=set)
    scenes: list[Scene] = field(default_factory=list)

    def play(self, events: Sequence[Event]) -> None:
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        # What is collected for a moment before it is written changes nothing, and its time is a little behind.
        events = [event for event in events if event.action not in COUNTED]
        times = [event.time for event in events]
        assert times == sorted(times)
        assert events[0].action is AuditAction.ORGANIZATION_CREATED
        self.stays[COMMON] = [Stay(State.ACTIVE, events[0].time)]
        self._take_scene()
        for _, change in groupby(events[1:], key=lambda event: event.time):
            self._commit(list(change))

    def state(self, key: str) -> State | None:
        return self.stays[key][-1].state if key in self.stays else None

    def states(self) -> dict[str, State]:
        return {key: stays[-1].state for key, stays in self.stays.items()}

    def _commit(self, change: Sequence[Event]) -> None:
        for event in change:
            self._happen(event)
        activated = [it.subject for it in change if it.to_state is State.ACTIVE]
        if activated:
            (self.in_charge,) = activated
        moved = {it.subject for it in change if it.to_state is not None}
        if self.in_charge in moved:
            self.epoch += 1
        self._check_counts()
        self._take_scene()

    def _happen(self, event: Event) -> None:
        match event.action:
            case AuditAction.MAIN_KEY_MOVED:
                self._move(event)
            case AuditAction.MAIN_KEY_IMPORTED:
                if event.subject not in self.stays:
                    self._stay(event, State.PENDING)
            case AuditAction.BYOK_ENABLED | AuditAction.BYOK_DISABLED:
                enabled = event.action is AuditAction.BYOK_ENABLED
                assert enabled is not self.byok_enabled, event
                self.byok_enabled = enabled
            case AuditAction.ROTATION_PAUSED:
                assert event.subject not in self.paused, event
                self.paused.add(event.subject)
            case AuditAction.ROTATION_RESUMED:
                self.paused.remove(event.subject)
            case _:
                pass

    def _move(self, event: Event) -> None:
        assert self.state(event.subject) is event.from_state, event
        actions = self._actions(event)
        assert actions, f"no move leads there: {event}"
        by_itself = bool(actions & _STEWARDS)
        ends_a_time = event.from_state is State.REVOKED and Action.ACTIVATE in actions
        assert by_itself or ends_a_time if event.is_stewards else not by_itself, event
        if event.to_state is State.DELETED:
            self.prior[event.subject] = event.from_state
        self._stay(event, event.to_state)

    def _actions(self, event: Event) -> set[Action]:
        """Return the actions by which the table leads from the one state to the other."""
        if event.from_state is None:
            # A key that is imported to be used now: it is PENDING for no moment that anybody sees.
            return {Action.ACTIVATE} if event.to_state is State.ACTIVE and event.subject not in self.stays else set()
        table = COMMON_MOVES if event.subject == COMMON else MOVES
        actions = {action for (state, action), to in table.items() if (state, to) == (event.from_state, event.to_state)}
        if event.from_state is State.DELETED:
            actions.discard(Action.UNDELETE)
            if event.to_state is self.prior[event.subject]:
                actions.add(Action.UNDELETE)
        return actions

    def _stay(self, event: Event, state: State) -> None:
        stays = self.stays.setdefault(event.subject, [])
        if stays:
            stays[-1].until = event.time
        stays.append(Stay(state, event.time))

    def _check_counts(self) -> None:
        states = self.states().items()
        check_counts((state, self.prior[key] if state is State.DELETED else None) for key, state in states)
        assert self.state(self.in_charge) in LOCKING_STATES | {State.ACTIVE}

    def _take_scene(self) -> None:
        state = self.state(self.in_charge)
        assert state is not None
        self.scenes.append(Scene(self.epoch, self.in_charge, state, self.byok_enabled))


def check_counts(states: Iterable[tuple[str, str | None]]) -> None:
    """Hold the states of an organisation's main keys, each with the one before DELETED, against what may be at once."""
    found = list(states)
    leading = [it for it in found if it[0] in {State.ACTIVE, State.REVOKED} or it == (State.DELETED, State.REVOKED)]
    assert len(leading) == 1, found
    assert sum(state == State.PENDING for state, _ in found) <= 1, found
    assert sum(it == (State.DELETED, State.PENDING) for it in found) <= 1, found
