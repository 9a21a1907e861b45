"""Exports of audit logs, checked with nothing but the export and the audit key's public half.

An export is lines of JSON, each ended by a line feed: the events, exactly as they are hashed, and last the checkpoint.
The first thing that is wrong is told.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from server.cli.signed_files import NotGenuineError, PublicKey, fingerprint, leaf, node, object_of, statement_of

CHECKPOINT = "checkpoint"
"""The name under which the last line holds the checkpoint."""
_TYPE = "keystead.audit.checkpoint.v1"
_LINE_LIMIT = 64 * 1024
"""Bytes. No event comes near it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What an export was found to be."""

    organization: str
    size: int
    root: bytes
    time: str
    key_sha256: str


def verified(path: Path, key: PublicKey, older: Verified | None = None) -> Verified:
    """Return what an export is, if it is genuine.

    Args:
        path: the export.
        key: the audit key's public half.
        older: an earlier export of the same log, which this one must begin with.

    Raises:
        NotGenuineError: it is not.
        OSError: it cannot be read.
    """
    tree = _Tree()
    last: bytes | None = None
    wanted = None if older is None else older.size
    root_then = None
    for number, line in enumerate(_lines(path), 1):
        if last is not None:
            _demand_event(last, number - 1)
            tree.add(last)
            if tree.size == wanted:
                root_then = tree.root()
        last = line
    if last is None:
        raise NotGenuineError("The file is empty.")
    found = _signed(last, key)
    if found.size != tree.size:
        raise NotGenuineError(f"The checkpoint is of {found.size} events, and the file has {tree.size}.")
    if found.root != tree.root():
        raise NotGenuineError(
            "The events are not those that were signed: one was changed, left out, added or put elsewhere."
        )
    if older is not None and (older.organization, older.root) != (found.organization, root_then):
        raise NotGenuineError("The earlier export is not the beginning of this one: the log was rewritten.")
    return found


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(_LINE_LIMIT):
            if not line.endswith(b"\n"):
                raise NotGenuineError("The file's last line is not whole, or a line is longer than any can be.")
            yield line[:-1]


def _demand_event(line: bytes, number: int) -> None:
    """Return if a line is the event of this number; that it is genuine is seen by the root."""
    if object_of(line, number).get("sequence") != number:
        raise NotGenuineError(f"Line {number} is not the event of that number.")


def _signed(line: bytes, key: PublicKey) -> Verified:
    """Return what the last line says, if the key has signed it."""
    head = statement_of(line, CHECKPOINT, _TYPE, key)
    try:
        return Verified(
            organization=str(head["organization"]),
            size=int(head["size"]),
            root=bytes.fromhex(head["root"]),
            time=str(head["time"]),
            key_sha256=fingerprint(key),
        )
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise NotGenuineError("The checkpoint lacks what it should say.") from error


class _Tree:
    """The Merkle tree of RFC 6962, section 2.1, over what was added: only the roots of its whole parts are kept."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def add(self, entry: bytes) -> None:
        self._peaks.append(leaf(entry))
        self.size += 1
        rest = self.size
        while rest % 2 == 0:
            right, left = self._peaks.pop(), self._peaks.pop()
            self._peaks.append(node(left, right))
            rest //= 2

    def root(self) -> bytes:
        if not self._peaks:
            return hashlib.sha256().digest()
        *others, root = self._peaks
        for left in reversed(others):
            root = node(left, root)
        return root
