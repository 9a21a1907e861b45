"""Exports of audit logs, checked with nothing but the export and the audit key's public half.

An export is lines of JSON, each ended by a line feed: the events, exactly as they are hashed, and last the checkpoint.
It is all or nothing: the export is what was signed, or it is not, and then the first thing that is wrong is told.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from keystead.v1.audit_service_pb2 import AuditCheckpoint

_TYPE = "keystead.audit.checkpoint.v1"
_LINE_LIMIT = 64 * 1024
"""Bytes. No event comes near it."""
_SALT_SIZE = 32

PublicKey = ec.EllipticCurvePublicKey | RSAPublicKey


class NotGenuineError(Exception):
    """The export is not what was signed; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What an export was found to be."""

    organization: str
    size: int
    root: bytes
    time: str
    key_sha256: str


def checkpoint_line(checkpoint: AuditCheckpoint) -> bytes:
    """Return the last line of an export."""
    return _canonical(
        {
            "algorithm": AuditCheckpoint.Algorithm.Name(checkpoint.algorithm),
            "checkpoint": json.loads(checkpoint.signed_bytes),
            "public_key_sha256": checkpoint.public_key_sha256.hex(),
            "signature": base64.b64encode(checkpoint.signature).decode(),
        }
    )


def public_key(pem: bytes) -> PublicKey:
    """Return an audit key's public half.

    Raises:
        NotGenuineError: it is none.
    """
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise NotGenuineError("The key file holds no public key (PEM).") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | RSAPublicKey):
        raise NotGenuineError("The key file holds no key that signs audit logs.")
    return key


def fingerprint(key: PublicKey) -> str:
    """Return SHA-256 of a public key, as `openssl pkey -pubin -outform DER | openssl sha256` prints it."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


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
    if _object(line, number).get("sequence") != number:
        raise NotGenuineError(f"Line {number} is not the event of that number.")


def _object(line: bytes, number: int | str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (RecursionError, ValueError) as error:
        raise NotGenuineError(f"Line {number} is no JSON.") from error
    if not isinstance(found, dict):
        raise NotGenuineError(f"Line {number} is no JSON object.")
    return found


def _signed(line: bytes, key: PublicKey) -> Verified:
    """Return what the last line says, if the key has signed it."""
    told = _object(line, "of the checkpoint")
    try:
        head, signature = told["checkpoint"], base64.b64decode(told["signature"], validate=True)
        is_exact = _canonical(told) == line and base64.b64encode(signature).decode() == told["signature"]
        found = Verified(
            organization=str(head["organization"]),
            size=int(head["size"]),
            root=bytes.fromhex(head["root"]),
            time=str(head["time"]),
            key_sha256=str(told["public_key_sha256"]),
        )
        is_exact = is_exact and head["type"] == _TYPE and told["algorithm"] == _algorithm(key)
    except (KeyError, TypeError, ValueError) as error:
        raise NotGenuineError("The last line is no checkpoint: the end of the file is missing.") from error
    if found.key_sha256 != fingerprint(key):
        raise NotGenuineError(f"It was signed by another key, whose SHA-256 is {found.key_sha256}.")
    if not is_exact:
        raise NotGenuineError("The last line is no checkpoint as Keystead writes it.")
    try:
        _verify(key, signature, _canonical(head))
    except InvalidSignature as error:
        raise NotGenuineError("The signature of the checkpoint is not that of this key over it.") from error
    return found


def _algorithm(key: PublicKey) -> str:
    ecdsa, pss = AuditCheckpoint.ECDSA_P256_SHA256, AuditCheckpoint.RSA_PSS_3072_SHA256
    return AuditCheckpoint.Algorithm.Name(pss if isinstance(key, RSAPublicKey) else ecdsa)


def _verify(key: PublicKey, signature: bytes, message: bytes) -> None:
    if isinstance(key, RSAPublicKey):
        key.verify(signature, message, padding.PSS(padding.MGF1(hashes.SHA256()), _SALT_SIZE), hashes.SHA256())
    else:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class _Tree:
    """The Merkle tree of RFC 6962, section 2.1, over what was added: only the roots of its whole parts are kept."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def add(self, entry: bytes) -> None:
        self._peaks.append(hashlib.sha256(b"\x00" + entry).digest())
        self.size += 1
        rest = self.size
        while rest % 2 == 0:
            right, left = self._peaks.pop(), self._peaks.pop()
            self._peaks.append(_node(left, right))
            rest //= 2

    def root(self) -> bytes:
        if not self._peaks:
            return hashlib.sha256().digest()
        *others, root = self._peaks
        for left in reversed(others):
            root = _node(left, root)
        return root


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
