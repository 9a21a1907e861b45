"""Checkpoints: what an organisation's log was at a moment, signed in the token by the audit key."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from server.domain.audit_encoding import canonical, moment
from server.domain.ids import ObjectId, OrganizationId

CHECKPOINT = "keystead.audit.checkpoint.v1"
"""What the signed bytes are, so that a signature over one kind of thing is never one over another."""


class SignatureAlgorithm(StrEnum):
    """How an audit key signs."""

    ECDSA_P256_SHA256 = "ECDSA_P256_SHA256"
    RSA_PSS_3072_SHA256 = "RSA_PSS_3072_SHA256"


@dataclass(frozen=True, slots=True)
class AuditKey:
    """The key that signs."""

    object_id: ObjectId
    algorithm: SignatureAlgorithm
    public_key: bytes
    """DER SubjectPublicKeyInfo."""
    create_time: datetime

    @property
    def fingerprint(self) -> bytes:
        """Return SHA-256 of the public key."""
        return hashlib.sha256(self.public_key).digest()


@dataclass(frozen=True, slots=True)
class TreeHead:
    """What is signed of a log."""

    organization: OrganizationId
    size: int
    """Number of events."""
    root: bytes
    """32 bytes."""
    time: datetime

    @property
    def signed_bytes(self) -> bytes:
        """Return the bytes that are signed: canonical JSON."""
        return canonical(
            {
                "type": CHECKPOINT,
                "organization": self.organization,
                "size": self.size,
                "root": self.root.hex(),
                "time": moment(self.time),
            }
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed head."""

    head: TreeHead
    key_fingerprint: bytes
    """SHA-256 of the public key, 32 bytes."""
    signature: bytes
    """Of ECDSA as DER."""
