"""The rows of organisations."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from typing_extensions import override

from server.domain import ports
from server.domain.authority import AuthoritySnapshot
from server.domain.errors import OrganizationExistsError
from server.domain.ids import OrganizationId
from server.domain.organizations import Organization
from server.storage.part import Part, values_of
from server.storage.tables import main_keys, organizations

CHANNEL = "keystead_authority"
"""Where PostgreSQL tells of organisations whose row changes."""
_AT_ONCE = 1000
"""Organisations that one query is about."""


def _organization(row: sa.RowMapping) -> Organization:
    return Organization(**row)


def _snapshot(row: sa.RowMapping) -> AuthoritySnapshot:
    return AuthoritySnapshot(**row)


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
        query = sa.select(
            organizations.c.id.label("organization"),
            organizations.c.epoch,
            main_keys.c.id.label("main_key"),
            main_keys.c.state,
        ).join_from(
            organizations,
            main_keys,
            sa.and_(main_keys.c.organization == organizations.c.id, main_keys.c.id == organizations.c.main_key),
        )
        parts = [organization_ids[start : start + _AT_ONCE] for start in range(0, len(organization_ids), _AT_ONCE)]
        return [it for part in parts for it in self.all(query.where(organizations.c.id.in_(part)), _snapshot)]

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
