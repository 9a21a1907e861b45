"""Calls that do not return: a call into a library cannot be cancelled, but it can be seen that it hangs.

One watch for the whole process, as a library is in it only once. When a call has lasted for too long, the breaker
opens: nobody else is sent into the library, where they would hang too. When the call returns, the breaker closes again.
When it has lasted much too long, the process gives up: only its end frees the thread.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from hsm_adapter.errors import HsmHangsError

_log = logging.getLogger(__name__)

_LONGEST_TICK = 0.5
_TICKS = 10
"""Looks that the watchdog takes at least before a call counts as one that hangs."""

calls: dict[int, tuple[str, float]] = {}
"""The function that each thread is in, by the thread's id, and since when on the monotonic clock. A thread changes only
its own entry, which Python does in one step; so the threads need no lock, and a call costs a sixth of a microsecond."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call may last.

    Attributes:
        warning: then the breaker opens.
        limit: then the process gives up.
    """

    warning: timedelta = timedelta(seconds=30)
    limit: timedelta = timedelta(seconds=120)


class _Breaker:
    """Open while a call hangs."""

    def __init__(self) -> None:
        self.hanging: str | None = None
        self.warning = 0.0


_breaker = _Breaker()


def demand_answering() -> None:
    """Return if no call hangs.

    Raises:
        HsmHangsError: one does.
    """
    if _breaker.hanging is None:
        return
    # It may have returned since the watchdog looked; it must not be refused itself what it asks next.
    function, seconds = _longest()
    if seconds >= _breaker.warning:
        raise HsmHangsError(f"{function} does not return, so nothing else is asked of the token.")


@contextmanager
def watched(patience: Patience, give_up: Callable[[], None]) -> Iterator[None]:
    """Watch the calls of this process for a block.

    Args:
        patience: how long a call may last.
        give_up: ends the process, though threads of it hang.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(patience, give_up, ended), name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _breaker.hanging = None


def _watch(patience: Patience, give_up: Callable[[], None], ended: threading.Event) -> None:
    warning, limit = patience.warning.total_seconds(), patience.limit.total_seconds()
    tick = min(_LONGEST_TICK, warning / _TICKS)
    while not ended.wait(tick):
        function, seconds = _longest()
        if seconds < warning:
            if _breaker.hanging is not None:
                _breaker.hanging = None
                _log.warning("token_answers_again")
            continue
        if _breaker.hanging is None:
            _log.error("token_hangs", extra={"function": function, "seconds": round(seconds, 1)})
        _breaker.warning, _breaker.hanging = warning, function
        if seconds >= limit:
            _log.critical("token_given_up", extra={"function": function, "seconds": round(seconds, 1)})
            give_up()
            return


def _longest() -> tuple[str, float]:
    """Return the function that has been called for the longest time, and for how many seconds; none is 0."""
    now = time.monotonic()
    # The copy is made in one step: the threads change the original meanwhile.
    function, since = min(calls.copy().values(), key=lambda call: call[1], default=("", now))
    return function, now - since
