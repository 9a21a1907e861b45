"""The database: SQLite or PostgreSQL, by SQLAlchemy Core; nothing outside this folder knows which."""

from server.storage.faults import database_errors
from server.storage.schema import migrate
from server.storage.sql_storage import SqlStorage

__all__ = ["SqlStorage", "database_errors", "migrate"]
