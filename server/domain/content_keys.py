"""The form of a wrapped content key, and what it authenticates.

    version (1 byte, 0x01) | KEK id (16) | IV (12) | ciphertext (as long as the content key) | tag (16)

AES-256-GCM under the KEK. The associated data are the version, the organisation, the KEK's id and the caller's context
(sorted by key), each behind its length. Source: NIST SP 800-38D.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from server.domain.encoding import length_prefixed
from server.domain.errors import InvalidFieldError, WrappedKeyRejectedError
from server.domain.ids import ObjectId, OrganizationId

VERSION = b"\x01"
_KEK_ID_SIZE = 16
_SEALED_OVERHEAD = 12 + 16
OVERHEAD = len(VERSION) + _KEK_ID_SIZE + _SEALED_OVERHEAD
"""Bytes by which a wrapped content key is longer than the content key: 45."""

ITEMS_LIMIT = 1000
CONTENT_KEY_LIMIT = 4096
"""Bytes of a content key that a caller brings."""
GENERATED_SIZES = range(16, 65)
"""Bytes of a content key that Keystead makes."""
CONTEXT_ENTRIES_LIMIT = 64
CONTEXT_BYTES_LIMIT = 8192

Context = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WrappedContentKey:
    """A wrapped content key, taken apart."""

    kek: ObjectId
    sealed: bytes
    """IV, ciphertext and tag."""

    def to_bytes(self) -> bytes:
        """Return the one opaque string that callers keep."""
        return VERSION + bytes.fromhex(self.kek) + self.sealed

    @classmethod
    def parse(cls, wrapped: bytes) -> Self:
        """Take apart what a caller sent.

        Raises:
            WrappedKeyRejectedError: it cannot be one: its version or its length is wrong.
        """
        in_size = OVERHEAD < len(wrapped) <= OVERHEAD + CONTENT_KEY_LIMIT
        if not in_size or wrapped[:1] != VERSION:
            raise WrappedKeyRejectedError
        head = len(VERSION) + _KEK_ID_SIZE
        return cls(ObjectId(wrapped[1:head].hex()), wrapped[head:])


def check_plaintext(plaintext: bytes) -> None:
    """Return if a caller's content key has a permitted size.

    Raises:
        InvalidFieldError: it is empty, or longer than 4096 bytes.
    """
    if not 1 <= len(plaintext) <= CONTENT_KEY_LIMIT:
        raise InvalidFieldError("plaintext", f"a content key has 1 to {CONTENT_KEY_LIMIT} bytes")


def associated_data(organization: OrganizationId, kek: ObjectId, context: Context) -> bytes:
    """Return what a wrapped content key authenticates besides itself.

    Raises:
        InvalidFieldError: the context has over 64 entries, over 8192 bytes of UTF-8, or an empty key.
    """
    place = _place(organization, kek)
    if not context:
        return place
    pairs = [(key.encode(), value.encode()) for key, value in context.items()]
    if len(pairs) > CONTEXT_ENTRIES_LIMIT:
        raise InvalidFieldError("context", f"at most {CONTEXT_ENTRIES_LIMIT} entries")
    if sum(len(key) + len(value) for key, value in pairs) > CONTEXT_BYTES_LIMIT:
        raise InvalidFieldError("context", f"at most {CONTEXT_BYTES_LIMIT} bytes in all")
    if any(not key for key, _ in pairs):
        raise InvalidFieldError("context", "no key may be empty")
    return place + length_prefixed(*(part for pair in sorted(pairs) for part in pair))


@lru_cache(maxsize=10_000)
def _place(organization: OrganizationId, kek: ObjectId) -> bytes:
    return VERSION + length_prefixed(organization.encode(), bytes.fromhex(kek))
