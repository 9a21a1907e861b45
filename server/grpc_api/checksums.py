"""CRC32C beside bytes that matter: compared before a use case sees them, and made of what is answered."""

from collections.abc import Callable

import google_crc32c
from google.protobuf.message import Message

from server.domain.errors import ChecksumMismatchError

crc32c: Callable[[bytes], int] = google_crc32c.value
"""Returns the checksum of bytes, 32 bits. Source: RFC 3720, appendix B.4."""


def mismatch(message: Message, field: str) -> ChecksumMismatchError | None:
    """Return what is wrong with the checksum beside a field; None if it is right, or there is none."""
    if not has_checksum(message, field) or getattr(message, f"{field}_crc32c") == crc32c(getattr(message, field)):
        return None
    return ChecksumMismatchError(field)


def has_checksum(message: Message, field: str) -> bool:
    """Return whether a message has a checksum beside a field."""
    return message.HasField(f"{field}_crc32c")


def demand_intact(message: Message, field: str) -> None:
    """Return if the checksum beside a field is right, or there is none.

    Raises:
        ChecksumMismatchError: it is wrong.
    """
    fault = mismatch(message, field)
    if fault is not None:
        raise fault
