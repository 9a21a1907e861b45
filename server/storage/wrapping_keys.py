"""The rows of wrapping keys."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.ids import ObjectId, OrganizationId
from server.domain.wrapping_keys import FAILED_UPLOADS_LIMIT, Algorithm, WrappingKey, WrappingKeyState
from server.storage.part import Part, values_of
from server.storage.tables import wrapping_keys as table


def _wrapping_key(row: sa.RowMapping) -> WrappingKey:
    return WrappingKey(**row)


class WrappingKeys(Part, ports.WrappingKeys):
    """The wrapping keys of all organisations."""

    @override
    def add(self, key: WrappingKey) -> None:
        self.execute(sa.insert(table).values(values_of(key)))

    @override
    def find(self, organization: OrganizationId, key: ObjectId) -> WrappingKey | None:
        query = sa.select(table).where(table.c.organization == organization, table.c.id == key)
        return self.one(query, _wrapping_key)

    @override
    def usable(self, organization: OrganizationId, algorithm: Algorithm | None, now: datetime) -> WrappingKey | None:
        query = (
            sa.select(table)
            .where(
                table.c.organization == organization,
                table.c.state == WrappingKeyState.USABLE,
                table.c.failed_uploads < FAILED_UPLOADS_LIMIT,
                table.c.expire_time > now,
            )
            .order_by(table.c.create_time.desc(), table.c.id.desc())
            .limit(1)
        )
        if algorithm is not None:
            query = query.where(table.c.algorithm == algorithm)
        return self.one(query, _wrapping_key)

    @override
    def update(self, key: WrappingKey) -> None:
        self.change(
            sa.update(table)
            .where(table.c.organization == key.organization, table.c.id == key.id)
            .values(values_of(key))
        )

    @override
    def are_known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        query = sa.select(table.c.id).where(table.c.id.in_(list(ids)), table.c.state == WrappingKeyState.USABLE)
        return set(self.ids(query))

    @override
    def expired(self, now: datetime, limit: int) -> list[WrappingKey]:
        query = (
            sa.select(table)
            .where(table.c.state == WrappingKeyState.USABLE, table.c.expire_time <= now)
            .order_by(table.c.expire_time)
            .limit(limit)
        )
        return self.all(query, _wrapping_key)
