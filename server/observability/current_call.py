"""The call that a thread works on: its id stands in every line of the log that is written for it, and in its errors.

The id serves to find things, and proves nothing: a caller may choose it, in the metadata `x-request-id`. It is no
`request_id`: that is a field of changes, and makes a repeat harmless.
"""

import re
import secrets
from collections.abc import Sequence
from contextvars import ContextVar
from itertools import count
from time import perf_counter

CALL_ID = "x-request-id"
"""The key of the metadata in which a caller may name its call."""

_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)
_PROCESS = secrets.token_hex(6)
_numbers = count(1)

Metadata = Sequence[tuple[str, str | bytes]]


class CurrentCall:
    """A call under way.

    Attributes:
        began: when it arrived, on the clock of `perf_counter`.
        caller: the identity of who is calling; empty if that is not proven, or not yet.
        reason: why it was refused; empty if it was not.
        request_id: of the change that is asked for, if its caller gave it one.
    """

    __slots__ = ("_id", "_metadata", "began", "caller", "reason", "request_id")

    def __init__(self, metadata: Metadata) -> None:
        self.began = perf_counter()
        self.caller = ""
        self.reason = ""
        self.request_id = ""
        self._metadata = metadata
        self._id = ""

    @property
    def id(self) -> str:
        """The id: the caller's if it gave one that is well formed, else one that was never used before."""
        if not self._id:
            # Only now: most calls are neither logged nor refused.
            given = [value for key, value in self._metadata if key == CALL_ID]
            is_good = len(given) == 1 and isinstance(given[0], str) and _WELL_FORMED.fullmatch(given[0])
            self._id = str(given[0]) if is_good else f"{_PROCESS}-{next(_numbers):x}"
        return self._id


_current: ContextVar[CurrentCall | None] = ContextVar("current_call", default=None)
"""gRPC gives each call a context of its own, in which its thread then works."""


def begin_call(metadata: Metadata) -> CurrentCall:
    """Make this the call that the present context works on."""
    call = CurrentCall(metadata)
    _current.set(call)
    return call


current_call = _current.get
"""Returns the call that this thread works on; None if it works on its own."""
