"""Work that a process does beside its main task, again and again."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from server.domain.errors import KeysteadError

_log = logging.getLogger(__name__)


@contextmanager
def repeated(
    name: str, interval: float, work: Callable[[], None], last: Callable[[], None] | None = None
) -> Iterator[None]:
    """Do the work every `interval` seconds while the block lasts, and once more at its end, or then what is `last`."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(interval):
            _try(name, work)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _try(name, last or work)


def _try(name: str, work: Callable[[], None]) -> None:
    try:
        work()
    except KeysteadError as error:
        # An outage: what was to be done is done the next time.
        _log.warning("background_failed", extra={"work": name, "reason": error.reason})
