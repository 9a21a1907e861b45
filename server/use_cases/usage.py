"""Count the use of content keys: in memory at each call, in the database once in a while.

What a process has counted and not written yet is lost with it: these numbers tell a person what a change would stop,
and nothing is decided by them.
"""

import threading
from datetime import datetime

from server.domain.ids import OrganizationId
from server.domain.ports import Clock, Storage
from server.domain.usage import HourOfUse


class UseCounter:
    """What this process has counted since it wrote last."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        self._hours: dict[tuple[OrganizationId, datetime], tuple[int, datetime]] = {}

    def count(self, organization: OrganizationId, items: int) -> None:
        """Count content keys that were made, wrapped or unwrapped."""
        now = self._clock()
        place = organization, now.replace(minute=0, second=0, microsecond=0)
        with self._lock:
            before, _ = self._hours.get(place, (0, now))
            self._hours[place] = before + items, now

    def write(self) -> None:
        """Write what was counted; if that fails, it is counted on.

        Raises:
            StorageUnavailableError: the database does not answer.
        """
        with self._lock:
            counted, self._hours = self._hours, {}
        if not counted:
            return
        hours = [
            HourOfUse(organization, hour, calls, last_use)
            for (organization, hour), (calls, last_use) in counted.items()
        ]
        try:
            with self._storage.write() as tx:
                tx.uses.add(hours)
        except BaseException:
            with self._lock:
                for place, (calls, last_use) in counted.items():
                    more, later = self._hours.get(place, (0, last_use))
                    self._hours[place] = calls + more, max(last_use, later)
            raise
