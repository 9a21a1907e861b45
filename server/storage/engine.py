"""Connections: what SQLite and PostgreSQL need to behave alike.

Reading sees one state throughout. Writing on SQLite takes the one write lock at its start, so that what was read holds
until the commit; on PostgreSQL the row of the organisation is locked instead.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL

FOR_READING = 5.0
"""Seconds for one statement that waits for no lock."""
FOR_WRITING = 35.0
"""Seconds for one statement that may: longer than the server lets it wait."""

_POSTGRES_OPTIONS = "-c statement_timeout=30000 -c lock_timeout=30000 -c idle_in_transaction_session_timeout=60000"
_SHORT_LOCK_TIMEOUT = 500
"""Milliseconds."""
_CONNECT_TIMEOUT = 5
"""Seconds."""
_SILENCE = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3, "tcp_user_timeout": 5000}
"""A machine that is gone without a word is noticed after about five seconds (the last one in milliseconds)."""
_SQLITE_PATIENCE = 10
"""Seconds that a writer waits for another."""

_WRITES = "keystead_writes"


def make_engine(url: str) -> sa.Engine:
    """Return an engine for sqlite:///FILE or postgresql://...

    Raises:
        ValueError: it is the URL of another database, or of a SQLite database in memory.
    """
    parsed = sa.make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return _sqlite(parsed)
    if backend == "postgresql":
        return _postgresql(parsed)
    raise ValueError("The database URL must be sqlite:///FILE or postgresql://USER@HOST/DATABASE.")


def _postgresql(url: URL) -> sa.Engine:
    from server.storage.patience import PatientConnection  # noqa: PLC0415 - it is not loaded where SQLite is enough

    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=16,
        max_overflow=16,
        pool_pre_ping=True,
        pool_timeout=_CONNECT_TIMEOUT,
        connect_args={"connect_timeout": _CONNECT_TIMEOUT, "options": _POSTGRES_OPTIONS, **_SILENCE},
        hide_parameters=True,
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> PatientConnection:
        return PatientConnection.connect(*arguments, **options)

    @event.listens_for(engine, "checkin")
    def _checked_in(connection: PatientConnection | None, _record: object) -> None:
        if connection is not None:
            connection.patience = FOR_READING  # Whether it is alive is soon told when it is taken again.

    return engine


def _sqlite(url: URL) -> sa.Engine:
    path = Path(str(url.database))
    # Made here, since SQLite would let everybody read it; its -wal and -shm files take the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    engine = sa.create_engine(
        url,
        pool_size=16,
        max_overflow=16,
        connect_args={"timeout": _SQLITE_PATIENCE, "check_same_thread": False},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # We begin transactions ourselves.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def reading(engine: sa.Engine) -> sa.Connection:
    """Return a connection whose transactions see one state and change nothing."""
    if engine.dialect.name == "sqlite":
        return engine.connect()
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return engine.connect().execution_options(**options)


@contextmanager
def at_once(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Have a connection to PostgreSQL of which each statement commits by itself, and waits for no lock for long.

    What is held up on its way, or in a process that is stopped, then holds up nobody; nor is it held up by others.
    """
    with engine.connect() as plain:
        driver: Any = plain.connection.driver_connection
        driver.patience = FOR_READING  # It waits for no lock, and an answer that is lost must not be waited for either.
        connection = plain.execution_options(isolation_level="AUTOCOMMIT", postgresql_readonly=False)
        connection.exec_driver_sql(f"SET lock_timeout = {_SHORT_LOCK_TIMEOUT}")
        try:
            yield connection
        finally:
            with suppress(sa.exc.SQLAlchemyError):  # Then it is broken, and nobody takes it again.
                connection.exec_driver_sql("RESET lock_timeout")


def writing(engine: sa.Engine) -> sa.Connection:
    """Return a connection whose transactions may change rows."""
    if engine.dialect.name == "sqlite":
        return engine.connect().execution_options(**{_WRITES: True})
    connection = engine.connect()
    driver: Any = connection.connection.driver_connection
    driver.patience = FOR_WRITING
    return connection.execution_options(isolation_level="READ COMMITTED", postgresql_readonly=False)
