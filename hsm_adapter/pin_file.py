"""The PIN: read from a file when it is needed, into memory that is wiped afterwards, and never kept.

A refused PIN is not tried again before its file changes, since tokens lock after a few attempts.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsm_adapter.errors import HsmAuthenticationError

_LONGEST_PIN = 255

_Version = tuple[int, int, int]
"""Inode, time of the last change (ns) and size of the file."""


class PinFile:
    """Where the user's PIN is written, readable by nobody but the service."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._refused: _Version | None = None

    @contextmanager
    def pin(self) -> Iterator[bytearray]:
        """Have the PIN for a block, which must not copy it.

        Raises:
            HsmAuthenticationError: the file cannot be read, is open to others, or holds a PIN that was refused.
        """
        pin = bytearray(_LONGEST_PIN + 1)
        try:
            version = self._read_into(pin)
            if version == self._refused:
                raise HsmAuthenticationError(
                    f"The token refused the PIN in {self._path}, and it is not tried again, since tokens lock. "
                    "Write the right PIN into the file: the change is noticed."
                )
            try:
                yield pin
            except HsmAuthenticationError:
                self._refused = version
                raise
        finally:
            pin[:] = bytes(len(pin))

    def _read_into(self, pin: bytearray) -> _Version:
        try:
            with self._path.open("rb", buffering=0) as file:
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
        return status.st_ino, status.st_mtime_ns, status.st_size
