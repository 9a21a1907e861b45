"""Files of the command line: what it reads is small; what it writes is new, whole, and if secret its owner's alone."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from server.cli import main_key_maker
from server.cli.failures import REFUSED, fail

PUBLIC = 0o644
SECRET = 0o600

_LIMIT = 64 * 1024
"""Bytes. Nothing that the command line reads comes near it."""
_ENCRYPTED_SIZES = (384, 512)
"""Bytes: the moduli of WrappingKey.Algorithm."""


def read(path: Path, named_by: str = "") -> bytes:
    """Return what a file holds; `named_by` says, in errors, who named it."""
    place = f"{named_by}: {path}" if named_by else str(path)
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
    except OSError as error:
        fail(f"{place}: {error.strerror}.")
    if len(content) > _LIMIT:
        fail(f"{place} is longer than {_LIMIT} bytes, and so not what is asked for.")
    return content


def read_encrypted_key(path: Path) -> bytes:
    """Return the encrypted main key in a file; what cannot be one stays here, above all a main key in clear."""
    content = read(path)
    if len(content) == main_key_maker.SIZE:
        fail(f"{path} is {len(content)} bytes, as a main key in clear is. Encrypt it first; it was not sent.")
    if len(content) not in _ENCRYPTED_SIZES:
        told = " or ".join(map(str, _ENCRYPTED_SIZES))
        fail(f"{path} is {len(content)} bytes, and an encrypted main key is {told}. It was not sent.")
    return content


class NewFiles:
    """Files that were made for what is to come."""

    def __init__(self) -> None:
        self.open: dict[Path, BinaryIO] = {}

    def write(self, path: Path, content: bytes) -> None:
        """Write the whole of one of the files, down to the disk."""
        self.write_all(path, (content,))

    def write_all(self, path: Path, parts: Iterable[bytes]) -> None:
        """Write the whole of one of the files, as its parts come, down to the disk."""
        try:
            with self.open[path] as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            fail(f"{path}: {error.strerror}. Nothing was kept; try again where there is room.", REFUSED)


@contextmanager
def new_files(*outputs: tuple[Path, int]) -> Iterator[NewFiles]:
    """Make files of these modes before anything is asked of anybody, and keep them only if the block succeeds.

    So nothing is overwritten, an answer is never lost for want of a place, and of two files both are there or none.
    """
    new = NewFiles()
    with ExitStack() as undo:
        for path, mode in outputs:
            if path in new.open:
                fail(f"{path} cannot be two things. Choose another name for one of them.")
            new.open[path] = _create(path, mode)
            undo.callback(path.unlink, missing_ok=True)
            undo.callback(new.open[path].close)
        yield new
        undo.pop_all()


def _create(path: Path, mode: int) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")
    except FileExistsError:
        fail(f"{path} exists, and is not overwritten. Move it away, or choose another name.")
    except OSError as error:
        fail(f"{path}: {error.strerror}.")
