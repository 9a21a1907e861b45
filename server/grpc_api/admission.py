"""Who may ask the token now: content-key calls take turns, and are refused when too many wait.

They come at speed, from machines. So they get as many places as the token can serve and a short queue, and what is more
is refused at once, while it is cheap: those that are served keep their latency, and threads and a session are left for
administrators, operators and health.
"""

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

import grpc

from server.domain.errors import CallerGoneError, OverloadedError, TokenExhaustedError

_PATIENCE = 5.0
"""Seconds that a call waits for its turn."""


class WaitingCaller:
    """A caller that waits for its answer, until its deadline has passed or it hangs up."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._hung_up = not context.add_callback(self._hang_up)
        self._deadline = time.monotonic() + context.time_remaining()

    def _hang_up(self) -> None:
        self._hung_up = True

    def seconds_left(self) -> float:
        """Return for how long it waits at most."""
        return max(0.0, self._deadline - time.monotonic())

    def demand(self) -> None:
        """Return if it is still there.

        Raises:
            CallerGoneError: it is not.
        """
        if self._hung_up or time.monotonic() >= self._deadline:
            raise CallerGoneError


class Admission:
    """The places of content-key calls, and the queue before them."""

    def __init__(self, places: int, queue: int, token_answers: Callable[[], None]) -> None:
        self._limit = places + queue
        self._here = 0
        self._lock = threading.Lock()
        # One for each place: a semaphore, which is not written in Python as that of threading is.
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(places):
            self._places.put(None)
        self._token_answers = token_answers

    def enter(self, caller: WaitingCaller) -> None:
        """Wait for a place, which is kept until `leave`.

        Raises:
            TokenHangsError: a call hangs in the token, so there is no telling when a place gets free.
            OverloadedError: too many wait already.
            TokenExhaustedError: no place got free in time.
            CallerGoneError: when it was its turn, the caller was gone.
        """
        self._token_answers()
        with self._lock:
            if self._here >= self._limit:
                raise OverloadedError
            self._here += 1
        try:
            self._places.get(timeout=min(_PATIENCE, caller.seconds_left()))
        except Empty:
            self._go()
            caller.demand()
            raise TokenExhaustedError from None
        try:
            caller.demand()
        except CallerGoneError:
            self.leave()
            raise

    def leave(self) -> None:
        """Give the place back."""
        self._places.put(None)
        self._go()

    def _go(self) -> None:
        with self._lock:
            self._here -= 1
