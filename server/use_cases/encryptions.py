"""How often a KEK may still encrypt: blocks are taken in the database before they are used.

A block that its process did not use up is lost, so the count in the database is never too low.
"""

import threading
from collections import OrderedDict

from server.domain.errors import KekExhaustedError
from server.domain.ids import KekName
from server.domain.keks import ENCRYPTIONS_LIMIT
from server.domain.ports import Storage

_KEKS_REMEMBERED = 100_000


class Encryptions:
    """The share that one process has of the encryptions of each KEK."""

    def __init__(self, storage: Storage, block: int) -> None:
        self._storage = storage
        self._block = block
        self._left: OrderedDict[KekName, int] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, kek: KekName, count: int) -> None:
        """Return when `count` encryptions under the KEK have been set aside for the caller.

        Raises:
            KekExhaustedError: the KEK has not so many left.
        """
        if self._take_known(kek, count):
            return
        block = max(self._block, count)
        with self._storage.write() as tx:
            if not tx.keks.reserve_encryptions(kek.organization, kek.id, block, ENCRYPTIONS_LIMIT):
                block = count
                if not tx.keks.reserve_encryptions(kek.organization, kek.id, block, ENCRYPTIONS_LIMIT):
                    raise KekExhaustedError(str(kek))
        with self._lock:
            self._left[kek] = self._left.get(kek, 0) + block - count
            self._left.move_to_end(kek)
            if len(self._left) > _KEKS_REMEMBERED:
                self._left.popitem(last=False)

    def _take_known(self, kek: KekName, count: int) -> bool:
        with self._lock:
            left = self._left.get(kek, 0)
            if left < count:
                return False
            self._left[kek] = left - count
            self._left.move_to_end(kek)
            return True
