"""Hearing of what others commit.

SQLite has a number that another connection's commit changes, and which costs next to nothing to look at. PostgreSQL
tells who listens; since a notice can be lost with its connection, silence proves nothing there.
"""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from typing_extensions import override

from server.domain import ports
from server.domain.errors import StorageUnavailableError
from server.storage.organizations import CHANNEL

if TYPE_CHECKING:
    import psycopg

_log = logging.getLogger(__name__)

_GLANCE = 0.02
"""Seconds between two looks at SQLite's number."""


class _SqliteChanges(ports.Changes):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._seen = self._number()

    def _number(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    @override
    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (now := self._number()) == self._seen:
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(_GLANCE, left))
        self._seen = now
        return True


class _PostgresChanges(ports.Changes):
    def __init__(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        connection.autocommit = True
        connection.execute(f"LISTEN {CHANNEL}")
        self._connection = connection

    @override
    def wait(self, seconds: float) -> bool:
        for _ in self._connection.notifies(timeout=seconds, stop_after=1):
            pass
        return True


@contextmanager
def heard(engine: sa.Engine) -> Iterator[ports.Changes]:
    """Hear of changes for a block.

    Raises:
        StorageUnavailableError: the database does not answer.
    """
    try:
        pooled = engine.raw_connection()
        try:
            driver: Any = pooled.driver_connection
            yield _SqliteChanges(driver) if isinstance(driver, sqlite3.Connection) else _PostgresChanges(driver)
        finally:
            pooled.invalidate()  # Nobody else is to get a connection that listens.
    except (engine.dialect.loaded_dbapi.Error, sa.exc.TimeoutError) as error:
        _log.error("database_fault", extra={"detail": str(error).partition("\n")[0]})
        raise StorageUnavailableError from error
