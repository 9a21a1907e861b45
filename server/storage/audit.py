"""The rows of the audit log.

A log's size is a row of its own, which every writer of that log holds until its commit: so numbers have no gaps, and
writers of different organisations do not meet. It is not the organisation's row: who writes down the use of content
keys waits for no change for long. Nor does a change for it, whatever happens to the process that writes: it does so in
one statement, which the database commits by itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.audit import AuditEvent, AuditFilter, RecordedEvent
from server.domain.checkpoints import AuditKey, Checkpoint, TreeHead
from server.domain.ids import ObjectId, OrganizationId
from server.domain.receipts import Receipt, act_of
from server.observability.current_call import current_call
from server.storage.part import Part, values_of
from server.storage.tables import (
    TELLS_STANDING,
    audit_checkpoints,
    audit_events,
    audit_key,
    audit_logs,
    audit_nodes,
    audit_receipts,
)

_LOOKED_THROUGH = 10_000
"""Events that one search looks through at most."""


def recorded_event(row: sa.RowMapping | Mapping[str, Any]) -> RecordedEvent:
    """Return the event of a row."""
    values = dict(row)
    return RecordedEvent(values.pop("sequence"), AuditEvent(**values))


def _checkpoint(row: sa.RowMapping) -> Checkpoint:
    head = TreeHead(row["organization"], row["size"], row["root"], row["time"])
    return Checkpoint(head, row["key_fingerprint"], row["signature"])


def _stamped(event: AuditEvent) -> AuditEvent:
    """Return the event with the ids of the call that this thread works on."""
    call = current_call()
    if call is None:
        return event
    return replace(event, call_id=call.id, request_id=call.request_id or None)


_EVENT_COLUMNS = [column for column in audit_events.c if column.name not in {"organization", "sequence"}]


class Recording(Part):
    """Writes what was collected for a moment: one statement, which takes the numbers and the events together."""

    def record(self, organization: OrganizationId, events: Sequence[AuditEvent]) -> None:
        """Write events of one organisation, if it exists."""
        count = len(events)
        longer = (
            sa.update(audit_logs)
            .where(audit_logs.c.organization == organization)
            .values(size=audit_logs.c.size + count)
            .returning(audit_logs.c.size)
        )
        if self.is_sqlite:
            # It knows no UPDATE within another statement, and needs none: this process alone writes now.
            for size in self.column(longer):
                self.execute(sa.insert(audit_events), list(_numbered(organization, events, size - count)))
            return
        size = longer.cte("longer")
        place = sa.column("place", sa.BigInteger)
        told = sa.values(place, *(sa.column(it.name, it.type) for it in _EVENT_COLUMNS), name="told").data(
            [
                (number, *(getattr(event, it.name) for it in _EVENT_COLUMNS))
                for number, event in enumerate(events, 1 - count)
            ]
        )
        names = [it.name for it in _EVENT_COLUMNS]
        # PostgreSQL takes a column of which every value is NULL for text.
        values = [sa.cast(told.c[it.name], it.type) for it in _EVENT_COLUMNS]
        rows = sa.select(sa.literal(organization, sa.String), size.c.size + told.c.place, *values)
        rows = rows.select_from(size.join(told, sa.true()))
        self.execute(sa.insert(audit_events).from_select(["organization", "sequence", *names], rows))


def _numbered(organization: OrganizationId, events: Sequence[AuditEvent], before: int) -> Iterator[dict[str, Any]]:
    for sequence, event in enumerate(events, before + 1):
        yield {**values_of(event), "organization": organization, "sequence": sequence}


class Audit(Part, ports.Audit):
    """The audit logs of all organisations."""

    @override
    def append(self, event: AuditEvent) -> None:
        statement = self.insert(audit_logs).values(organization=event.organization, size=1)
        longer = statement.on_conflict_do_update(
            index_elements=["organization"], set_={"size": audit_logs.c.size + 1}
        ).returning(audit_logs.c.size)
        sequence = self.value(longer)
        self.execute(sa.insert(audit_events).values({**values_of(_stamped(event)), "sequence": sequence}))
        if act_of(event) is not None:
            self.execute(sa.insert(audit_receipts).values(organization=event.organization, sequence=sequence))

    @override
    def size(self, organization: OrganizationId) -> int:
        query = sa.select(audit_logs.c.size).where(audit_logs.c.organization == organization)
        return next(iter(self.column(query)), 0)

    @override
    def events(self, organization: OrganizationId, first: int, limit: int) -> list[RecordedEvent]:
        query = (
            sa.select(audit_events)
            .where(audit_events.c.organization == organization, audit_events.c.sequence >= first)
            .order_by(audit_events.c.sequence)
            .limit(limit)
        )
        return self.all(query, recorded_event)

    @override
    def standing(self, organization: OrganizationId, subject: ObjectId | None) -> AuditEvent | None:
        column = audit_events.c
        query = (
            sa.select(audit_events)
            .where(column.organization == organization, column.subject == subject, TELLS_STANDING)
            .order_by(column.sequence.desc())
            .limit(1)
        )
        return self.one(query, lambda row: recorded_event(row).event)

    @override
    def search(
        self, organization: OrganizationId, before: int | None, limit: int, wanted: AuditFilter
    ) -> tuple[list[RecordedEvent], int]:
        end = self.size(organization) + 1 if before is None else before
        start = max(1, end - _LOOKED_THROUGH)
        column = audit_events.c
        query = (
            sa.select(audit_events)
            .where(column.organization == organization, column.sequence >= start, column.sequence < end)
            .order_by(column.sequence.desc())
            .limit(limit)
        )
        if wanted.since is not None:
            query = query.where(column.time >= wanted.since)
        if wanted.before is not None:
            query = query.where(column.time < wanted.before)
        if wanted.actions is not None:
            query = query.where(column.action.in_(sorted(wanted.actions)))
        if wanted.actor is not None:
            query = query.where(column.actor == wanted.actor)
        found = self.all(query, recorded_event)
        return found, found[-1].sequence if len(found) == limit else start

    @override
    def node_count(self, organization: OrganizationId, level: int) -> int:
        column = audit_nodes.c
        query = sa.select(sa.func.max(column.place)).where(column.organization == organization, column.level == level)
        last = self.value(query)
        return 0 if last is None else int(last) + 1

    @override
    def nodes(self, organization: OrganizationId, level: int, first: int, limit: int) -> list[bytes]:
        column = audit_nodes.c
        query = (
            sa.select(column.hash)
            .where(column.organization == organization, column.level == level, column.place >= first)
            .order_by(column.place)
            .limit(limit)
        )
        return self.column(query)

    @override
    def add_nodes(self, organization: OrganizationId, level: int, first: int, hashes: Sequence[bytes]) -> None:
        if not hashes:
            return
        rows = [
            {"organization": organization, "level": level, "place": first + place, "hash": it}
            for place, it in enumerate(hashes)
        ]
        self.execute(self.insert(audit_nodes).on_conflict_do_nothing(), rows)

    @override
    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        signed = {"key_fingerprint": checkpoint.key_fingerprint, "signature": checkpoint.signature}
        self.execute(sa.insert(audit_checkpoints).values({**values_of(checkpoint.head), **signed}))

    @override
    def newest_checkpoint(self, organization: OrganizationId) -> Checkpoint | None:
        query = sa.select(audit_checkpoints).where(audit_checkpoints.c.organization == organization)
        return self.one(query.order_by(audit_checkpoints.c.size.desc()).limit(1), _checkpoint)

    @override
    def behind(self, after: OrganizationId | None, limit: int) -> list[OrganizationId]:
        newest = (
            sa.select(sa.func.max(audit_checkpoints.c.size))
            .where(audit_checkpoints.c.organization == audit_logs.c.organization)
            .scalar_subquery()
        )
        query = sa.select(audit_logs.c.organization).where(audit_logs.c.size != sa.func.coalesce(newest, 0))
        if after is not None:
            query = query.where(audit_logs.c.organization > after)
        return self.column(query.order_by(audit_logs.c.organization).limit(limit))

    @override
    def pending_receipts(
        self, after: tuple[OrganizationId, int] | None, limit: int
    ) -> list[tuple[OrganizationId, int]]:
        place = audit_receipts.c.organization, audit_receipts.c.sequence
        query = sa.select(*place).where(audit_receipts.c.signature.is_(None))
        if after is not None:
            query = query.where(sa.tuple_(*place) > sa.tuple_(*after))
        return self.all(
            query.order_by(*place).limit(limit),
            lambda row: (row["organization"], row["sequence"]),
        )

    @override
    def receipt(self, organization: OrganizationId, sequence: int) -> Receipt | None:
        column = audit_receipts.c
        query = sa.select(audit_receipts).where(
            column.organization == organization, column.sequence == sequence, column.signature.is_not(None)
        )
        return self.one(query, lambda row: Receipt(**row))

    @override
    def keep_receipt(self, receipt: Receipt) -> None:
        column = audit_receipts.c
        self.execute(
            sa.update(audit_receipts)
            .where(
                column.organization == receipt.organization,
                column.sequence == receipt.sequence,
                column.signature.is_(None),
            )
            .values(values_of(receipt))
        )

    @override
    def key(self) -> AuditKey | None:
        columns = [column for column in audit_key.c if column.name != "singleton"]
        return self.one(sa.select(*columns), lambda row: AuditKey(**row))

    @override
    def set_key(self, key: AuditKey) -> None:
        self.execute(sa.insert(audit_key).values({**values_of(key), "singleton": 1}))

    @override
    def are_known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        return set(self.ids(sa.select(audit_key.c.object_id).where(audit_key.c.object_id.in_(list(ids)))))
