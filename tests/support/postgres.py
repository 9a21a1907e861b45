"""A PostgreSQL of the tests' own, in a temporary directory, on a Unix socket alone."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg

_numbers = count()


def _binary(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which(name, path=os.pathsep.join(map(str, reversed(versions)))) or shutil.which(name)
    assert found, "PostgreSQL is missing: run scripts/test, which installs it."
    return found


def _as_postgres(*command: str) -> None:
    # PostgreSQL refuses to run as root.
    prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


class Server:
    """A running server."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets

    def new_database(self) -> str:
        """Return the URL of an empty database."""
        name = f"keystead_{next(_numbers)}"
        with psycopg.connect(f"host={self._sockets} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://postgres@/{name}?host={quote(str(self._sockets), safe='')}"


@contextmanager
def running() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="keystead-pg-") as folder:
        root = Path(folder)
        if os.geteuid() == 0:
            shutil.chown(root, "postgres", "postgres")
        data = str(root / "data")
        _as_postgres(_binary("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={root} -c fsync=off -c max_connections=60"
        log = str(root / "log")
        _as_postgres(_binary("pg_ctl"), "-D", data, "-o", options, "-l", log, "-w", "start")
        try:
            yield Server(root)
        finally:
            _as_postgres(_binary("pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
