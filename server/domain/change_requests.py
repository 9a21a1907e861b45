"""Requests that change something: each is carried out once, however often it is sent.

A caller gives a request an id of its own (a random UUID). The answer is kept beside what was changed, in the same
transaction, and a repeat within 24 hours is given that first answer.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.domain.errors import InvalidFieldError

REMEMBERED = timedelta(hours=24)

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def check_request_id(text: str) -> str:
    """Return `text` as the id of a request, in lower case.

    Raises:
        InvalidFieldError: it is not a random UUID (version 4).
    """
    if not _UUID4.fullmatch(text.lower()):
        raise InvalidFieldError("request_id", "a random UUID (version 4), in its form of 36 characters")
    return text.lower()


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """A change that was carried out, and what its caller was told."""

    caller: str
    request_id: str
    digest: bytes
    """SHA-256 of the whole request, 32 bytes."""
    answer: bytes
    """As the API packs it."""
    create_time: datetime
