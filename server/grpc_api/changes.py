"""One line of the log for each change that was asked for, carried out or not: who, what, and what became of it."""

import logging
import re
from time import perf_counter
from typing import Any

from google.protobuf import descriptor_pool

from server.observability.current_call import CurrentCall

_log = logging.getLogger(__name__)

_WITHOUT_REQUEST_ID = frozenset({"GetWrappingKey", "VerifyMainKeyCopy"})
"""They make or use up a wrapping key, though a repeat of them is another request."""
_NAME = re.compile(r"[A-Za-z0-9/_-]{1,200}", re.ASCII)
_RESOURCE = ("name", "parent", "organization_id")
"""Fields of requests that tell what a change was about, the first of them that is there."""


def is_change(full_name: str) -> bool:
    """Return whether a method, by its full name with dots, changes anything that an administrator would ask about."""
    try:
        method = descriptor_pool.Default().FindMethodByName(full_name)
    except KeyError:
        return False
    return "request_id" in method.input_type.fields_by_name or method.name in _WITHOUT_REQUEST_ID


def log_change(
    method: str,
    request: Any,  # noqa: ANN401 - whichever message the method takes
    call: CurrentCall,
    code: str,
) -> None:
    """Write the line of a call that has ended with this code."""
    told = {
        "method": method,
        "resource": _name(next((it for field in _RESOURCE if (it := getattr(request, field, ""))), "")),
        "caller": call.caller,
        "code": code,
        "reason": call.reason,
        "request_id": _name(getattr(request, "request_id", "")),
        "seconds": round(perf_counter() - call.began, 6),
    }
    _log.info("change", extra={field: value for field, value in told.items() if value})


def _name(value: object) -> str:
    """Return the value if it looks like a name: it comes from outside, and the log is no place for anything else."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""
