"""How often a KEK may still encrypt: blocks are taken in the database before they are used.

A block that its process did not use up is lost, so the count in the database is never too low. When a version of a KEK
has none left, a new version takes over; what the old one wrapped still unwraps.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from server.domain.errors import ConcurrentChangeError, ResourceNotFoundError
from server.domain.ids import KekName, ObjectId
from server.domain.keks import Kek
from server.domain.roles import Caller
from server.use_cases.environment import Environment
from server.use_cases.new_keks import make_kek

_KEKS_REMEMBERED = 100_000
_TRIES = 10
"""New versions that others may use up before we have had a share."""


@dataclass(slots=True)
class _Share:
    """What this process may still encrypt under one version of a KEK."""

    version: ObjectId
    left: int


class Encryptions:
    """The share that one process has of the encryptions of each KEK."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._shares: OrderedDict[KekName, _Share] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: Caller, kek: KekName, count: int) -> ObjectId:
        """Set encryptions aside for the caller; return the id of the version of the KEK that is to make them.

        Raises:
            ResourceNotFoundError: there is no such KEK.
            OrganizationLockedError: the KEK needs a new version, and its organisation may not work.
        """
        known = self._take_known(kek, count)
        if known is not None:
            return known
        for _ in range(_TRIES):
            newest = self._reserve(kek, count)
            if isinstance(newest, _Share):
                return newest.version
            make_kek(self._env, caller, kek.organization, spent=newest)
        raise ConcurrentChangeError

    def _take_known(self, kek: KekName, count: int) -> ObjectId | None:
        with self._lock:
            share = self._shares.get(kek)
            if share is None or share.left < count:
                return None
            share.left -= count
            self._shares.move_to_end(kek)
            return share.version

    def _reserve(self, kek: KekName, count: int) -> "_Share | Kek":
        """Take a block of the newest version's encryptions for this call and later ones; or return that version."""
        limit = self._env.limits.kek_encryptions
        block = max(self._env.limits.encryptions_block, count)
        with self._env.storage.write() as tx:
            newest = tx.keks.newest(kek.organization, kek.id)
            if newest is None:
                raise ResourceNotFoundError(str(kek))
            if not tx.keks.reserve_encryptions(kek.organization, newest.id, block, limit):
                block = count
                if not tx.keks.reserve_encryptions(kek.organization, newest.id, block, limit):
                    return newest
        with self._lock:
            share = self._shares.setdefault(kek, _Share(newest.id, 0))
            if share.version != newest.id:
                share.version, share.left = newest.id, 0
            share.left += block - count
            self._shares.move_to_end(kek)
            if len(self._shares) > _KEKS_REMEMBERED:
                self._shares.popitem(last=False)
        return _Share(newest.id, count)
