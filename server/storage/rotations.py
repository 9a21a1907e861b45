"""The rows of rotations."""

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.ids import ObjectId, OrganizationId
from server.domain.rotations import Rotation, RotationCounts, RotationState
from server.storage.part import Part, values_of
from server.storage.tables import rotations as table


def _rotation(row: sa.RowMapping) -> Rotation:
    return Rotation(**row)


class Rotations(Part, ports.Rotations):
    """The rotations of all organisations."""

    @override
    def add(self, rotation: Rotation) -> None:
        self.execute(sa.insert(table).values(values_of(rotation)))

    @override
    def find(self, organization: OrganizationId, rotation: ObjectId) -> Rotation | None:
        query = sa.select(table).where(table.c.organization == organization, table.c.id == rotation)
        return self.one(query, _rotation)

    @override
    def page(self, organization: OrganizationId, before: ObjectId | None, limit: int) -> list[Rotation]:
        query = (
            sa.select(table)
            .where(table.c.organization == organization)
            .order_by(table.c.start_time.desc(), table.c.id.desc())
            .limit(limit)
        )
        if before is not None:
            query = self.page_before(query, table, "start_time", organization, before)
        return self.all(query, _rotation)

    @override
    def unfinished(self, organization: OrganizationId) -> list[Rotation]:
        query = sa.select(table).where(table.c.organization == organization, table.c.end_time.is_(None))
        return self.all(query, _rotation)

    @override
    def count_unfinished(self) -> RotationCounts:
        query = (
            sa.select(
                table.c.state,
                sa.func.count().label("number"),
                sa.func.sum(table.c.total - table.c.done).label("left"),
                sa.func.sum(table.c.failed).label("failed"),
            )
            .where(table.c.end_time.is_(None))
            .group_by(table.c.state)
        )
        rows = self.all(query, dict)
        number = {row["state"]: row["number"] for row in rows}
        return RotationCounts(
            running=number.get(RotationState.RUNNING, 0),
            paused=number.get(RotationState.PAUSED, 0),
            keks_left=sum(int(row["left"]) for row in rows),
            keks_failed=sum(int(row["failed"]) for row in rows),
        )

    @override
    def update(self, rotation: Rotation) -> None:
        self.change(
            sa.update(table)
            .where(table.c.organization == rotation.organization, table.c.id == rotation.id)
            .values(values_of(rotation))
        )
