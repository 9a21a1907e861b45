"""The rows of a service, read and spoilt past it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa


class Rows:
    """One database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def all(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query), values)]

    def one(self, query: str, **values: Any) -> tuple[Any, ...]:
        (row,) = self.all(query, **values)
        return row

    def change(self, statement: str, **values: Any) -> None:
        """Change exactly one row."""
        assert self.change_all(statement, **values) == 1

    def change_all(self, statement: str, **values: Any) -> int:
        """Change any number of rows; return how many."""
        with self._engine.begin() as connection:
            return connection.execute(sa.text(statement), values).rowcount


@contextmanager
def rows_of(url: str) -> Iterator[Rows]:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(parsed)
    try:
        yield Rows(engine)
    finally:
        engine.dispose()
