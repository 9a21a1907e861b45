"""Files of the command line: written once, never over another, and secrets for their owner alone."""

import os
from pathlib import Path

from server.cli.connection import fail

PUBLIC = 0o644
SECRET = 0o600


def read(path: Path) -> bytes:
    """Return what a file holds."""
    try:
        return path.read_bytes()
    except OSError as error:
        fail(f"{path}: {error.strerror}.", 2)


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that does not exist yet; nothing half-written stays."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        fail(f"{path} exists, and is not overwritten. Move it away, or choose another name.")
    except OSError as error:
        fail(f"{path}: {error.strerror}.", 2)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink()
        fail(f"{path}: {error.strerror}.")


def demand_new(*paths: Path) -> None:
    """Return if none of the files exists, so that work is not done for nothing."""
    for path in paths:
        if path.exists():
            fail(f"{path} exists, and is not overwritten. Move it away, or choose another name.")
