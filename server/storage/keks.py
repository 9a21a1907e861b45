"""The rows of KEKs, and how a batch of them moves from one main key to another."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.ids import ObjectId, OrganizationId
from server.domain.keks import WRAPPING_ALGORITHM, Kek, WrappedKek
from server.domain.main_keys import State
from server.domain.ports import Rewrap
from server.storage.part import Part
from server.storage.tables import keks, main_keys, organizations, rotations


def _kek(row: sa.RowMapping) -> Kek:
    return Kek(
        organization=row["organization"],
        id=row["id"],
        kek=row["kek"],
        version=row["version"],
        main_key=row["main_key"],
        key=WrappedKek(row["wrapped"], row["binding"]),
        reserved_encryptions=row["reserved_encryptions"],
        create_time=row["create_time"],
        rewrap_time=row["rewrap_time"],
        retry_time=row["retry_time"],
    )


def _values(kek: Kek) -> dict[str, Any]:
    return {
        "organization": kek.organization,
        "id": kek.id,
        "kek": kek.kek,
        "version": kek.version,
        "main_key": kek.main_key,
        "algorithm": WRAPPING_ALGORITHM,
        "wrapped": kek.key.wrapped,
        "binding": kek.key.binding,
        "reserved_encryptions": kek.reserved_encryptions,
        "create_time": kek.create_time,
        "rewrap_time": kek.rewrap_time,
        "retry_time": kek.retry_time,
    }


def _failed(organization: OrganizationId, main_key: ObjectId) -> tuple[sa.ColumnElement[bool], ...]:
    """Return what holds of the KEKs under a main key whose last re-wrap failed."""
    return keks.c.organization == organization, keks.c.main_key == main_key, keks.c.retry_time.is_not(None)


_AS_CLAIMED = sa.update(keks).where(
    keks.c.organization == sa.bindparam("of_organization"),
    keks.c.id == sa.bindparam("this"),
    keks.c.main_key == sa.bindparam("from_main_key"),
    keks.c.wrapped == sa.bindparam("claimed"),
)
"""Changes the row of a KEK if it is still as it was claimed."""


def _claimed(kek: Kek) -> dict[str, Any]:
    return {
        "of_organization": kek.organization,
        "this": kek.id,
        "from_main_key": kek.main_key,
        "claimed": kek.key.wrapped,
    }


class Keks(Part, ports.Keks):
    """The KEKs of all organisations."""

    @override
    def add(self, kek: Kek) -> None:
        self.execute(sa.insert(keks).values(_values(kek)))

    @override
    def find_many(self, organization: OrganizationId, ids: frozenset[ObjectId]) -> dict[ObjectId, Kek]:
        query = sa.select(keks).where(keks.c.organization == organization, keks.c.id.in_(sorted(ids)))
        return {kek.id: kek for kek in self.all(query, _kek)}

    @override
    def newest(self, organization: OrganizationId, kek: ObjectId) -> Kek | None:
        versions = sa.select(keks).where(keks.c.organization == organization, keks.c.kek == kek)
        return self.one(versions.order_by(keks.c.version.desc()).limit(1), _kek)

    @override
    def page(self, organization: OrganizationId, after: ObjectId | None, limit: int) -> list[Kek]:
        newer = keks.alias()
        is_newest = ~sa.exists().where(
            newer.c.organization == keks.c.organization,
            newer.c.kek == keks.c.kek,
            newer.c.version > keks.c.version,
        )
        query = sa.select(keks).where(keks.c.organization == organization, is_newest).order_by(keks.c.kek).limit(limit)
        if after is not None:
            query = query.where(keks.c.kek > after)
        return self.all(query, _kek)

    @override
    def count_by_main_key(
        self, organization_ids: Sequence[OrganizationId]
    ) -> Mapping[tuple[OrganizationId, ObjectId], int]:
        query = (
            sa.select(keks.c.organization, keks.c.main_key, sa.func.count().label("keks"))
            .where(keks.c.organization.in_(list(organization_ids)))
            .group_by(keks.c.organization, keks.c.main_key)
        )
        return {(row.organization, row.main_key): row.keks for row in self.execute(query)}

    @override
    def are_under(self, organization: OrganizationId, main_key: ObjectId) -> bool:
        query = sa.select(sa.exists().where(keks.c.organization == organization, keks.c.main_key == main_key))
        return bool(self.value(query))

    @override
    def failed(self, organization: OrganizationId, main_key: ObjectId, limit: int) -> list[ObjectId]:
        query = sa.select(keks.c.kek).where(*_failed(organization, main_key)).distinct().order_by(keks.c.kek)
        return self.ids(query.limit(limit))

    @override
    def reserve_encryptions(self, organization: OrganizationId, kek: ObjectId, count: int, limit: int) -> bool:
        taken = keks.c.reserved_encryptions + count
        statement = (
            sa.update(keks)
            .where(keks.c.organization == organization, keks.c.id == kek, taken <= limit)
            .values(reserved_encryptions=taken)
        )
        return self.execute(statement).rowcount == 1


class Rewraps(Part):
    """The statements of one batch of a rotation."""

    def claimable(self, organization: OrganizationId, main_key: ObjectId, now: datetime, limit: int) -> list[Kek]:
        """Return KEKs under a main key that are due; on PostgreSQL no other transaction gets them meanwhile."""
        query = (
            sa.select(keks)
            .where(
                keks.c.organization == organization,
                keks.c.main_key == main_key,
                sa.or_(keks.c.retry_time.is_(None), keks.c.retry_time <= now),
            )
            .order_by(keks.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return self.all(query, _kek)

    def finish(self, rewraps: Sequence[Rewrap], to_main_key: ObjectId, now: datetime) -> int:
        """Swap the rows that are still as they were claimed; return how many."""
        if not rewraps:
            return 0
        organization, from_main_key = rewraps[0].kek.organization, rewraps[0].kek.main_key
        if not self._is_in_charge(organization, to_main_key):
            return 0
        swapped = self._swap([rewrap for rewrap in rewraps if rewrap.wrapped is not None], to_main_key, now)
        self._put_off([rewrap for rewrap in rewraps if rewrap.wrapped is None])
        self._count(organization, from_main_key, swapped, now)
        return swapped

    def _is_in_charge(self, organization: OrganizationId, main_key: ObjectId) -> bool:
        query = (
            sa.select(organizations.c.main_key, main_keys.c.state)
            .join(
                main_keys,
                sa.and_(main_keys.c.organization == organizations.c.id, main_keys.c.id == organizations.c.main_key),
            )
            .where(organizations.c.id == organization)
            .with_for_update(of=organizations)
        )
        row = self.execute(query).one_or_none()
        return row is not None and row.main_key == main_key and row.state is State.ACTIVE

    def _swap(self, rewraps: Sequence[Rewrap], to_main_key: ObjectId, now: datetime) -> int:
        """Put the new forms in the place of those that were claimed; return of how many that was done."""
        if not rewraps:
            return 0
        statement = _AS_CLAIMED.values(
            main_key=to_main_key, wrapped=sa.bindparam("rewrapped"), rewrap_time=now, retry_time=None
        )
        return self.execute(statement, [{**_claimed(it.kek), "rewrapped": it.wrapped} for it in rewraps]).rowcount

    def _put_off(self, rewraps: Sequence[Rewrap]) -> None:
        if rewraps:
            statement = _AS_CLAIMED.values(retry_time=sa.bindparam("later"))
            self.execute(statement, [{**_claimed(it.kek), "later": it.retry_time} for it in rewraps])

    def _count(self, organization: OrganizationId, from_main_key: ObjectId, swapped: int, now: datetime) -> None:
        failed = (
            sa.select(sa.func.count()).select_from(keks).where(*_failed(organization, from_main_key)).scalar_subquery()
        )
        self.execute(
            sa.update(rotations)
            .where(
                rotations.c.organization == organization,
                rotations.c.from_main_key == from_main_key,
                rotations.c.end_time.is_(None),
            )
            .values(done=rotations.c.done + swapped, failed=failed, progress_time=now)
        )
