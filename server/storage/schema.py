"""The schema's version: brought up to date, and checked."""

from pathlib import Path

import sqlalchemy as sa

from server.storage.engine import make_engine, writing
from server.storage.faults import translated

REVISION = "0006"
"""The newest of migrations/versions: what this program needs."""

_LOCK = 0x6B657973
"""PostgreSQL's advisory lock: two processes that migrate at once do it one after the other."""

_version = sa.table("alembic_version", sa.column("version_num", sa.String))


def migrate(url: str) -> None:
    """Bring the schema up to date; it is no error if it is.

    Raises:
        StorageUnavailableError: the database does not answer.
        ConcurrentChangeError: another process holds the database.
    """
    engine = make_engine(url)
    try:
        with translated(), writing(engine) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            if not is_current(connection):
                _upgrade(connection)
    finally:
        engine.dispose()


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415 - it is seldom needed, and slow to load
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, REVISION)


def is_current(connection: sa.Connection) -> bool:
    """Return whether the schema is the one that this program needs."""
    if not sa.inspect(connection).has_table(_version.name):
        return False
    return connection.execute(sa.select(_version.c.version_num)).scalars().all() == [REVISION]
