"""The port of storage over a SQL database."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.audit import AuditEvent
from server.domain.errors import ConcurrentChangeError, StorageUnavailableError
from server.domain.ids import ObjectId, OrganizationId
from server.domain.keks import Kek
from server.storage.approvals import Approvals
from server.storage.audit import Audit, Recording
from server.storage.change_requests import AnsweredRequests
from server.storage.changes import heard
from server.storage.engine import at_once, make_engine, reading, writing
from server.storage.faults import translated
from server.storage.intents import Intents
from server.storage.keks import Keks, Rewraps
from server.storage.main_keys import MainKeys
from server.storage.organizations import Organizations
from server.storage.rotations import Rotations
from server.storage.schema import is_current
from server.storage.uses import Uses
from server.storage.wrapping_keys import WrappingKeys


class _Transaction(ports.Transaction):
    def __init__(self, connection: sa.Connection) -> None:
        self.organizations = Organizations(connection)
        self.main_keys = MainKeys(connection)
        self.wrapping_keys = WrappingKeys(connection)
        self.keks = Keks(connection)
        self.rotations = Rotations(connection)
        self.intents = Intents(connection)
        self.audit = Audit(connection)
        self.requests = AnsweredRequests(connection)
        self.uses = Uses(connection)
        self.approvals = Approvals(connection)


@dataclass(frozen=True)
class _Batch(ports.RewrapBatch):
    """KEKs held by a transaction of the database."""

    claimed: Sequence[Kek]
    connection: sa.Connection

    @property
    @override
    def keks(self) -> Sequence[Kek]:
        return self.claimed

    @override
    def finish(self, rewraps: Sequence[ports.Rewrap], to_main_key: ObjectId, now: datetime) -> int:
        return Rewraps(self.connection).finish(rewraps, to_main_key, now)


@dataclass(frozen=True)
class _UnheldBatch(ports.RewrapBatch):
    """KEKs that nobody holds: on SQLite a lock during the token's work would stop every other writer."""

    claimed: Sequence[Kek]
    storage: "SqlStorage"

    @property
    @override
    def keks(self) -> Sequence[Kek]:
        return self.claimed

    @override
    def finish(self, rewraps: Sequence[ports.Rewrap], to_main_key: ObjectId, now: datetime) -> int:
        with self.storage.connected(writes=True) as connection:
            return Rewraps(connection).finish(rewraps, to_main_key, now)


class SqlStorage(ports.Storage):
    """One database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @classmethod
    @contextmanager
    def open(cls, url: str) -> "Iterator[SqlStorage]":
        """Have the database for a block.

        Raises:
            ValueError: the URL is not one of SQLite or PostgreSQL.
            OSError: the file of SQLite cannot be made or opened.
        """
        engine = make_engine(url)
        try:
            yield cls(engine)
        finally:
            engine.dispose()

    @contextmanager
    def connected(self, *, writes: bool) -> Iterator[sa.Connection]:
        """Have a connection in a transaction for a block."""
        with translated(), (writing if writes else reading)(self._engine) as connection, connection.begin():
            yield connection

    @override
    def read(self) -> AbstractContextManager[ports.Transaction]:
        return self._transaction(writes=False)

    @override
    def write(self) -> AbstractContextManager[ports.Transaction]:
        return self._transaction(writes=True)

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[ports.Transaction]:
        with self.connected(writes=writes) as connection:
            yield _Transaction(connection)

    @override
    def record(self, events: Mapping[OrganizationId, Sequence[AuditEvent]]) -> Iterator[OrganizationId]:
        if self._engine.dialect.name == "sqlite":
            # One transaction, since each waits for the disk; others wait for it as for every writer.
            with self.connected(writes=True) as connection:
                for organization, some in events.items():
                    Recording(connection).record(organization, some)
            yield from events
            return
        held: ConcurrentChangeError | None = None
        with translated(), at_once(self._engine) as connection:
            for organization, some in events.items():
                try:
                    with translated():
                        Recording(connection).record(organization, some)
                except ConcurrentChangeError as error:
                    held = error  # By a change that takes long; the logs of others do not wait for it.
                else:
                    yield organization
        if held is not None:
            raise held

    @override
    def claim_keks(
        self, organization: OrganizationId, main_key: ObjectId, now: datetime, limit: int
    ) -> AbstractContextManager[ports.RewrapBatch]:
        return self._claim(organization, main_key, now, limit)

    @contextmanager
    def _claim(
        self, organization: OrganizationId, main_key: ObjectId, now: datetime, limit: int
    ) -> Iterator[ports.RewrapBatch]:
        holds = self._engine.dialect.name == "postgresql"
        with self.connected(writes=holds) as connection:
            claimed = Rewraps(connection).claimable(organization, main_key, now, limit)
            if holds:
                yield _Batch(claimed, connection)
                return
        yield _UnheldBatch(claimed, self)

    @override
    def changes(self) -> AbstractContextManager[ports.Changes]:
        return heard(self._engine)

    @override
    def check(self) -> None:
        with self.connected(writes=False) as connection:
            if not is_current(connection):
                raise StorageUnavailableError
