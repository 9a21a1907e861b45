"""KEKs that stay in the token between calls: a bounded number for each session, the least recently used first to go.

Their objects belong to a session of their own, the keeper, in which nothing else is done. So they outlive a session
that had to be closed because a caller's input failed in it, and they all go when the keeper is closed.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KekCacheLimits:
    """How much stays loaded.

    Attributes:
        keks: KEKs in each session, 1 or more.
        lifetime: seconds after which a KEK is loaded anew.
    """

    keks: int = 1000
    lifetime: float = 600.0


DEFAULT_KEK_LIMITS = KekCacheLimits()


@dataclass(frozen=True, slots=True)
class LoadedKek:
    """A KEK's object in the token.

    Attributes:
        handle: the object.
        tenant: whose KEK it is.
        stamp: with which it was loaded; it is not used with another one.
        until: seconds of the monotonic clock, from which on it is not used any more.
    """

    handle: int
    tenant: str
    stamp: int
    until: float


class LoadedKeks:
    """What one session has loaded, by what the KEK is bound to. Only who has the session uses it; it calls nothing."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[bytes, LoadedKek] = OrderedDict()

    def __len__(self) -> int:
        return len(self._loaded)

    def __contains__(self, context: bytes) -> bool:
        return context in self._loaded

    def find(self, context: bytes, stamp: int, now: float) -> int | None:
        """Return the handle of a KEK that can still be used, and note its use."""
        found = self._loaded.get(context)
        if found is None or found.stamp != stamp or found.until <= now:
            return None
        self._loaded.move_to_end(context)
        return found.handle

    def add(self, context: bytes, kek: LoadedKek) -> None:
        """Note what was loaded."""
        self._loaded[context] = kek

    def forget(self, context: bytes) -> list[LoadedKek]:
        """Forget one KEK, which is to be unloaded if it was there."""
        found = self._loaded.pop(context, None)
        return [] if found is None else [found]

    def forget_oldest(self, limit: int) -> list[LoadedKek]:
        """Forget the least recently used, so that no more than `limit` are left."""
        return [self._loaded.popitem(last=False)[1] for _ in range(len(self._loaded) - limit)]

    def forget_tenants(self, tenants: frozenset[str], now: float) -> list[LoadedKek]:
        """Forget all KEKs of these tenants, and all whose time is over."""
        gone = [context for context, it in self._loaded.items() if it.tenant in tenants or it.until <= now]
        return [self._loaded.pop(context) for context in gone]

    def forget_all(self) -> int:
        """Forget everything, since the keeper is closed; return how many there were."""
        count = len(self._loaded)
        self._loaded.clear()
        return count


@dataclass(frozen=True, slots=True)
class KekStatistics:
    """What was counted since the process began: uses without a load, loads, and objects that went again."""

    hits: int = 0
    loads: int = 0
    unloads: int = 0

    @property
    def loaded(self) -> int:
        """Return how many objects are in the token now."""
        return self.loads - self.unloads


class KekCounter:
    """Counts for all sessions of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hits = self._loads = self._unloads = 0

    def add(self, *, hits: int = 0, loads: int = 0, unloads: int = 0) -> None:
        """Count what happened."""
        with self._lock:
            self._hits += hits
            self._loads += loads
            self._unloads += unloads

    def read(self) -> KekStatistics:
        """Return what was counted until now."""
        with self._lock:
            return KekStatistics(self._hits, self._loads, self._unloads)
