"""The records of what no transaction writes down by itself: the use of content keys, and refusals.

A process collects them in memory and writes them several times a second, each time in one transaction: the calls
themselves wait for no database. What is collected when a process is killed is lost; when it is stopped, it is written.

What may be collected is bounded. If records of content keys have waited too long, or are too many, since they cannot
be written, no content key is handed out any more: it would be one that nobody is told of. (An operator may have it
otherwise; then the log tells how many went unrecorded.)
"""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import AuditUnavailableError, KeysteadError, StorageUnavailableError
from server.domain.ids import ObjectId, OrganizationId
from server.domain.roles import Caller, Operation
from server.domain.usage import HourOfUse
from server.use_cases.environment import Environment
from server.use_cases.refusals import Refusal, Refusals, told_actor

_log = logging.getLogger(__name__)

RECORDS_LIMIT = 10_000
"""Records that differ in more than their count and wait to be written."""
HOURS_INTERVAL = 1.0
"""Seconds between two times that the hours of use are written."""


class Use(NamedTuple):
    """What content keys were used for."""

    organization: OrganizationId
    kek: ObjectId | None
    """None if it is not known to be one of the organisation's."""
    operation: Operation
    caller: str
    reason: str | None
    """Why it was refused; None if it was not."""


@dataclass(slots=True)
class _Counted:
    count: int
    since: datetime
    until: datetime

    def add(self, other: "_Counted") -> None:
        self.count += other.count
        self.since, self.until = min(self.since, other.since), max(self.until, other.until)


_Told = tuple[tuple[ObjectId | None, str | None], int]
"""KEK, reason and how many."""
_Uses = dict[Use, _Counted]
_Lost = dict[OrganizationId, _Counted]


