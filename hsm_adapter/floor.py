"""Who may work now, of the threads that use a token whose work is done in this process.

Python lets go of its own lock at each call into a library. Where calls are as short as those of a soft token, threads
that make many of them side by side hand that lock to each other at each, which takes longer than the call itself. So
batches take turns, short enough that nobody notices.
"""

import threading
from collections import deque
from time import monotonic

TURN = 0.001
"""Seconds after which a thread lets another one work that waits."""
PATIENCE = 0.05
"""Seconds after which a thread does not wait any longer: something takes long that was meant to be short."""


class Floor:
    """One thread has it at a time, in the order in which they came.

    Attributes:
        waiting: a lock for each thread that waits for it, which lets it in.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self.waiting: deque[threading.Lock] = deque()

    def take(self) -> bool:
        """Wait for it, and return whether the thread has it now; if not, it has waited for long enough."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            gate = threading.Lock()
            gate.acquire()
            self.waiting.append(gate)
        if gate.acquire(timeout=PATIENCE):
            return True
        with self._lock:
            if gate not in self.waiting:
                return True  # It was handed over at the last moment.
            self.waiting.remove(gate)
            return False

    def leave(self) -> None:
        """Hand it to the thread that has waited for the longest time."""
        with self._lock:
            if self.waiting:
                self.waiting.popleft().release()
            else:
                self._is_taken = False


class Turns:
    """The turns of one batch, piece by piece. What consists of one piece waits for nobody."""

    def __init__(self, floor: Floor | None) -> None:
        """Have no turn yet.

        Args:
            floor: what there are turns at; None if all may work side by side.
        """
        self._floor = floor
        self._is_first = True
        self._until = 0.0
        self._has_it = False

    def next(self) -> None:
        """Return when the next piece may be worked on."""
        floor = self._floor
        if floor is None:
            return
        if self._is_first:
            self._is_first = False
            return
        if self._has_it:
            if not floor.waiting or monotonic() < self._until:
                return
            floor.leave()
        self._has_it = floor.take()
        self._until = monotonic() + TURN
        if not self._has_it:
            self._floor = None

    def end(self) -> None:
        """Let others work: there is no further piece."""
        if self._has_it and self._floor is not None:
            self._floor.leave()
