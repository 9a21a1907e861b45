"""CRC32C on the way to the service and back: what was damaged is not kept."""

import google_crc32c
from google.protobuf.message import Message

from server.cli.failures import TRY_AGAIN, fail
from server.cli.output import tell


def crc32c(data: bytes) -> int:
    """Return the checksum of `data`, 32 bits."""
    checksum: int = google_crc32c.value(data)
    return checksum


def demand_intact(answer: Message, *fields: str) -> None:
    """End if one of these fields of an answer has not its checksum beside it."""
    for field in fields:
        checksum = f"{field}_crc32c"
        if not answer.HasField(checksum) or getattr(answer, checksum) != crc32c(getattr(answer, field)):
            fail("What the service answered was damaged on its way. Nothing was kept; try again.", TRY_AGAIN)


def demand_verified(*, verified: bool) -> None:
    """End if the service has not compared the checksum of what it was sent."""
    if not verified:
        fail("The checksum of what was sent was lost on its way. Nothing was kept; try again.", TRY_AGAIN)


def tell_if_unverified(*, verified: bool) -> None:
    """Say so, if the service has not compared the checksum of an encrypted main key.

    That is no failure: the answer is there, and a damaged one would not have decrypted.
    """
    if not verified:
        tell("The service did not compare the checksum of what was sent: compare the fingerprint.")
