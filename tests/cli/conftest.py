"""People at a terminal."""

import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import Service


class Person:
    """Somebody who types commands, in a folder of their own."""

    def __init__(self, service: Service, folder: Path, who: str) -> None:
        self.folder = folder
        self.environment = {**service.environment(), **(service.identity(who) if who else {})}

    def keystead(self, *words, status: int = 0, prefix: tuple = (), **environment) -> subprocess.CompletedProcess[str]:
        """Type a command, which must end with this status; a variable that is None is not set."""
        mine = {name: str(value) for name, value in {**self.environment, **environment}.items() if value is not None}
        command = [*prefix, sys.executable, "-m", "server", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=mine, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
        assert status == 0 or done.stdout == "", done.stdout
        return done

    def says(self, *words, **more) -> str:
        return self.keystead(*words, **more).stdout

    def json(self, *words, **more) -> dict:
        return json.loads(self.keystead(*words, "--json", **more).stdout)

    def is_told(self, *words, status: int, **more) -> str:
        """Return what standard error says of a command that fails."""
        return self.keystead(*words, status=status, **more).stderr

    def files(self) -> list[str]:
        return sorted(file.name for file in self.folder.iterdir())


@pytest.fixture
def person(service, tmp_path):
    return lambda who: Person(service, tmp_path, who)


@pytest.fixture
def operator(person):
    return person("operator")


@pytest.fixture
def admin(person, org):
    return person(f"admin:{org.id}")


@pytest.fixture
def user(person, org):
    return person(f"service:{org.id}")


@pytest.fixture
def nobody(person):
    """Somebody with no identity at all."""
    return person("")


class Ear:
    """An address where a call would be heard."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def has_heard(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def ear():
    ear = Ear()
    yield ear
    ear.close()


@pytest.fixture
def without_privileges() -> tuple:
    """A prefix that makes a command obey the modes of files, also when the tests run as root."""
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
