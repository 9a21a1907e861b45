"""The schema's version: brought up to date, and checked."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from server.storage.engine import make_engine, writing
from server.storage.faults import translated

_LOCK = 0x6B657973
"""PostgreSQL's advisory lock: two processes that migrate at once do it one after the other."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


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
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def is_current(connection: sa.Connection) -> bool:
    """Return whether the schema is the one that this program needs."""
    return MigrationContext.configure(connection).get_current_revision() == newest()


def newest() -> str | None:
    """Return the revision that this program needs."""
    return ScriptDirectory.from_config(_config()).get_current_head()
