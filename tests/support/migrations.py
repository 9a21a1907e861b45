"""Databases as older versions of the program left them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from server.storage import schema
from server.storage.engine import make_engine, writing


@contextmanager
def migrated_to(url: str, revision: str) -> Iterator[sa.Connection]:
    """Have a database of an older schema for a block, in a transaction."""
    engine = make_engine(url)
    with writing(engine) as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        yield connection
    engine.dispose()
