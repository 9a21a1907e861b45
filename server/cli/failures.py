"""How the command line ends when something is wrong: what went wrong, what to do, and an exit status for programs."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import grpc
import typer
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from server.cli.advice import advice
from server.cli.text import printable

REFUSED = 1
"""The service refused, or the answer was not the one that was hoped for or could not be kept."""
WRONG_USAGE = 2
"""The command cannot be carried out as it was given; the service was asked for nothing."""
TRY_AGAIN = 75
"""The service does not answer, or not now."""

_PASSING = frozenset({"UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})

_OPERATORS = frozenset({"UNAVAILABLE", "INTERNAL", "DATA_LOSS", "UNKNOWN"})
"""Codes that the operator of the service can do something about: people are shown what to quote."""


def fail(message: str, status: int = WRONG_USAGE) -> NoReturn:
    """End with a message that says what to do."""
    sys.stderr.write(f"keystead: {printable(message)}\n")
    raise typer.Exit(status)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the service said instead of what it was asked for.

    Attributes:
        code: name of the gRPC code.
        reason: of the service's own, or empty if it did not get to speak.
        message: for people.
        metadata: further facts for programs.
        status: the exit status it leads to.
        call_id: under which the operator finds the call in the service's log; empty if the service did not speak.
    """

    code: str
    reason: str
    message: str
    metadata: Mapping[str, str]
    status: int
    call_id: str = ""

    def end(self, *, as_json: bool) -> NoReturn:
        """Tell it on standard error, and end."""
        if as_json:
            fault = {"code": self.code, "reason": self.reason, "message": self.message, "metadata": self.metadata}
            if self.call_id:
                fault["call_id"] = self.call_id
            sys.stderr.write(json.dumps({"error": fault}) + "\n")
            raise typer.Exit(self.status)
        next_step = advice(self.reason, self.metadata)
        fail(
            self.message
            + (f"\n  reason: {self.reason}" if self.reason else "")
            + (f"\n  next: {next_step}" if next_step else "")
            + (f"\n  call: {self.call_id}" if self.call_id and self.code in _OPERATORS else ""),
            self.status,
        )


def refusal_of_item(status: Status) -> Refusal:
    """Return why one item of a call was refused."""
    code = next(known.name for known in grpc.StatusCode if known.value[0] == status.code)
    return _refusal(code, status.message, status.details)


def refusal_of_call(error: grpc.RpcError, address: str) -> Refusal:
    """Return why a call to the service at `address` was refused, or failed."""
    code, told = error.code().name, error.details() or ""
    status = rpc_status.from_call(error)
    notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
    if status is not None:
        return _refusal(code, told, status.details, notes)
    if _is_another(error):
        told = (
            f"What answers at {address} is not a service that KEYSTEAD_CA vouches for. "
            "Check KEYSTEAD_ADDRESS and KEYSTEAD_CA; nothing was sent."
        )
        return Refusal(code, "", told, {}, REFUSED)
    if code == "UNAVAILABLE":
        has_certificate = bool(os.environ.get("KEYSTEAD_CERT"))
        doubt = "Does it know the authority of KEYSTEAD_CERT?" if has_certificate else "Is it the address for people?"
        told = f"No answer from {address}. Is the service running there? {doubt}\n  detail: {told}"
    elif code == "DEADLINE_EXCEEDED":
        told = f"No answer from {address} in time. What was asked for may be done all the same: look, then try again."
    return _refusal(code, told, (), notes)


def _is_another(error: grpc.RpcError) -> bool:
    """Return whether a call failed because what answers is not the service."""
    told = error.details() or ""
    return "CERTIFICATE_VERIFY_FAILED" in told or "Hostname Verification" in told


def pause_before_repeat(error: grpc.RpcError) -> float | None:
    """Return after how many seconds the same call may succeed, or None if a repeat would not help.

    The service itself says so with RetryInfo; without a word of it the connection is gone, or was never there.
    """
    status = rpc_status.from_call(error)
    if status is None:
        return 0.0 if error.code() is grpc.StatusCode.UNAVAILABLE and not _is_another(error) else None
    return _retry_delay(status.details)


def _retry_delay(details: Iterable[Any]) -> float | None:
    retry = RetryInfo()
    for detail in details:
        if detail.Unpack(retry):
            return float(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)
    return None


def _refusal(code: str, message: str, details: Sequence[Any], notes: str = "") -> Refusal:
    """Return a refusal; what the service refused may pass if it says so, and what it never heard if the code does.

    Args:
        code: name of the gRPC code.
        message: for people.
        details: what the service said beside it, if it got to speak.
        notes: further lines, for people to whom the refusal may pass.
    """
    info, call = ErrorInfo(), RequestInfo()
    for detail in details:
        detail.Unpack(info)
        detail.Unpack(call)
    passes = code in _PASSING if not details else _retry_delay(details) is not None
    message = (message or code) + notes * passes
    return Refusal(code, info.reason, message, dict(info.metadata), TRY_AGAIN if passes else REFUSED, call.request_id)
