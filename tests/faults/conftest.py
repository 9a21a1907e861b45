"""A token behind a shim that fails as it is told."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hsm_adapter import HsmToken, module
from tests.support.service import Service, running
from tests.support.token import make_token


class Shim:
    """The shim's rules, and what was called."""

    def __init__(self, folder: Path) -> None:
        self.rules = folder / "rules"
        self.calls_file = folder / "calls"
        self._hanging = folder / "rules.hang"
        self.rules.write_text("")
        self.calls_file.write_text("")

    def fail(self, function: str, rv: int, times: int = 1, when: str = "before") -> None:
        with self.rules.open("a") as file:
            file.write(f"{function} {when} {rv:x} {times:05d}\n")

    def hang(self, function: str) -> None:
        """Let the next call of the function hang until it is released."""
        self._hanging.touch()
        self.fail(function, 0, when="hang")

    def release(self) -> None:
        self._hanging.unlink(missing_ok=True)

    def heal(self) -> None:
        self.rules.write_text("")

    def used_up(self) -> bool:
        return all(line.split()[3] == "00000" for line in self.rules.read_text().splitlines())

    def count(self, function: str) -> int:
        return self.calls_file.read_text().split().count(function)


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).parent / "pkcs11_shim.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, source, "-ldl"], check=True)
    return library


@contextmanager
def shimmed_service(folder: Path, library: Path, **settings: str) -> Iterator[tuple[Service, Shim]]:
    """Have a service of one worker, whose processes all reach the token through one shim."""
    shim = Shim(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIM_MODULE", str(folder / "service/token/libsofthsm2.so"))
        patch.setenv("SHIM_RULES", str(shim.rules))
        patch.setenv("SHIM_CALLS", str(shim.calls_file))
        (folder / "service").mkdir()
        with running(folder / "service", SERVER__WORKERS="1", HSM__MODULE=str(library), **settings) as service:
            try:
                yield service, shim
            finally:
                shim.release()


@pytest.fixture
def settings(tmp_path, monkeypatch, shim_library):
    """A token that is reached through the shim; both libraries are this test's own copies."""
    real = make_token(tmp_path / "token")
    library = tmp_path / "shim.so"
    library.write_bytes(shim_library.read_bytes())
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "token/softhsm2.conf"))
    monkeypatch.setenv("SHIM_MODULE", str(real.module_path))
    monkeypatch.setenv("SHIM_RULES", str(tmp_path / "rules"))
    monkeypatch.setenv("SHIM_CALLS", str(tmp_path / "calls"))
    # The pause between two restarts is for production; the tests cause many.
    monkeypatch.setattr(module, "_REST", 0.0)
    return replace(real, module_path=library)


@pytest.fixture
def shim(tmp_path, settings):
    return Shim(tmp_path)


@pytest.fixture
def token(settings, shim):
    with HsmToken.open(settings) as token:
        yield token
        shim.heal()
