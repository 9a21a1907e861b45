"""What the parts of a transaction have in common."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from server.domain.ids import ObjectId

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

T = TypeVar("T")


class MissingRowError(Exception):
    """A row that the transaction has locked is not there: a bug of ours, or a hand in the database."""


def values_of(record: object) -> dict[str, Any]:
    """Return a record's fields as columns of the same names."""
    return {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type] # a dataclass


class Part:
    """Statements over one connection, within its transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @property
    def is_sqlite(self) -> bool:
        """Return whether the database is SQLite."""
        return self._connection.dialect.name == "sqlite"

    def insert(self, table: sa.TableClause) -> "sqlite.Insert | postgresql.Insert":
        """Return an INSERT that can be told what to do about a row that is there already."""
        if self.is_sqlite:
            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - it is not loaded where SQLite is enough

        return postgresql.insert(table)

    def execute(
        self, statement: sa.Executable, rows: Sequence[dict[str, Any]] | None = None
    ) -> sa.CursorResult[tuple[Any, ...]]:
        """Execute a statement, once or for each of the rows."""
        return self._connection.execute(statement, rows)

    def one(self, query: sa.Executable, make: Callable[[sa.RowMapping], T]) -> T | None:
        """Return the only row, or None."""
        row = self.execute(query).mappings().one_or_none()
        return None if row is None else make(row)

    def all(self, query: sa.Executable, make: Callable[[sa.RowMapping], T]) -> list[T]:
        """Return all rows."""
        return [make(row) for row in self.execute(query).mappings()]

    def value(self, query: sa.Executable) -> Any:  # noqa: ANN401 - as the column has it
        """Return the only value of the only row."""
        return self._connection.execute(query).scalar_one()

    def column(self, query: sa.Executable) -> list[Any]:
        """Return the only column of all rows."""
        return list(self._connection.execute(query).scalars())

    def ids(self, query: sa.Executable) -> list[ObjectId]:
        """Return the only column of all rows, which is one of ids."""
        return [ObjectId(row[0]) for row in self._connection.execute(query).all()]

    def change(self, statement: sa.Executable) -> None:
        """Change exactly one row.

        Raises:
            MissingRowError: it is not there.
        """
        if self.execute(statement).rowcount != 1:
            raise MissingRowError

    def page_before(
        self, query: "sa.Select[Any]", table: sa.TableClause, time: str, organization: str, before: str
    ) -> "sa.Select[Any]":
        """Return the part of a newest-first query that follows the row `before`; nothing if that does not exist."""
        last = sa.select(table.c[time], table.c.id).where(table.c.organization == organization, table.c.id == before)
        marked = last.subquery()
        return query.where(
            sa.exists().where(
                sa.or_(
                    table.c[time] < marked.c[time],
                    sa.and_(table.c[time] == marked.c[time], table.c.id < marked.c.id),
                )
            )
        )
