"""A PostgreSQL of the tests' own, in a temporary directory: on a Unix socket, or on a port of loopback too."""

import os
import secrets
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

    def __init__(self, root: Path, port: int | None, connections: int) -> None:
        self._root = root
        address = "127.0.0.1" if port else ""
        where = f"-c listen_addresses={address} -c port={port or 5432} -c unix_socket_directories={root}"
        self._options = f"{where} -c fsync=off -c max_connections={connections}"
        self._port = port
        self.password_file = root / "password"
        """What who comes over TCP names in PGPASSFILE."""

    def make(self) -> None:
        """Make its files, and start it."""
        if os.geteuid() == 0:
            shutil.chown(self._root, "postgres", "postgres")
        methods = ("--auth-local=trust", "--auth-host=scram-sha-256")
        _as_postgres(_binary("initdb"), "-D", str(self._root / "data"), *methods, "-U", "postgres", "--no-sync")
        self.start()
        if self._port:
            password = secrets.token_hex()
            self.password_file.touch(0o600)
            self.password_file.write_text(f"127.0.0.1:*:*:postgres:{password}\n")
            self._execute(f"ALTER ROLE postgres PASSWORD '{password}'")

    def start(self) -> None:
        log = str(self._root / "log")
        self._control("-o", self._options, "-l", log, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """End all connections and the server."""
        self._control("-m", mode, "-w", "stop")

    def _control(self, *arguments: str) -> None:
        _as_postgres(_binary("pg_ctl"), "-D", str(self._root / "data"), *arguments)

    def _execute(self, statement: str) -> None:
        where = f"host={self._root} port={self._port or 5432} user=postgres dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement)

    def new_database(self) -> str:
        """Return the URL of an empty database, over TCP if there is a port."""
        name = f"keystead_{next(_numbers)}"
        self._execute(f'CREATE DATABASE "{name}"')
        if self._port:
            return f"postgresql://postgres@127.0.0.1:{self._port}/{name}"
        return f"postgresql://postgres@/{name}?host={quote(str(self._root), safe='')}"


@contextmanager
def running(port: int | None = None, connections: int = 60) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="keystead-pg-") as folder:
        server = Server(Path(folder), port, connections)
        server.make()
        try:
            yield server
        finally:
            server.stop("immediate")
