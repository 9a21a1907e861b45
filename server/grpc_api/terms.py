"""The terms of a change, as its request tells them."""

import hashlib
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from server.domain.change_requests import check_request_id
from server.use_cases import Terms

T = TypeVar("T")


def terms_of(request: Message, pack: Callable[[T], Message]) -> Terms:
    """Return the terms of a request that has a request_id, and perhaps an etag.

    Args:
        request: the whole request.
        pack: turns what the use case answers into the message of the contract.

    Raises:
        InvalidFieldError: the request_id is not a random UUID.
    """
    request_id: str = getattr(request, "request_id", "")
    etag: str = getattr(request, "etag", "")
    whole = request.DESCRIPTOR.full_name.encode() + b"\0" + request.SerializeToString(deterministic=True)
    return Terms(
        request_id=check_request_id(request_id) if request_id else None,
        digest=hashlib.sha256(whole).digest(),
        etag=etag or None,
        pack=lambda answer: pack(answer).SerializeToString(deterministic=True),
    )
