"""What a failure of the database means to the use cases: one table."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from server.domain.errors import ConcurrentChangeError, StorageUnavailableError
from server.observability.catalogue import DATABASE_ERRORS
from server.observability.samples import Tally

_log = logging.getLogger(__name__)

database_errors = Tally(DATABASE_ERRORS, ("conflict",), ("constraint",), ("no_connection",), ("unavailable",))
"""Of this process."""

_CONFLICTS = frozenset({"40001", "40P01", "55P03"})
"""PostgreSQL: serialization failure, deadlock, lock not available."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the database's errors into the domain's; the values of a statement stay out of the log.

    Raises:
        ConcurrentChangeError: a constraint or a lock found two transactions in conflict.
        StorageUnavailableError: the database does not answer.
    """
    try:
        yield
    except exc.IntegrityError as error:
        database_errors.add("constraint")
        _log.warning("constraint_refused", extra={"detail": _first_line(error)})
        raise ConcurrentChangeError from error
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
        if getattr(error.orig, "sqlstate", None) in _CONFLICTS or "database is locked" in str(error.orig):
            database_errors.add("conflict")
            raise ConcurrentChangeError from error
        database_errors.add("unavailable")
        _log.error("database_fault", extra={"detail": _first_line(error)})
        raise StorageUnavailableError from error
    except exc.TimeoutError as error:
        database_errors.add("no_connection")
        _log.error("database_fault", extra={"detail": "no connection was free in time"})
        raise StorageUnavailableError from error


def _first_line(error: exc.DBAPIError) -> str:
    # Further lines of PostgreSQL's messages repeat the values of the row.
    return str(error.orig).partition("\n")[0]
