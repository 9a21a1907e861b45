"""One call and its repeats: as often as the service allows, and no longer than the caller waits."""

import os
import random
import secrets
import threading
import time
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from keystead.client.errors import ClientClosedError, KeysteadError, error_of_call, is_lost_connection

_ATTEMPTS = 5
"""How often a call is made at most."""
_RECONNECT_PAUSE = 0.1
"""Seconds before the first repeat of a call that nobody answered; each further one waits twice as long."""

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


class Calls:
    """Makes calls that do no harm when they are made twice.

    A call is made again if the service says with RetryInfo that this makes sense, after the time that it says, or if
    nobody answered at all; and only if the repeat can begin before the caller's time is over.
    """

    def __init__(self) -> None:
        self._closed = threading.Event()
        self.process = os.getpid()
        """The process that may make calls."""

    def close(self) -> None:
        """Refuse further calls; one that waits for its repeat ends."""
        self._closed.set()

    @property
    def is_closed(self) -> bool:
        """Return whether no calls are made any more."""
        return self._closed.is_set()

    def rest(self, seconds: float) -> None:
        """Return after so many seconds, or when the client is closed."""
        self._closed.wait(seconds)

    def demand_open(self) -> None:
        """Return if calls can be made.

        Raises:
            ClientClosedError: they cannot.
        """
        if os.getpid() != self.process:
            raise ClientClosedError("A forked process must make a client of its own: this one is its parent's.")
        if self.is_closed:
            raise ClientClosedError("The client was closed.")

    def call(self, method: "grpc.UnaryUnaryMultiCallable[Q, A]", request: Q, until: float) -> tuple[A, str]:
        """Return the answer, and the id under which the service's log tells of the call.

        Args:
            method: of a stub.
            request: what to ask.
            until: when the caller's time is over, by time.monotonic().

        Raises:
            KeysteadError: there is no good answer.
            ClientClosedError: the client was closed.
        """
        call_id = secrets.token_hex(8)
        attempt = 1
        while True:
            self.demand_open()
            try:
                return self._call_once(method, request, until, call_id), call_id
            except grpc.RpcError as fault:
                error = error_of_call(fault, call_id)
                pause = _pause(fault, error, attempt)
                if self.is_closed:
                    raise ClientClosedError("The client was closed.") from fault
                if pause is None or attempt == _ATTEMPTS or time.monotonic() + pause >= until:
                    raise error from fault
            attempt += 1
            self.rest(pause)

    def _call_once(self, method: "grpc.UnaryUnaryMultiCallable[Q, A]", request: Q, until: float, call_id: str) -> A:
        left = max(0.001, until - time.monotonic())
        try:
            return method(request, timeout=left, metadata=(("x-request-id", call_id),))
        except ValueError as error:
            # So gRPC says that the channel was closed by another thread.
            self.demand_open()
            raise error from None


def _pause(fault: grpc.RpcError, error: KeysteadError, attempt: int) -> float | None:
    """Return for how many seconds to wait before a repeat, or None if there is to be none.

    It is never shorter than the service says. Callers that were refused together do not come back together.
    """
    if error.retry_after is not None:
        least = error.retry_after
    elif is_lost_connection(fault):
        least = _RECONNECT_PAUSE * 2 ** (attempt - 1)
    else:
        return None
    return least + random.uniform(0.01, 0.05 + least / 2)  # noqa: S311 - jitter is no secret
