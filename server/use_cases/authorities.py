"""Who may work now, known without asking the database in every call.

A process remembers what it last saw of each organisation that it serves, and when the database was last known to have
nothing newer. What was seen is good for a lease (`Limits.authority_lease`, half the revocation bound) from the moment
before it was read; then it is void, and calls fail unless it can be read again. So a revocation holds everywhere at
the latest one lease after its commit, whatever is stopped, slow or cut off; notices of the database only make it
sooner. Time is measured by a clock that goes on while the machine sleeps.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count

from server.domain.authority import AuthoritySnapshot
from server.domain.errors import KeysteadError, ResourceNotFoundError, StorageUnavailableError
from server.domain.ids import OrganizationId, OrganizationName
from server.domain.ports import Changes
from server.use_cases.environment import Environment

_LOOK = 0.5
"""Seconds after which, at the latest, the database is looked at, though it has given no notice."""
_NOTICE = 0.1
"""Seconds that the notice of a change takes, when nothing is wrong."""
_PAUSE = 0.25
"""Seconds for which the database is not asked again after it did not answer."""
_SLOW = 1.0
"""Seconds after which a question that is not answered counts as not answered."""
_IDLE = 600.0
"""Seconds after which an organisation that was not asked for is not kept up to date any more."""


class _Questions:
    """Who may ask the database now: everybody while it answers, and one at a time when it does not."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: dict[int, float] = {}
        """When each was asked."""
        self._numbers = count()
        self._failed: float | None = None
        """When one failed, if none was answered since."""

    @contextmanager
    def asked(self, *, always: bool = False) -> Iterator[None]:
        """Ask in a block; `always` is for who has to go on asking.

        Raises:
            StorageUnavailableError: it is not to be asked now; or what the block raises.
        """
        with self._lock:
            now = self._clock()
            if not always and not self._may_be_asked(now):
                raise StorageUnavailableError
            number = next(self._numbers)
            self._under_way[number] = now
        try:
            yield
        except StorageUnavailableError:
            self._failed = self._clock()
            raise
        else:
            self._failed = None
        finally:
            with self._lock:
                del self._under_way[number]

    def _may_be_asked(self, now: float) -> bool:
        if self._failed is not None:
            return not self._under_way and self._failed + _PAUSE <= now
        return all(now < asked + _SLOW for asked in self._under_way.values())


@dataclass(slots=True)
class _Known:
    """What was seen of one organisation."""

    snapshot: AuthoritySnapshot
    as_of: float
    """The database had nothing newer then."""
    applied: float
    """When the snapshot arrived: a question begun later sees no older one."""
    used: float