class Records:
    """What this process has collected since it wrote last."""

    def __init__(self, env: Environment) -> None:
        self._storage = env.storage
        self._clock = env.clock
        self._monotonic = env.monotonic
        self._patience = env.limits.unwritten_records.total_seconds()
        self._serves_unrecorded = env.limits.serves_unrecorded
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._uses: _Uses = {}
        self._lost: _Lost = {}
        self._since: dict[OrganizationId, float] = {}
        """When the oldest use that is collected of an organisation was, by the monotonic clock."""
        self._in_writing_since: dict[OrganizationId, float] = {}
        """The same of what is being written at this moment."""
        self._refusals = Refusals(env.clock, env.monotonic)
        self._hours: dict[tuple[OrganizationId, datetime], _Counted] = {}
        self._hours_kept = -HOURS_INTERVAL

    def demand_room(self, organization: OrganizationId) -> None:
        """Return if the use of an organisation's content keys can be recorded.

        Raises:
            AuditUnavailableError: it cannot, now.
        """
        since = self._in_writing_since.get(organization) or self._since.get(organization)
        is_too_late = since is not None and self._monotonic() - since > self._patience
        if (is_too_late or len(self._uses) >= RECORDS_LIMIT) and not self._serves_unrecorded:
            raise AuditUnavailableError

    def used(self, caller: Caller, organization: OrganizationId, operation: Operation, uses: Iterable[_Told]) -> None:
        """Collect what a call did: for each KEK and reason (None if it was done) of its items, how many."""
        now, actor = self._clock(), caller.identity
        with self._lock:
            if organization not in self._since:
                self._since[organization] = self._monotonic()
            for (kek, reason), count in uses:
                use = Use(organization, kek, operation, actor, reason)
                known = self._uses.get(use)
                if known is None:
                    self._collect(use, _Counted(count, now, now))
                else:
                    # What almost every call does.
                    known.count += count
                    known.until = now

    def _collect(self, use: Use, counted: _Counted) -> None:
        known = self._uses.get(use)
        if known is not None:
            known.add(counted)
        elif len(self._uses) < RECORDS_LIMIT:
            self._uses[use] = counted
        elif (lost := self._lost.get(use.organization)) is not None:
            lost.add(counted)
        elif len(self._lost) < RECORDS_LIMIT:
            self._lost[use.organization] = counted

    def refused(self, refusal: Refusal) -> None:
        """Collect a refusal, or count it."""
        self._refusals.add(refusal)

    def write(self, *, is_last: bool = False) -> None:
        """Write what was collected; what cannot be written is collected again.

        Args:
            is_last: write also what else waits for its time.

        Raises:
            StorageUnavailableError: the database does not take it.
        """
        with self._writing:
            with self._lock:
                batch = _Batch(self._uses, self._lost, self._refusals.take(is_last=is_last))
                self._uses, self._lost = {}, {}
                self._in_writing_since, self._since = self._since, {}
            try:
                self._keep(batch)
                self._keep_hours(is_last=is_last)
            except Exception as error:
                self._take_back(batch)
                if isinstance(error, KeysteadError):
                    raise
                _log.error("records_not_written", exc_info=True)
                raise StorageUnavailableError from error
            self._in_writing_since = {}

    def _keep(self, batch: "_Batch") -> None:
        events = batch.events()
        if not events:
            return
        for organization in self._storage.record(events):
            for use, counted in batch.written(organization):
                self._count_hour(use, counted)
            with self._lock:
                self._in_writing_since.pop(organization, None)

    def _take_back(self, batch: "_Batch") -> None:
        self._refusals.give_back(batch.refusals)
        with self._lock:
            later_uses, self._uses = self._uses, batch.uses
            later_lost, self._lost = self._lost, batch.lost
            for use, counted in later_uses.items():
                self._collect(use, counted)
            for organization, counted in later_lost.items():
                self._lost.setdefault(organization, _Counted(0, counted.since, counted.until)).add(counted)
            self._since |= self._in_writing_since
            self._in_writing_since = {}

    # The hours of use, which previews tell of: people read them, and nothing is decided by them.

    def _count_hour(self, use: Use, counted: _Counted) -> None:
        """Add to an hour of use: what was refused is none, a rewrap is two."""
        if use.reason is not None:
            return
        times = 2 if use.operation is Operation.REWRAP_CONTENT_KEYS else 1
        place = use.organization, counted.until.replace(minute=0, second=0, microsecond=0)
        hour = self._hours.setdefault(place, _Counted(0, counted.since, counted.until))
        hour.add(_Counted(times * counted.count, counted.since, counted.until))

    def _keep_hours(self, *, is_last: bool) -> None:
        now = self._monotonic()
        if not self._hours or not (is_last or now - self._hours_kept >= HOURS_INTERVAL):
            return
        hours = [HourOfUse(organization, hour, it.count, it.until) for (organization, hour), it in self._hours.items()]
        with self._storage.write() as tx:
            tx.uses.add(hours)
        self._hours, self._hours_kept = {}, now


@dataclass(slots=True)
class _Batch:
    """What is being written; what was written leaves it."""

    uses: _Uses
    lost: _Lost
    refusals: list[AuditEvent]

    def events(self) -> dict[OrganizationId, list[AuditEvent]]:
        """Return it as events, by organisation."""
        found: dict[OrganizationId, list[AuditEvent]] = {}
        for use, counted in self.uses.items():
            found.setdefault(use.organization, []).append(_event(use, counted))
        for organization, counted in self.lost.items():
            found.setdefault(organization, []).append(_lost_event(organization, counted))
        for refusal in self.refusals:
            found.setdefault(refusal.organization, []).append(refusal)
        return found

    def written(self, organization: OrganizationId) -> list[tuple[Use, _Counted]]:
        """Let go what is of this organisation, and return the uses."""
        ours = [(use, counted) for use, counted in self.uses.items() if use.organization == organization]
        for use, _ in ours:
            del self.uses[use]
        self.lost.pop(organization, None)
        self.refusals = [it for it in self.refusals if it.organization != organization]
        return ours


def _event(use: Use, counted: _Counted) -> AuditEvent:
    return AuditEvent(
        use.organization,
        counted.until,
        told_actor(use.caller),
        AuditAction.CONTENT_KEYS_USED,
        use.kek,
        operation=use.operation,
        reason=use.reason,
        count=counted.count,
        since=counted.since,
    )


def _lost_event(organization: OrganizationId, counted: _Counted) -> AuditEvent:
    lost = AuditAction.RECORDS_LOST
    return AuditEvent(organization, counted.until, "*", lost, None, count=counted.count, since=counted.since)
