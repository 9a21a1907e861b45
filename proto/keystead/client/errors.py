"""What goes wrong, as a caller sees it: one tree of errors, each with what the service said."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

_DETAILS = "grpc-status-details-bin"
_CODES: Mapping[int, str] = MappingProxyType({it.value[0]: it.name for it in grpc.StatusCode})
_PASSING = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED"})
_DAMAGE = frozenset({"CHECKSUM_MISMATCH", "KEK_DAMAGED"})


class KeysteadError(Exception):
    """A call, or one item of a call, has no good answer.

    Attributes:
        code: name of the gRPC code, such as FAILED_PRECONDITION.
        reason: of the service's own, as docs/api.md lists them; empty if the service did not get to speak.
        message: for people; it may change.
        metadata: further facts for programs: ids, states, fingerprints.
        call_id: under which the service's log tells of the call; empty if none was sent.
        retry_after: seconds after which the same may succeed, if the service said so; None if it did not.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] = MappingProxyType({}),
        call_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, reason)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = MappingProxyType(dict(metadata))
        self.call_id = call_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        call = f" (call {self.call_id})" if self.call_id else ""
        return f"{' '.join(filter(None, (self.code, self.reason)))}: {self.message}{call}"


class RefusedError(KeysteadError):
    """The service refused; the same again is refused again, until somebody changes something."""


class LockedError(RefusedError):
    """The organisation's main key is not ACTIVE: its administrator must act. `metadata` names key and state."""


class UnavailableError(KeysteadError):
    """The service does not answer, or cannot now; the same may succeed later. It was tried as often as is allowed."""


class DamagedError(KeysteadError):
    """Bytes were damaged: on their way, by what checksums say, or where the service keeps them."""


class SettingsError(Exception):
    """A client cannot be made; the message says which file or variable is wrong."""


class ClientClosedError(Exception):
    """The client was closed, or is a copy in a forked process; it makes no calls any more."""


def error_of_call(fault: grpc.RpcError, call_id: str) -> KeysteadError:
    """Return why a whole call has no good answer."""
    status = _status_of(fault)
    details: Sequence[Any] = status.details if status is not None else ()
    return _error(fault.code().name, fault.details() or "", details, call_id)


def error_of_item(status: Status, call_id: str) -> KeysteadError:
    """Return why one item of a call has no good answer."""
    return _error(_CODES.get(status.code, "UNKNOWN"), status.message, status.details, call_id)


def is_lost_connection(fault: grpc.RpcError) -> bool:
    """Return whether the connection is gone or was never there, so that nobody answered.

    That what answers is not the service, by its certificate, is something else: to ask it again helps nobody.
    """
    told = fault.details() or ""
    is_another = "CERTIFICATE_VERIFY_FAILED" in told or "Hostname Verification" in told
    return fault.code() is grpc.StatusCode.UNAVAILABLE and _status_of(fault) is None and not is_another


def _status_of(fault: grpc.RpcError) -> Status | None:
    for it in fault.trailing_metadata() or ():
        if it.key == _DETAILS and isinstance(it.value, bytes):
            return Status.FromString(it.value)
    return None


def _error(code: str, message: str, details: Iterable[Any], call_id: str) -> KeysteadError:
    info, call, retry = ErrorInfo(), RequestInfo(), RetryInfo()
    retry_after: float | None = None
    for detail in details:
        if detail.Unpack(retry):
            retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        detail.Unpack(info)
        detail.Unpack(call)
    return _kind(code, info.reason, retry_after)(
        code,
        message or code,
        reason=info.reason,
        metadata=dict(info.metadata),
        call_id=call.request_id or call_id,
        retry_after=retry_after,
    )


def _kind(code: str, reason: str, retry_after: float | None) -> type[KeysteadError]:
    if reason == "ORGANIZATION_LOCKED":
        return LockedError
    if reason in _DAMAGE or code == "DATA_LOSS":
        return DamagedError
    return UnavailableError if code in _PASSING or retry_after is not None else RefusedError
