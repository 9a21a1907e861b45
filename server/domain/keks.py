"""KEKs: how they are kept, bound to their place, and how often they may encrypt."""

from dataclasses import dataclass
from datetime import datetime

from server.domain.encoding import length_prefixed
from server.domain.ids import KekName, ObjectId, OrganizationId

WRAPPING_ALGORITHM = "AES-KW"
"""RFC 3394, NIST SP 800-38F."""

ENCRYPTIONS_LIMIT = 2**32
"""Encryptions under one key with random 96-bit IVs. Source: NIST SP 800-38D, section 8.3."""


@dataclass(frozen=True, slots=True)
class WrappedKek:
    """A KEK as it may leave the token."""

    wrapped: bytes
    """40 bytes: AES-KW(main key, KEK)."""
    binding: bytes
    """28 bytes: IV and tag of AES-GCM under the KEK over an empty message; associated data: `binding_context`."""


@dataclass(frozen=True, slots=True)
class Kek:
    """A version of a KEK of one organisation: one key, wrapped under one main key."""

    organization: OrganizationId
    id: ObjectId
    """The version's own; what it encrypts names it."""
    kek: ObjectId
    """The KEK's, which is its first version's."""
    version: int
    """1 and up."""
    main_key: ObjectId
    key: WrappedKek
    reserved_encryptions: int
    """How many of its encryptions processes have taken, used or not."""
    create_time: datetime
    rewrap_time: datetime | None
    retry_time: datetime | None
    """Not before this time is a failed re-wrap tried again; None when the last one did not fail."""

    @property
    def remaining_encryptions(self) -> int:
        """Return how many encryptions no process has taken yet."""
        return max(0, ENCRYPTIONS_LIMIT - self.reserved_encryptions)


@dataclass(frozen=True, slots=True, eq=False)
class UsableKek:
    """A version of a KEK, and all that is needed to use it. One that is read again is another one."""

    organization: OrganizationId
    id: ObjectId
    """The version's own."""
    name: KekName
    """The KEK's, by which callers know it."""
    key: WrappedKek
    main_key: ObjectId
    """The object in the token of the main key that wraps it."""
    epoch: int
    """Its organisation's when this was read."""


def binding_context(organization: OrganizationId, kek: ObjectId) -> bytes:
    """Return what a KEK's binding authenticates, so that a row moved to another place is noticed."""
    return b"keystead.v1.kek" + length_prefixed(organization.encode(), bytes.fromhex(kek))
