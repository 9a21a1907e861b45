"""Connections to PostgreSQL that do not wait for ever.

TCP notices a machine that is gone. It does not notice a server, or something on the way to it, that takes what it is
sent and never answers: who waited for that would still wait when everybody else is served again.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from typing_extensions import override

from server.storage.engine import FOR_READING

_INTERVAL = 0.1

T = TypeVar("T")


class PatientConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed when an answer does not come."""

    patience = FOR_READING
    """Seconds."""

    @override
    def wait(self, gen: PQGen[T], interval: float = _INTERVAL, timeout: float | None = None) -> T:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # An answer that comes later would be taken for that to another question.
            raise
