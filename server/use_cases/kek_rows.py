"""The rows of KEKs that are used often, remembered by each process: they are wrapped, so there is no secret in them.

A KEK that was re-wrapped meanwhile stays the same key, so that its older form is as good as long as the token has the
main key of that form. When it no longer does, the row is read again.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection

from server.domain.authority import AuthoritySnapshot
from server.domain.errors import MainKeyMissingError
from server.domain.ids import KekName, ObjectId, OrganizationId
from server.domain.keks import UsableKek
from server.domain.ports import Storage

_REMEMBERED = 20_000


class KekRows:
    """What one process remembers."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._rows: OrderedDict[tuple[OrganizationId, ObjectId], UsableKek] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, authority: AuthoritySnapshot, keks: Collection[ObjectId]) -> dict[ObjectId, UsableKek]:
        """Return those of the KEKs that exist in the organisation, as they were in its present epoch."""
        organization, epoch = authority.organization, authority.epoch
        known: dict[ObjectId, UsableKek] = {}
        with self._lock:
            for kek in keks:
                row = self._rows.get((organization, kek))
                if row is not None and row.epoch == epoch:
                    self._rows.move_to_end((organization, kek))
                    known[kek] = row
        missing = frozenset(keks) - known.keys()
        return known | self.read(authority, missing) if missing else known

    def read(self, authority: AuthoritySnapshot, keks: frozenset[ObjectId]) -> dict[ObjectId, UsableKek]:
        """Return those of the KEKs that exist in the organisation, as they are now.

        Raises:
            MainKeyMissingError: a KEK is under a main key that has no row.
        """
        organization = authority.organization
        with self._storage.read() as tx:
            found = tx.keks.find_many(organization, keks)
            main_keys = {it.main_key: tx.main_keys.find(organization, it.main_key) for it in found.values()}
        rows: dict[ObjectId, UsableKek] = {}
        for kek in found.values():
            main_key = main_keys[kek.main_key]
            if main_key is None:
                raise MainKeyMissingError
            rows[kek.id] = UsableKek(
                organization=organization,
                id=kek.id,
                name=KekName(organization, kek.kek),
                key=kek.key,
                main_key=main_key.object_id,
                epoch=authority.epoch,
            )
        with self._lock:
            for kek_id, row in rows.items():
                self._rows[organization, kek_id] = row
            while len(self._rows) > _REMEMBERED:
                self._rows.popitem(last=False)
        return rows
