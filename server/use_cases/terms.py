"""The terms of a change: that it is carried out once, and only on what its caller has seen.

In the transaction of the change, in this order: `demand_new` (a repeat ends here, with the first answer), `demand_seen`
(a stale etag ends here), the change, `keep` (the answer commits with the change).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from server.domain.change_requests import REMEMBERED, AnsweredRequest
from server.domain.errors import RequestIdReusedError, StaleEtagError
from server.domain.ports import Transaction
from server.domain.roles import Caller


class AnsweredBefore(Exception):  # noqa: N818 - no error: the answer of a request that is repeated
    """The request was carried out before; its caller is to be told the same again."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Terms:
    """How a change is asked for.

    Attributes:
        request_id: checked by check_request_id, or None if repeats are the caller's business.
        digest: SHA-256 of the whole request, 32 bytes.
        etag: of what the caller has seen, or None if it does not care.
        pack: turns what a use case answers into bytes that can be told again.
    """

    request_id: str | None = None
    digest: bytes = bytes(32)
    etag: str | None = None
    pack: Callable[[Any], bytes] = field(default=lambda _: b"", repr=False)

    def demand_new(self, tx: Transaction, caller: Caller, now: datetime) -> None:
        """Return if this request was not carried out before.

        Raises:
            AnsweredBefore: it was; carries the answer.
            RequestIdReusedError: its id was used for another one.
        """
        if self.request_id is None:
            return
        known = tx.requests.find(caller.identity, self.request_id)
        if known is None or known.create_time < now - REMEMBERED:
            return
        if known.digest != self.digest:
            raise RequestIdReusedError
        raise AnsweredBefore(known.answer)

    def demand_seen(self, etag: str, present: Mapping[str, str]) -> None:
        """Return if the caller has seen the present state, or does not care.

        Args:
            etag: of the present state.
            present: what the caller is told of it.

        Raises:
            StaleEtagError: it was changed since the caller looked.
        """
        if self.etag is not None and self.etag != etag:
            raise StaleEtagError({**present, "etag": etag})

    def keep(self, tx: Transaction, caller: Caller, answer: object, now: datetime) -> None:
        """Keep the answer beside the change."""
        if self.request_id is not None:
            tx.requests.add(
                AnsweredRequest(caller.identity, self.request_id, self.digest, self.pack(answer), create_time=now)
            )


FREE = Terms()
"""Of a change that its caller does not repeat, and asks for whatever the state."""
