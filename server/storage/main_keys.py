"""The rows of main keys, and of the common key's object."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.ids import ObjectId, OrganizationId
from server.domain.main_keys import MainKey, Origin, State
from server.storage.part import Part, values_of
from server.storage.tables import common_key, main_keys, organizations


def _main_key(row: sa.RowMapping) -> MainKey:
    return MainKey(**row)


def _old(activated_before: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """Return what holds of the keys that their owners should replace."""
    is_active = main_keys.c.state == State.ACTIVE
    return is_active, main_keys.c.origin == Origin.UPLOADED, main_keys.c.activate_time <= activated_before


class MainKeys(Part, ports.MainKeys):
    """The main keys of all organisations."""

    @override
    def add(self, key: MainKey) -> None:
        self.execute(sa.insert(main_keys).values(values_of(key)))

    @override
    def find(self, organization: OrganizationId, key: ObjectId) -> MainKey | None:
        query = sa.select(main_keys).where(main_keys.c.organization == organization, main_keys.c.id == key)
        return self.one(query, _main_key)

    @override
    def find_by_fingerprint(self, organization: OrganizationId, fingerprint: bytes) -> MainKey | None:
        query = sa.select(main_keys).where(
            main_keys.c.organization == organization, main_keys.c.fingerprint == fingerprint
        )
        return self.one(query, _main_key)

    @override
    def find_by_object(self, object_id: ObjectId) -> MainKey | None:
        query = sa.select(main_keys).where(main_keys.c.object_id == object_id, main_keys.c.origin == Origin.UPLOADED)
        return self.one(query, _main_key)

    @override
    def find_in_state(self, organization: OrganizationId, state: State) -> MainKey | None:
        query = (
            sa.select(main_keys)
            .where(main_keys.c.organization == organization, main_keys.c.state == state)
            .order_by(main_keys.c.create_time.desc(), main_keys.c.id.desc())
            .limit(1)
        )
        return self.one(query, _main_key)

    @override
    def find_deleted_pending(self, organization: OrganizationId) -> MainKey | None:
        query = sa.select(main_keys).where(
            main_keys.c.organization == organization,
            main_keys.c.state == State.DELETED,
            main_keys.c.prior_state == State.PENDING,
        )
        return self.one(query, _main_key)

    @override
    def update(self, key: MainKey) -> None:
        self.change(
            sa.update(main_keys)
            .where(main_keys.c.organization == key.organization, main_keys.c.id == key.id)
            .values(values_of(key))
        )

    @override
    def page(
        self, organization: OrganizationId, before: ObjectId | None, limit: int, *, show_removed: bool
    ) -> list[MainKey]:
        query = (
            sa.select(main_keys)
            .where(main_keys.c.organization == organization)
            .order_by(main_keys.c.create_time.desc(), main_keys.c.id.desc())
            .limit(limit)
        )
        if not show_removed:
            query = query.where(main_keys.c.state != State.REMOVED)
        if before is not None:
            query = self.page_before(query, main_keys, "create_time", organization, before)
        return self.all(query, _main_key)

    @override
    def in_state(self, state: State, limit: int) -> list[MainKey]:
        query = sa.select(main_keys).where(main_keys.c.state == state).order_by(main_keys.c.state_time).limit(limit)
        return self.all(query, _main_key)

    @override
    def due(self, state: State, now: datetime, limit: int) -> list[MainKey]:
        query = (
            sa.select(main_keys)
            .where(main_keys.c.state == state, main_keys.c.purge_time <= now)
            .order_by(main_keys.c.purge_time)
            .limit(limit)
        )
        return self.all(query, _main_key)

    @override
    def leading(self, organization_ids: Sequence[OrganizationId]) -> dict[OrganizationId, MainKey]:
        in_charge = sa.and_(main_keys.c.organization == organizations.c.id, main_keys.c.id == organizations.c.main_key)
        query = (
            sa.select(main_keys).join(organizations, in_charge).where(organizations.c.id.in_(list(organization_ids)))
        )
        return {key.organization: key for key in self.all(query, _main_key)}

    @override
    def to_reactivate(self, now: datetime, limit: int) -> list[MainKey]:
        due = main_keys.c.state == State.REVOKED, main_keys.c.reactivate_time <= now
        return self.all(sa.select(main_keys).where(*due).order_by(main_keys.c.reactivate_time).limit(limit), _main_key)

    @override
    def to_remind(self, activated_before: datetime, limit: int) -> list[MainKey]:
        query = sa.select(main_keys).where(*_old(activated_before), main_keys.c.is_reminded.is_(False)).limit(limit)
        return self.all(query, _main_key)

    @override
    def count_to_rotate(self, activated_before: datetime) -> int:
        query = sa.select(sa.func.count()).select_from(main_keys).where(*_old(activated_before))
        return int(self.value(query))

    @override
    def are_known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        of_main_keys = sa.select(main_keys.c.object_id).where(
            main_keys.c.object_id.in_(list(ids)), main_keys.c.state != State.REMOVED
        )
        of_all = of_main_keys.union(sa.select(common_key.c.object_id).where(common_key.c.object_id.in_(list(ids))))
        return set(self.ids(of_all))

    @override
    def walk(self, after: tuple[OrganizationId, ObjectId] | None, limit: int) -> list[MainKey]:
        query = sa.select(main_keys).order_by(main_keys.c.organization, main_keys.c.id).limit(limit)
        if after is not None:
            query = query.where(sa.tuple_(main_keys.c.organization, main_keys.c.id) > after)
        return self.all(query, _main_key)

    @override
    def common(self) -> tuple[ObjectId, bytes] | None:
        query = sa.select(common_key.c.object_id, common_key.c.fingerprint)
        return self.one(query, lambda row: (ObjectId(row["object_id"]), row["fingerprint"]))

    @override
    def set_common(self, object_id: ObjectId, fingerprint: bytes, now: datetime) -> None:
        # The table has room for one row; a second is refused, and that is a ConcurrentChangeError.
        self.execute(
            sa.insert(common_key).values(singleton=1, object_id=object_id, fingerprint=fingerprint, create_time=now)
        )
