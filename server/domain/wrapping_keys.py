"""Wrapping keys: one RSA pair for one upload."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from server.domain.ids import ObjectId, OrganizationId

FAILED_UPLOADS_LIMIT = 5
"""Failed uploads after which a wrapping key dies: an attacker who probes paddings gets five answers, not thousands."""


class Algorithm(StrEnum):
    """How main keys are encrypted under a wrapping key. Source: RFC 8017, section 7.1."""

    RSA_OAEP_3072_SHA256 = "RSA_OAEP_3072_SHA256"
    RSA_OAEP_4096_SHA256 = "RSA_OAEP_4096_SHA256"

    @property
    def modulus_bits(self) -> int:
        """Return the size of the modulus in bits."""
        return 3072 if self is Algorithm.RSA_OAEP_3072_SHA256 else 4096

    @property
    def encrypted_size(self) -> int:
        """Return the size of an encrypted key in bytes."""
        return self.modulus_bits // 8


class WrappingKeyState(StrEnum):
    """Whether a wrapping key can still be used. Only USABLE has an object in the token."""

    USABLE = "USABLE"
    USED = "USED"
    SPENT = "SPENT"
    """Five uploads failed."""
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class WrappingKey:
    """An RSA pair of the HSM, made for one upload of one organisation."""

    organization: OrganizationId
    id: ObjectId
    algorithm: Algorithm
    public_key: bytes
    """DER SubjectPublicKeyInfo (RFC 5280, section 4.1)."""
    state: WrappingKeyState
    failed_uploads: int
    create_time: datetime
    expire_time: datetime

    def is_usable(self, now: datetime) -> bool:
        """Return whether an upload under it may be tried at `now` (aware UTC)."""
        in_time = now < self.expire_time
        return self.state is WrappingKeyState.USABLE and in_time and self.failed_uploads < FAILED_UPLOADS_LIMIT