class Authorities:
    """What one process knows of the organisations that it serves."""

    def __init__(self, env: Environment) -> None:
        self._storage = env.storage
        self._custody = env.custody
        self._clock = env.monotonic
        self._sleep_until = env.sleep_until
        self._lease = env.limits.authority_lease.total_seconds()
        self._bound = env.limits.revocation_bound.total_seconds()
        self._known: dict[OrganizationId, _Known] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._questions = _Questions(env.monotonic)
        self._heard = float("-inf")
        """When the database was last heard to have changed: what was read before may lack that change."""
        self.changes_seen = 0

    def demand_unlocked(self, organization: OrganizationId) -> AuthoritySnapshot:
        """Return what decides, if the organisation may work now.

        That it may not is made sure of in the database, so that a reactivation holds at once.

        Raises:
            OrganizationLockedError: it may not.
            StateDamagedError: its rows say something else than the audit log.
            ResourceNotFoundError: it does not exist.
            StorageUnavailableError: it is not known, since the database does not answer.
        """
        known = self._known.get(organization)
        now = self._clock()
        if known is None or known.as_of + self._lease <= now:
            known = self._ask(organization)
        else:
            snapshot = known.snapshot
            if not snapshot.is_locked:
                # What almost every call finds.
                known.used = now
                return snapshot
            known = self._ask_again(known)
        known.used = now
        snapshot = known.snapshot
        snapshot.demand_unlocked()
        return snapshot

    def describe(self, organization: OrganizationId) -> tuple[AuthoritySnapshot, float]:
        """Return what is known of an organisation, and for how many seconds a client may rely on it.

        Raises:
            StateDamagedError: its rows say something else than the audit log.
            ResourceNotFoundError: it does not exist.
            StorageUnavailableError: it is not known, since the database does not answer.
        """
        known = self._known.get(organization)
        now = self._clock()
        if known is None or known.as_of + self._lease <= now:
            known = self._ask(organization)
        known.used = now
        known.snapshot.demand_undamaged()
        return known.snapshot, max(0.0, known.as_of + self._bound - self._clock())

    def wait_for_change(self, organization: OrganizationId, epoch: int, seconds: float) -> None:
        """Return when the organisation has another epoch, at the latest after `seconds`."""

        def is_other() -> bool:
            known = self._known.get(organization)
            return known is None or known.snapshot.epoch != epoch

        with self._changed:
            self._changed.wait_for(is_other, seconds)

    def settle(self) -> None:
        """Return when every process that hears of changes should have heard of one that was just committed."""
        self._sleep_until(self._clock() + _NOTICE)

    @property
    def age(self) -> float:
        """Return the seconds since the database was last known to have nothing newer of the oldest organisation."""
        now = self._clock()
        return max((now - known.as_of for known in list(self._known.values())), default=0.0)

    # The database.

    def _ask_again(self, known: _Known) -> _Known:
        try:
            return self._ask(known.snapshot.organization)
        except StorageUnavailableError:
            return known

    def _ask(self, organization: OrganizationId) -> _Known:
        self._read([organization])
        known = self._known.get(organization)
        if known is None:
            raise ResourceNotFoundError(str(OrganizationName(organization)))
        if known.as_of + self._lease < self._clock():
            raise StorageUnavailableError
        return known

    def _read(self, organizations: Sequence[OrganizationId], *, always: bool = False) -> None:
        as_of = self._clock()
        with self._questions.asked(always=always), self._storage.read() as tx:
            found = tx.organizations.authorities(organizations)
        changed: set[OrganizationId] = set()
        with self._changed:
            now = self._clock()
            for snapshot in found:
                before = self._known.get(snapshot.organization)
                if before is None:
                    self._known[snapshot.organization] = _Known(snapshot, as_of, now, now)
                elif self._renew(before, snapshot, as_of, now):
                    changed.add(snapshot.organization)
            for organization in set(organizations) - {snapshot.organization for snapshot in found}:
                self._known.pop(organization, None)
            if changed:
                self.changes_seen += len(changed)
                self._changed.notify_all()
        if changed:
            self._custody.unload_keks(frozenset(changed))

    def _renew(self, known: _Known, snapshot: AuthoritySnapshot, as_of: float, now: float) -> bool:
        """Take what was read at `as_of` in place of what is known; return whether it is something else."""
        if snapshot.epoch < known.snapshot.epoch and as_of < known.applied:
            return False  # Two questions were under way at once, and this is the older one's answer.
        known.as_of = max(known.as_of, as_of)
        known.applied = now
        if snapshot == known.snapshot:
            return False
        known.snapshot = snapshot
        return True

    # Keeping up to date.

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is known up to date for a block, in a thread of its own."""
        ended = threading.Event()
        thread = threading.Thread(target=self._keep, args=(ended,), name="authorities", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(_LOOK + _SLOW)

    def _keep(self, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                with ExitStack() as kept:
                    with self._questions.asked(always=True):
                        changes = kept.enter_context(self._storage.changes())
                    self._follow(changes, ended)
            except KeysteadError:
                ended.wait(_PAUSE)

    def _follow(self, changes: Changes, ended: threading.Event) -> None:
        self._look(lambda: True)
        pause = min(_LOOK, self._lease / 4)
        while not ended.is_set():
            self._look(lambda: changes.wait(pause))

    def _look(self, is_news: Callable[[], bool]) -> None:
        as_of = self._clock()
        if is_news():
            self._heard = self._clock()
            self._read(self._served(), always=True)
            return
        with self._lock:
            for known in self._known.values():
                # What a call read before the change and brought after it is not up to date, though nothing is new.
                if known.as_of >= self._heard:
                    known.as_of = max(known.as_of, as_of)

    def _served(self) -> list[OrganizationId]:
        """Return the organisations that are asked for, having forgotten the others."""
        with self._lock:
            oldest = self._clock() - _IDLE
            for organization in [it for it, known in self._known.items() if known.used < oldest]:
                del self._known[organization]
            return list(self._known)
