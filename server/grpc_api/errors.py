"""What a fault looks like to a gRPC client: one table."""

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from server.domain import errors

DOMAIN = "keystead"

_CODES: Mapping[type[errors.KeysteadError], Code.ValueType] = MappingProxyType(
    {
        errors.InvalidArgumentError: Code.INVALID_ARGUMENT,
        errors.UnauthenticatedError: Code.UNAUTHENTICATED,
        errors.PermissionDeniedError: Code.PERMISSION_DENIED,
        errors.NotFoundError: Code.NOT_FOUND,
        errors.AlreadyExistsError: Code.ALREADY_EXISTS,
        errors.FailedPreconditionError: Code.FAILED_PRECONDITION,
        errors.AbortedError: Code.ABORTED,
        errors.ExhaustedError: Code.RESOURCE_EXHAUSTED,
        errors.TooLateError: Code.DEADLINE_EXCEEDED,
        errors.UnavailableError: Code.UNAVAILABLE,
        errors.DataLossError: Code.DATA_LOSS,
    }
)


def to_status(error: errors.KeysteadError) -> Status:
    """Return the status of a whole call, or of one item."""
    code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
    return Status(code=code, message=str(error), details=[_packed(detail) for detail in _details(error)])


def incident_status(incident: str) -> Status:
    """Return the status of a fault that nobody foresaw; the log tells more under the incident's id."""
    message = f"Keystead made an error. The operator finds it in the log as incident {incident}."
    info = ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"incident": incident})
    return Status(code=Code.INTERNAL, message=message, details=[_packed(info)])


def add_call_id(status: Status, call_id: str) -> None:
    """Tell the caller under which id the log tells of its call."""
    status.details.append(_packed(RequestInfo(request_id=call_id)))


def _details(error: errors.KeysteadError) -> list[Message]:
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if error.retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        details.append(RetryInfo(retry_delay=delay))
    if isinstance(error, errors.FailedPreconditionError):
        subject = error.metadata.get("main_key", "") or error.metadata.get("state", "")
        violation = PreconditionFailure.Violation(type=error.reason, subject=subject, description=str(error))
        details.append(PreconditionFailure(violations=[violation]))
    if "field" in error.metadata:
        violation = BadRequest.FieldViolation(field=error.metadata["field"], description=str(error))
        details.append(BadRequest(field_violations=[violation]))
    return details


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
