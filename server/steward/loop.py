"""The steward: one process that does, again and again, what nobody waits for."""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta

from server.domain.errors import KeysteadError

_log = logging.getLogger(__name__)

IDLE = timedelta(milliseconds=500)
"""How long the steward rests when there was nothing to do."""
TROUBLE = timedelta(seconds=2)
"""How long it rests when the token or the database did not answer."""


Chore = Callable[[], int]
"""Does a bounded piece of work and returns how much it did, 0 when there was nothing."""


def run(chores: Mapping[str, Chore], stopping: threading.Event) -> None:
    """Do all chores in turn until told to stop.

    Args:
        chores: by name, done in this order.
        stopping: set it to end the loop after the present chore.
    """
    while not stopping.is_set():
        rest = IDLE
        for name, chore in chores.items():
            if stopping.is_set():
                return
            try:
                if chore():
                    rest = timedelta(0)
            except KeysteadError as error:
                # An outage: whatever was begun did not commit. The other chores may still be possible.
                _log.warning("chore_failed", extra={"chore": name, "reason": error.reason})
                rest = TROUBLE
        stopping.wait(rest.total_seconds())
