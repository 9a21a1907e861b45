"""The calls of a worker: counted by method and code, with their times.

It is done in every call, so it is done in plain numbers: about a microsecond a call.
"""

import threading
from bisect import bisect_left

from server.observability.catalogue import BOUNDS, CALL_SECONDS, CALLS, CALLS_IN_FLIGHT
from server.observability.samples import Labels, Samples, Value

_FAULTS = ("DATA_LOSS", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE")
"""Codes that are shown before they happen: a growth from nothing to 1 is no growth to Prometheus."""


class MethodCalls:
    """The calls of one method."""

    __slots__ = ("_lock", "_others", "_successes", "_sum", "_times", "in_flight")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.in_flight = 0
        self._successes = 0
        self._others = dict.fromkeys(_FAULTS, 0)
        self._times = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def begun(self) -> None:
        """Count a call that a thread works on."""
        with self._lock:
            self.in_flight += 1

    def ended(self, code: str | None, seconds: float | None) -> None:
        """Count a call that has ended.

        Args:
            code: the gRPC code's name; None for OK.
            seconds: how long it took; None if that says nothing, as with streams.
        """
        with self._lock:
            self.in_flight -= 1
            if code is None:
                self._successes += 1
            else:
                self._others[code] = self._others.get(code, 0) + 1
            if seconds is not None:
                self._times[bisect_left(BOUNDS, seconds)] += 1
                self._sum += seconds

    def so_far(self) -> tuple[int, dict[str, int], list[float]]:
        """Return the calls in flight, those that ended by code, and the times as a histogram."""
        with self._lock:
            codes = {"OK": self._successes, **self._others}
            return self.in_flight, codes, [*self._times, self._sum]


class CallCounts:
    """The calls of all methods of a process."""

    def __init__(self) -> None:
        self._methods: dict[Labels, MethodCalls] = {}

    def of(self, service: str, method: str) -> MethodCalls:
        """Return the counts of a method that the server has: names from outside would grow without bound."""
        return self._methods.setdefault((service, method), MethodCalls())

    def samples(self) -> Samples:
        """Return the counts."""
        calls: dict[Labels, Value] = {}
        seconds: dict[Labels, Value] = {}
        in_flight: dict[Labels, Value] = {}
        for method, counts in list(self._methods.items()):
            in_flight[method], codes, times = counts.so_far()
            calls |= {(*method, code): float(count) for code, count in codes.items()}
            if any(times):
                seconds[method] = times
        return {CALLS.name: calls, CALL_SECONDS.name: seconds, CALLS_IN_FLIGHT.name: in_flight}
