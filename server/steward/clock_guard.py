"""A guard against a clock that leaps ahead: deadlines that destroy keys would then all seem to have come."""

import logging
from collections.abc import Callable
from datetime import timedelta

from server.domain.ports import Clock

_log = logging.getLogger(__name__)

LEAP = timedelta(hours=1)
"""The clock may gain this much on the monotonic clock between two looks; more is no correction any more."""


class ClockGuard:
    """Compares the clock with the monotonic clock, at each look since the last."""

    def __init__(self, clock: Clock, monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._seen = clock(), monotonic()
        self._has_leapt = False

    def is_steady(self) -> bool:
        """Return whether the clock has never leapt ahead in this process.

        If it has, only a new start of the process, by an operator who has looked at the clock, makes it good again.
        """
        now, ticks = self._clock(), self._monotonic()
        before, ticks_before = self._seen
        self._seen = now, ticks
        gained = now - before - timedelta(seconds=ticks - ticks_before)
        if gained > LEAP and not self._has_leapt:
            self._has_leapt = True
            _log.error("clock_leapt", extra={"seconds": int(gained.total_seconds()), "held": "removal of keys"})
        return not self._has_leapt

    def guarded(self, chore: Callable[[], int]) -> Callable[[], int]:
        """Return the chore, which does nothing any more once the clock has leapt."""
        return lambda: chore() if self.is_steady() else 0
