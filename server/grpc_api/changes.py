"""One line of the log for each change that was asked for, carried out or not: who, what, and what became of it."""

import logging
from time import perf_counter
from typing import Any

from server.grpc_api.refusals import name_or_nothing, resource_of
from server.observability.current_call import CurrentCall

_log = logging.getLogger(__name__)


def log_change(
    method: str,
    request: Any,  # noqa: ANN401 - whichever message the method takes
    call: CurrentCall,
    code: str,
) -> None:
    """Write the line of a call that has ended with this code."""
    told = {
        "method": method,
        "resource": resource_of(request),
        "caller": call.caller,
        "code": code,
        "reason": call.reason,
        "request_id": name_or_nothing(getattr(request, "request_id", "")),
        "seconds": round(perf_counter() - call.began, 6),
    }
    _log.info("change", extra={field: value for field, value in told.items() if value})
