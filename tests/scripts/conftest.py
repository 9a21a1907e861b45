"""Copies of this checkout, as newcomers have them, which borrow what would take minutes to make."""

import os
import shutil
import signal
import site
import subprocess
import venv
from pathlib import Path

import pytest

from tests.support.service import free_port
from tests.support.token import ROOT

NOT_OURS = shutil.ignore_patterns(".git", ".venv", ".keystead*", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info")

# What pip writes where the path of Python has a space.
COMMAND = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys
from server.__main__ import main
sys.exit(main())
"""


@pytest.fixture(autouse=True, scope="session")
def hangup_as_on_a_terminal():
    """Where the tests were started so that a hang-up is ignored, the scripts would inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Checkout:
    """One copy, its scripts, and the processes of its service."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / ".keystead"
        self.address = f"127.0.0.1:{free_port()}"
        # As little as there may be: a bare CI has no home that can be written, and companies have proxies.
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "CI": "true",
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
            "KEYSTEAD_DEV_ADDRESS": self.address,
            "KEYSTEAD_LIFE__WRAPPING_KEY_ALGORITHM": "RSA_OAEP_3072_SHA256",
        }
        self._started: list[subprocess.Popen[str]] = []
        shutil.copytree(ROOT, root, ignore=NOT_OURS, symlinks=True)
        self.given = {str(file.relative_to(root)) for file in root.rglob("*")}

    def borrow(self) -> None:
        """Have an environment of one's own, whose packages are ours, and our SoftHSM2."""
        venv.create(self.root / ".venv", symlinks=True, clear=True)
        bin_folder = self.root / ".venv" / "bin"
        (packages,) = (self.root / ".venv").glob("lib/python*/site-packages")
        paths = [self.root, self.root / "proto", *site.getsitepackages()]
        (packages / "borrowed.pth").write_text("".join(f"{path}\n" for path in paths))
        (bin_folder / "keystead").write_text(COMMAND.format(python=bin_folder / "python"))
        (bin_folder / "keystead").chmod(0o755)
        stamp = self.bash(". scripts/lib.sh; python_stamp requirements/runtime.txt").stdout.strip()
        (self.root / ".venv" / ".made-of-runtime.txt").write_text(stamp)
        self.borrow_softhsm()

    def borrow_softhsm(self) -> None:
        """Have the development token that was built for the tests."""
        shutil.copytree(ROOT / ".keystead" / "softhsm", self.home / "softhsm", dirs_exist_ok=True)

    def bash(self, script: str, *, status: int = 0, **environment) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-euo", "pipefail", "-c", script]
        return self._done(command, status, environment)

    def run(self, script: str, *arguments: str, status: int = 0, **environment) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts from another folder, which must end with this status."""
        return self._done([self.root / "scripts" / script, *arguments], status, environment, cwd="/")

    def _done(self, command, status, environment, cwd=None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=cwd or self.root,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}\n{self.log()[-4000:]}"
        assert "Traceback" not in done.stderr
        return done

    def start(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Run one of the scripts, in a session of its own, without waiting for its end."""
        process = subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            cwd="/",
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def log(self) -> str:
        file = self.home / "log" / "keystead.log"
        return file.read_text() if file.exists() else ""

    def _command_lines(self) -> dict[int, list[str]]:
        """Return the command lines of all processes that work in this checkout."""
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    if (folder / "cwd").readlink() == self.root:
                        found[int(folder.name)] = (folder / "cmdline").read_bytes().decode().split("\0")
                except OSError:
                    continue  # It has just ended.
        return found

    def processes(self) -> dict[int, str]:
        """Return the service's processes and what each of them is."""
        kinds = {"serve", "prepare", "worker", "steward"}
        lines = {pid: kinds.intersection(words) for pid, words in self._command_lines().items() if "--config" in words}
        return {pid: kind.pop() for pid, kind in lines.items() if kind}

    def is_waiting_for_orphans(self) -> bool:
        return any("--orphans" in words for words in self._command_lines().values())

    def kinds(self) -> list[str]:
        return sorted(self.processes().values())

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            process.stdout.close()
        if self.home.exists():
            self.run("stop")
        assert self.processes() == {}


@pytest.fixture(scope="module")
def new_checkout(tmp_path_factory):
    made = []

    def make(name: str, *, borrows: bool = True) -> Checkout:
        checkout = Checkout(tmp_path_factory.mktemp("place") / name)
        made.append(checkout)
        if borrows:
            checkout.borrow()
        return checkout

    yield make
    for checkout in made:
        checkout.close()


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory) -> Path:
    """A library in front of SoftHSM2 that fails as it is told; tests/faults tells its rules."""
    library = tmp_path_factory.mktemp("shim") / "a shim.so"
    source = ROOT / "tests/faults/pkcs11_shim.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library
