"""People at a terminal."""

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.support.service import Service
from tests.support.terminal import Terminal, terminal


class Person:
    """Somebody who types commands, in a folder of their own."""

    def __init__(self, service: Service, folder: Path, who: str) -> None:
        self.folder = folder
        self.environment = {**service.environment(), **(service.identity(who) if who else {})}

    def keystead(
        self, *words, status: int = 0, prefix: tuple = (), prints: bool = False, **environment
    ) -> subprocess.CompletedProcess[str]:
        """Type a command, which must end with this status; a variable that is None is not set.

        A command that fails prints nothing, unless its answer is what failed.
        """
        mine = self._variables(environment)
        command = [*prefix, sys.executable, "-m", "server", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=mine, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
        assert status == 0 or prints or done.stdout == "", done.stdout
        return done

    def _variables(self, more: dict) -> dict[str, str]:
        return {name: str(value) for name, value in {**self.environment, **more}.items() if value is not None}

    def at_terminal(self, *words, columns: int = 100, **environment) -> AbstractContextManager[Terminal]:
        """Type a command at a terminal, where it can ask."""
        command = [sys.executable, "-m", "server", *words]
        return terminal(command, cwd=self.folder, env=self._variables(environment), columns=columns)

    @contextmanager
    def starts(self, *words, **environment) -> "Iterator[subprocess.Popen[str]]":
        """Type a command whose output goes down a pipe as it comes."""
        # A test run in the background of a script has Ctrl-C ignored, and would hand that down.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "server", *words]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._variables(environment),
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

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
