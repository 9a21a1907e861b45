"""Refusals, collected within bounds: a flood of them, by one caller or by many, fills no database and no memory.

In a minute, ten refusals of one caller in one organisation for one reason are told one by one, and a hundred of all
callers; the rest is counted, and told as one when the minute is over.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.domain.audit import AuditAction, AuditEvent
from server.domain.ids import OrganizationId
from server.domain.ports import Clock

_log = logging.getLogger(__name__)

OF_A_CALLER = 10
OF_ALL_CALLERS = 100
MINUTE = 60.0
"""Seconds."""
_WINDOWS_LIMIT = 10_000
_WAITING_LIMIT = 5_000
_ACTOR_LIMIT = 2048
"""Characters, as the database has it."""
_EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was refused."""

    organization: OrganizationId
    caller: str
    operation: str
    reason: str
    resource: str | None = None
    request_id: str | None = None
    call_id: str | None = None


@dataclass(slots=True)
class _Window:
    """A minute of one caller, organisation and reason."""

    end: float
    told: int = 0
    counted: int = 0
    first: AuditEvent | None = None
    last: AuditEvent | None = None

    def count(self, event: AuditEvent) -> None:
        self.counted += 1
        self.first, self.last = self.first or event, event


def told_actor(identity: str) -> str:
    """Return an identity as it can be kept, whatever its certificate says."""
    printable = "".join(it if it.isprintable() else "\ufffd" for it in identity)
    return printable[:_ACTOR_LIMIT]


class Refusals:
    """What was refused since it was taken last."""

    def __init__(self, clock: Clock, monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: list[AuditEvent] = []
        self._windows: OrderedDict[tuple[OrganizationId, str, str], _Window] = OrderedDict()

    def add(self, refusal: Refusal) -> None:
        """Collect a refusal, or count it."""
        event = AuditEvent(
            refusal.organization,
            self._clock(),
            told_actor(refusal.caller),
            AuditAction.REFUSED,
            None,
            operation=refusal.operation,
            reason=refusal.reason,
            resource=refusal.resource,
            count=1,
            request_id=refusal.request_id,
            call_id=refusal.call_id,
        )
        with self._lock:
            everybodys = self._window(refusal.organization, _EVERYBODY, refusal.reason)
            if everybodys is None:
                return
            may_be_told = everybodys.told < OF_ALL_CALLERS
            place = refusal.organization, event.actor, refusal.reason
            own = self._window(*place) if may_be_told or place in self._windows else None
            if own is not None and may_be_told and own.told < OF_A_CALLER:
                own.told += 1
                everybodys.told += 1
                self._wait(event)
            else:
                (own or everybodys).count(event)

    def _window(self, organization: OrganizationId, actor: str, reason: str) -> _Window | None:
        """Return the present window, or None if there is no room for one."""
        now, place = self._monotonic(), (organization, actor, reason)
        window = self._windows.get(place)
        if window is not None and now < window.end:
            return window
        if window is not None:
            self._close(place)
        elif len(self._windows) >= _WINDOWS_LIMIT:
            oldest, first = next(iter(self._windows.items()))
            if now < first.end:
                _log.warning("refusal_not_recorded")
                return None
            self._close(oldest)
        window = self._windows[place] = _Window(now + MINUTE)
        return window

    def _close(self, place: tuple[OrganizationId, str, str]) -> None:
        window = self._windows.pop(place)
        if window.first is None or window.last is None:
            return
        _, actor, reason = place
        last = window.last
        is_one = window.first.operation == last.operation
        self._wait(
            AuditEvent(
                last.organization,
                last.time,
                actor,
                AuditAction.REFUSED,
                None,
                operation=last.operation if is_one else None,
                reason=reason,
                count=window.counted,
                since=window.first.time,
                call_id=last.call_id,
            )
        )

    def _wait(self, event: AuditEvent) -> None:
        if len(self._waiting) < _WAITING_LIMIT:
            self._waiting.append(event)
        else:
            _log.warning("refusal_not_recorded")

    def take(self, *, is_last: bool) -> list[AuditEvent]:
        """Return what is to be written: what was collected, and what was counted in minutes that are over."""
        with self._lock:
            now = self._monotonic()
            # The oldest come first: each has the same length.
            over = [place for place, window in self._windows.items() if is_last or now >= window.end]
            for place in over:
                self._close(place)
            taken, self._waiting = self._waiting, []
            return taken

    def give_back(self, events: Sequence[AuditEvent]) -> None:
        """Collect again what could not be written."""
        with self._lock:
            later, self._waiting = self._waiting, []
            for event in (*events, *later):
                self._wait(event)
