"""Content keys that are kept, and by when each organisation's must have been renewed: rules and locks, no calls.

1. A kept key is given out only while the organisation's lease is good: it was told to be ACTIVE in answer to a request
   that was sent no longer ago than the lease that came with it. The clock goes on while the machine sleeps.
2. What is pushed can take away and never give: it renews no lease.
3. Another epoch, another state than ACTIVE, the end of the lease: everything of the organisation goes, and its
   generation goes up. An answer to what was asked in an earlier generation is not kept.
4. What is told of an older epoch than the one known is not believed: it was on its way for too long.
5. A key that goes is overwritten.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from keystead.client.content_keys import Item

_IDLE = 60.0
"""Seconds for which an organisation's lease is renewed though none of its keys is kept or asked for."""
_FIRST = 2.0
"""Seconds after which an organisation's first lease is asked for, if nobody has."""
_LEAST_PAUSE = 0.05
"""Seconds between two questions for a lease, at least."""
_VOID = float("-inf")
"""The end of a lease that there is not."""

_KeyId = tuple[bytes, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """What may be kept.

    Attributes:
        keys: content keys of one organisation, 1 or more; the one that was not used for longest goes first.
        lifetime: seconds for which a content key is kept, whether it is used or not.
        watches: organisations of which changes are told at once, by a stream each; 0 for none. The others' changes are
            found when their leases are renewed. Each stream takes a thread here and one of the service's.
    """

    keys: int = 1000
    lifetime: float = 600.0
    watches: int = 4

    def __post_init__(self) -> None:
        if self.keys < 1 or self.lifetime <= 0 or self.watches < 0:
            raise ValueError(f"{self}: keys and lifetime must be above 0, and watches not below.")


def boot_time() -> float:
    """Return seconds since the machine started, those included in which it slept, where it can tell."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(slots=True)
class _Key:
    value: bytearray
    good_until: float


@dataclass(slots=True, eq=False)
class _Organization:
    """What is known and kept of one organisation."""

    name: str
    used: float
    renew_at: float
    keys: "OrderedDict[_KeyId, _Key]" = field(default_factory=OrderedDict)
    epoch: int | None = None
    is_locked: bool = False
    lease_until: float = _VOID
    generation: int = 0

    def drop(self) -> None:
        """Overwrite and forget every key; nothing that was asked for before is kept any more."""
        self.generation += 1
        self.lease_until = _VOID
        for key in self.keys.values():
            _overwrite(key)
        self.keys.clear()


@dataclass(frozen=True, slots=True)
class Ticket:
    """An organisation's generation at the moment at which something is asked."""

    organization: _Organization
    generation: int


class KeyCache:
    """The content keys that are kept. Every method is for any thread."""

    def __init__(self, limits: CacheLimits, clock: Callable[[], float] = boot_time) -> None:
        self._limits = limits
        self._clock = clock
        self._known: dict[str, _Organization] = {}
        self._changed = threading.Condition(threading.Lock())
        self._sweep_at = clock() + limits.lifetime / 4

    # Content keys.

    def enter(self, organization: str) -> bool:
        """Have an organisation's lease kept from now on; return whether that is new."""
        with self._changed:
            now = self._clock()
            known = self._known.get(organization)
            if known is None:
                # Whoever enters it asks for its first lease, and is given the time to.
                self._known[organization] = _Organization(organization, now, now + _FIRST)
                self._changed.notify_all()
                return True
            known.used = now
            return False

    def take(self, organization: str, items: Sequence[Item]) -> list[bytes | None]:
        """Return a copy of each content key that is kept and may be given out."""
        with self._changed:
            now = self._clock()
            known = self._known.get(organization)
            if known is None:
                return [None] * len(items)
            known.used = now
            self._end_lease(known, now)
            return [self._take(known, _id_of(item), now) for item in items]

    def ticket(self, organization: str) -> Ticket:
        """Return what `keep` wants to know of the moment before a question is sent."""
        with self._changed:
            now = self._clock()
            known = self._known.setdefault(organization, _Organization(organization, now, now + _FIRST))
            return Ticket(known, known.generation)

    def keep(self, ticket: Ticket, unwrapped: Mapping[int, bytes], items: Sequence[Item]) -> bool:
        """Keep what was answered, if nothing has happened since it was asked; the indices are those of the items.

        Returns:
            False if the organisation was seen to be locked since it was asked: then the answer is older than that.
        """
        with self._changed:
            known, now = ticket.organization, self._clock()
            self._end_lease(known, now)
            if known.generation != ticket.generation:
                return not known.is_locked
            if self._known.get(known.name) is known and now < known.lease_until:
                for index, value in unwrapped.items():
                    self._put(known, _id_of(items[index]), value, now)
            return True

    def _end_lease(self, known: _Organization, now: float) -> None:
        """Drop everything if the lease is over."""
        if known.lease_until != _VOID and now >= known.lease_until:
            known.drop()
            self._changed.notify_all()

    def _take(self, known: _Organization, key_id: _KeyId, now: float) -> bytes | None:
        key = known.keys.get(key_id)
        if key is None:
            return None
        if now >= key.good_until:
            _overwrite(known.keys.pop(key_id))
            return None
        known.keys.move_to_end(key_id)
        return bytes(key.value)

    def _put(self, known: _Organization, key_id: _KeyId, value: bytes, now: float) -> None:
        older = known.keys.pop(key_id, None)
        if older is not None:
            _overwrite(older)
        known.keys[key_id] = _Key(bytearray(value), now + self._limits.lifetime)
        while len(known.keys) > self._limits.keys:
            _overwrite(known.keys.popitem(last=False)[1])

    # What is told of organisations.

    def told(self, organization: str, epoch: int, *, is_active: bool, sent: float = 0.0, lease: float = 0.0) -> None:
        """Take note of what the service says.

        Args:
            organization: of which.
            epoch: of the organisation.
            is_active: whether it may work.
            sent: when the question was sent, by this cache's clock. Of what is pushed nobody knows.
            lease: seconds for which that may be relied on from then; 0 for what is pushed.
        """
        with self._changed:
            known = self._known.get(organization)
            if known is None or (known.epoch is not None and epoch < known.epoch):
                return
            now = self._clock()
            self._end_lease(known, now)
            if known.epoch is not None and (epoch, is_active) != (known.epoch, not known.is_locked):
                known.drop()
                known.renew_at = now
            known.epoch, known.is_locked = epoch, not is_active
            if lease > 0:
                known.renew_at = max(now + _LEAST_PAUSE, sent + lease / 2)
                if is_active and now < sent + lease:
                    known.lease_until = max(known.lease_until, sent + lease)
            self._changed.notify_all()

    def not_told(self, organization: str, pause: float) -> None:
        """Take note that an organisation's lease was not renewed; it may be asked for again after `pause` seconds."""
        with self._changed:
            known = self._known.get(organization)
            if known is not None:
                known.renew_at = self._clock() + max(_LEAST_PAUSE, pause)
                self._changed.notify_all()

    def distrust(self, organization: str) -> None:
        """Drop everything of an organisation, since the service refuses to work for it; ask anew whether that is so."""
        with self._changed:
            known = self._known.get(organization)
            if known is not None and known.lease_until != _VOID:
                known.drop()
                known.renew_at = self._clock()
                self._changed.notify_all()

    def knows(self, organization: str) -> bool:
        """Return whether an organisation's lease is kept."""
        return organization in self._known

    def is_without_lease(self, organization: str) -> bool:
        """Return whether an organisation's lease should be good, and is not."""
        known = self._known.get(organization)
        return known is not None and self._clock() >= known.lease_until

    # Keeping house.

    def tidy(self) -> list[str]:
        """Drop what may not be kept any more, and return the organisations whose leases are to be kept."""
        with self._changed:
            now = self._clock()
            for known in list(self._known.values()):
                self._end_lease(known, now)
                if now >= self._sweep_at:
                    for key_id in [it for it, key in known.keys.items() if now >= key.good_until]:
                        _overwrite(known.keys.pop(key_id))
                if not known.keys and now >= known.used + _IDLE:
                    known.drop()
                    del self._known[known.name]
            if now >= self._sweep_at:
                self._sweep_at = now + self._limits.lifetime / 4
            return list(self._known)

    def renewal_is_due(self) -> bool:
        """Return whether it is time to ask for leases."""
        with self._changed:
            return any(self._clock() >= known.renew_at for known in self._known.values())

    def seconds_of_lease(self) -> float:
        """Return for how long all leases that there are stay good; 0 if there are none."""
        with self._changed:
            ends = [known.lease_until for known in self._known.values() if known.lease_until != _VOID]
            return max(0.0, min(ends) - self._clock()) if ends else 0.0

    def wait(self, is_over: Callable[[], bool]) -> None:
        """Return when there is something to tidy or to renew, or when `wake` was called and it is over."""
        with self._changed:
            while not is_over():
                moments = [min(it.renew_at, it.lease_until) if it.keys else it.renew_at for it in self._known.values()]
                left = min([*moments, self._sweep_at]) - self._clock()
                if left <= 0:
                    return
                self._changed.wait(left)

    def wake(self) -> None:
        """Have `wait` look again."""
        with self._changed:
            self._changed.notify_all()

    def clear(self, organization: str | None = None) -> None:
        """Drop everything of an organisation, or of all."""
        with self._changed:
            for known in list(self._known.values()):
                if organization in {None, known.name}:
                    known.drop()
                    del self._known[known.name]
            self._changed.notify_all()

    def clear_in_child(self) -> None:
        """Overwrite everything in a forked process, in which nobody will ever release the lock."""
        for known in self._known.values():
            known.drop()


def _id_of(item: Item) -> _KeyId:
    return bytes(item.data), frozenset(item.context.items())


def _overwrite(key: _Key) -> None:
    key.value[:] = bytes(len(key.value))
