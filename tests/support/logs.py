"""Audit logs in tests: what is in them, and a log that cannot be written."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from server.domain.audit import AuditAction, AuditEvent
from server.domain.ids import OrganizationId
from server.storage import SqlStorage


def log_of(storage: SqlStorage, organization: str, *actions: AuditAction) -> list[AuditEvent]:
    """The events of these actions, or all, in their order; that there are no gaps is seen, too."""
    with storage.read() as tx:
        found = tx.audit.events(OrganizationId(organization), 1, 100_000)
    assert [it.sequence for it in found] == list(range(1, len(found) + 1))
    return [it.event for it in found if not actions or it.event.action in actions]


@contextmanager
def unwritable_log(storage: SqlStorage) -> Iterator[None]:
    """Have a database (SQLite) that takes everything but events, for a block."""

    def execute(statement: str) -> None:
        with storage.connected(writes=True) as connection:
            connection.execute(sa.text(statement))

    refuse = "SELECT RAISE(ABORT, 'the log is broken')"
    execute(f"CREATE TRIGGER broken BEFORE INSERT ON audit_events BEGIN {refuse}; END")
    try:
        yield
    finally:
        execute("DROP TRIGGER broken")
