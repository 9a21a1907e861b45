"""The rows of organisations."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from typing_extensions import override

from server.domain import ports
from server.domain.authority import AuthoritySnapshot
from server.domain.errors import OrganizationExistsError
from server.domain.ids import OrganizationId
from server.domain.main_keys import MainKey
from server.domain.organizations import Organization
from server.domain.standing import is_main_key_recorded
from server.storage.audit import recorded_event
from server.storage.part import Part, values_of
from server.storage.tables import TELLS_STANDING, audit_events, main_keys, organizations

CHANNEL = "keystead_authority"
"""Where PostgreSQL tells of organisations whose row changes."""
_AT_ONCE = 1000
"""Organisations that one query is about."""


def _organization(row: sa.RowMapping) -> Organization:
    return Organization(**row)


_OF_KEY, _OF_EVENT = "key_", "event_"
"""What the columns of a join begin with."""


def _snapshot(row: sa.RowMapping) -> AuthoritySnapshot:
    key = MainKey(**_part(row, _OF_KEY))
    event = _part(row, _OF_EVENT)
    last = None if event["sequence"] is None else recorded_event(event).event
    return AuthoritySnapshot(key.organization, row["epoch"], key.id, key.state, is_main_key_recorded(key, last))


def _part(row: sa.RowMapping, prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}


def _labelled(table: sa.TableClause, prefix: str) -> list[sa.Label[Any]]:
    return [column.label(prefix + column.name) for column in table.c]


_NAMED = "named"


def _authorities() -> sa.Select[tuple[object, ...]]:
    """Return the query for the main keys in charge of some organisations, and what was last told of each."""
    in_charge = sa.and_(main_keys.c.organization == organizations.c.id, main_keys.c.id == organizations.c.main_key)
    event = audit_events.c
    last = (
        sa.select(event.sequence)
        .where(event.organization == main_keys.c.organization, event.subject == main_keys.c.id, TELLS_STANDING)
        .order_by(event.sequence.desc())
        .limit(1)
        .correlate(main_keys)
        .scalar_subquery()
    )
    return (
        sa.select(organizations.c.epoch, *_labelled(main_keys, _OF_KEY), *_labelled(audit_events, _OF_EVENT))
        .join_from(organizations, main_keys, in_charge)
        .outerjoin(audit_events, sa.and_(event.organization == organizations.c.id, event.sequence == last))
        .where(organizations.c.id.in_(sa.bindparam(_NAMED, expanding=True)))
    )


_AUTHORITIES = _authorities()
"""Made once: each process asks it several times a second, as long as anything is written on SQLite."""


class Organizations(Part, ports.Organizations):
    """The organisations."""

    @override
    def add(self, organization: Organization) -> None:
        try:
            self.execute(sa.insert(organizations).values(values_of(organization)))
        except IntegrityError as error:
            raise OrganizationExistsError from error

    @override
    def find(self, organization: OrganizationId) -> Organization | None:
        return self.one(self._named(organization), _organization)

    @override
    def lock(self, organization: OrganizationId) -> Organization | None:
        # SQLite leaves FOR UPDATE out: there the whole transaction is alone already. The key of the row is not locked:
        # who only refers to it, as who writes down the use of content keys does, waits for nobody.
        return self.one(self._named(organization).with_for_update(key_share=True), _organization)

    def _named(self, organization: OrganizationId) -> sa.Select[tuple[object, ...]]:
        return sa.select(organizations).where(organizations.c.id == organization)

    @override
    def update(self, organization: Organization) -> None:
        self.change(
            sa.update(organizations).where(organizations.c.id == organization.id).values(values_of(organization))
        )
        if not self.is_sqlite:
            self.execute(sa.select(sa.func.pg_notify(CHANNEL, organization.id)))

    @override
    def authorities(self, organization_ids: Sequence[OrganizationId]) -> list[AuthoritySnapshot]:
        parts = [organization_ids[start : start + _AT_ONCE] for start in range(0, len(organization_ids), _AT_ONCE)]
        return [_snapshot(row) for part in parts for row in self.execute(_AUTHORITIES, [{_NAMED: part}]).mappings()]

    @override
    def page(
        self, after: OrganizationId | None, limit: int, only: frozenset[OrganizationId] | None
    ) -> list[Organization]:
        query = sa.select(organizations).order_by(organizations.c.id).limit(limit)
        if after is not None:
            query = query.where(organizations.c.id > after)
        if only is not None:
            query = query.where(organizations.c.id.in_(sorted(only)))
        return self.all(query, _organization)
