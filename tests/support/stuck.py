"""A rotation that goes no further than a test lets it: one of its KEKs is damaged, until it is mended."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from keystead.v1 import rotation_service_pb2 as rotations
from keystead.v1.resources_pb2 import MainKey, Rotation

from tests.support.rows import Rows, rows_of
from tests.support.service import Organization, eventually


@dataclass(frozen=True)
class StuckRotation:
    """All KEKs are re-wrapped but one."""

    org: Organization
    name: str
    to_main_key: MainKey
    damaged: str
    """The id of the KEK that will not unwrap."""
    _rows: Rows
    _wrapped: bytes

    def now(self) -> Rotation:
        return self.org.admin.rotations.GetRotation(rotations.GetRotationRequest(name=self.name))

    def mend(self) -> None:
        """Put the KEK right, and have it tried again at once."""
        statement = "UPDATE keks SET wrapped = :wrapped, retry_time = NULL WHERE id = :id"
        self._rows.change(statement, wrapped=self._wrapped, id=self.damaged)


@contextmanager
def stuck_rotation(org: Organization, keks: int = 3) -> Iterator[StuckRotation]:
    """Have a rotation of so many KEKs to a new main key; what it is stuck in is a service on SQLite."""
    with rows_of(f"sqlite:///{org.service.folder}/keystead.db") as rows:
        damaged = [org.new_kek() for _ in range(keks)][-1].name.rpartition("/")[2]
        (wrapped,) = rows.one("SELECT wrapped FROM keks WHERE id = :id", id=damaged)
        rows.change("UPDATE keks SET wrapped = :wrapped WHERE id = :id", wrapped=os.urandom(len(wrapped)), id=damaged)
        key = org.bring()
        (newest,) = org.admin.rotations.ListRotations(
            rotations.ListRotationsRequest(parent=org.name, page_size=1)
        ).rotations
        stuck = StuckRotation(org, newest.name, key, damaged, rows, wrapped)
        eventually(lambda: (stuck.now().done_count, stuck.now().failed_count) == (keks - 1, 1), "one KEK is left")
        yield stuck
