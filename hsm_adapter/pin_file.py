"""The PIN: read from a file when it is needed, into memory that is wiped afterwards, and never kept.

A refused PIN is not tried again before its file changes, since tokens lock after a few attempts. That holds for all
processes of the machine together: logins are made one after the other, and a mark beside the file tells the others.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from hsm_adapter.errors import HsmAuthenticationError, HsmUnavailableError

_LONGEST_PIN = 255

_PATIENCE = 30.0
"""Seconds that a login waits for that of another process."""
_LOOK = 0.02

_Version = tuple[int, int, int]
"""Inode, time of the last change (ns) and size of the file."""


class PinFile:
    """Where the user's PIN is written, readable by nobody but the service."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._refused: _Version | None = None
        self._mark = path.with_name(f".{path.name}.refused")

    @contextmanager
    def pin(self) -> Iterator[bytearray]:
        """Have the PIN for a block, which must not copy it.

        Raises:
            HsmAuthenticationError: the file cannot be read, is open to others, or holds a PIN that was refused.
            HsmUnavailableError: the login of another process does not end.
        """
        pin = bytearray(_LONGEST_PIN + 1)
        try:
            with self._opened() as file:
                version = self._read_into(pin, file)
                if version == self._refused or self._is_marked(version):
                    raise HsmAuthenticationError(
                        f"The token refused the PIN in {self._path}, and it is not tried again, since tokens lock. "
                        "Write the right PIN into the file: the change is noticed."
                    )
                try:
                    yield pin
                except HsmAuthenticationError:
                    self._refused = version
                    self._make_mark(version)
                    raise
        finally:
            pin[:] = bytes(len(pin))

    @contextmanager
    def _opened(self) -> Iterator[FileIO]:
        """Have the file for a block, alone among all processes: each sees what came of the login before its own."""
        try:
            file = self._path.open("rb", buffering=0)
        except OSError as error:
            raise HsmAuthenticationError(f"The PIN file {self._path} cannot be read: {error.strerror}.") from error
        with file:
            deadline = time.monotonic() + _PATIENCE
            while not _locked(file):
                if time.monotonic() > deadline:
                    raise HsmUnavailableError(
                        "Another process is logging in to the token, and does not come to an end."
                    )
                time.sleep(_LOOK)
            yield file

    def is_refused(self) -> bool:
        """Return whether the token refused the PIN that is in the file now, in whichever process."""
        try:
            version = _version_of(self._path.stat())
        except OSError:
            return False
        return version == self._refused or self._is_marked(version)

    def _is_marked(self, version: _Version) -> bool:
        try:
            return self._mark.read_text() == str(version)
        except OSError:
            return False

    def _make_mark(self, version: _Version) -> None:
        # Where the folder cannot be written, each process still remembers for itself.
        with suppress(OSError):
            self._mark.write_text(str(version))

    def _read_into(self, pin: bytearray, file: FileIO) -> _Version:
        try:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
                raise HsmAuthenticationError(f"Others may read {self._path}. Do: chmod 600 {self._path}")
            size = file.readinto(pin)
        except OSError as error:
            raise HsmAuthenticationError(f"The PIN file {self._path} cannot be read: {error.strerror}.") from error
        while size and pin[size - 1] in b"\r\n":
            size -= 1
        if not 0 < size <= _LONGEST_PIN:
            raise HsmAuthenticationError(f"{self._path} must hold the PIN and nothing else, 1 to {_LONGEST_PIN} bytes.")
        pin[size:] = bytes(len(pin) - size)
        del pin[size:]
        return _version_of(status)


def _version_of(status: os.stat_result) -> _Version:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _locked(file: FileIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
