"""Which refusals of calls belong into an organisation's audit log, and what is told of them.

Those of changes, whatever their reason, and of everything else that the caller may not do. Content-key calls are no
matter of this page: they are recorded where they are counted. Somebody whom no certificate names is in no log.
"""

import re
from typing import Any

from google.protobuf import descriptor_pool

from server.domain.change_requests import check_request_id
from server.domain.errors import ForbiddenError, InvalidFieldError, MalformedNameError
from server.domain.ids import organization_id
from server.domain.roles import Operation
from server.observability.current_call import CurrentCall
from server.use_cases import Refusal

_WITHOUT_REQUEST_ID = frozenset({"GetWrappingKey", "VerifyMainKeyCopy"})
"""They make or use up a wrapping key, though a repeat of them is another request."""
_COUNTED = frozenset(
    {
        Operation.GENERATE_CONTENT_KEYS,
        Operation.WRAP_CONTENT_KEYS,
        Operation.UNWRAP_CONTENT_KEYS,
        Operation.REWRAP_CONTENT_KEYS,
        Operation.STREAM_CONTENT_KEYS,
    }
)
_NAME = re.compile(r"[A-Za-z0-9/_-]{1,200}", re.ASCII)
_RESOURCE = ("name", "parent", "organization_id", "organization")
"""Fields of requests that tell what they are about, the first of them that is there."""


def is_change(full_name: str) -> bool:
    """Return whether a method, by its full name with dots, changes anything that an administrator would ask about."""
    try:
        method = descriptor_pool.Default().FindMethodByName(full_name)
    except KeyError:
        return False
    return "request_id" in method.input_type.fields_by_name or method.name in _WITHOUT_REQUEST_ID


def resource_of(request: Any) -> str:  # noqa: ANN401 - whichever message a method takes
    """Return what a request is about, or nothing if that does not look like a name."""
    return name_or_nothing(next((it for field in _RESOURCE if (it := getattr(request, field, ""))), ""))


def name_or_nothing(value: object) -> str:
    """Return the value if it looks like a name: it comes from outside, and a log is no place for anything else."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def request_id_of(request: Any) -> str:  # noqa: ANN401 - likewise
    """Return the id of a change, or nothing if it has none that is good."""
    given: str = getattr(request, "request_id", "")
    try:
        return check_request_id(given) if given else ""
    except InvalidFieldError:
        return ""


def refusal_of(method: str, request: Any, call: CurrentCall, *, changes: bool) -> Refusal | None:  # noqa: ANN401 - likewise
    """Return what is to be recorded of a call that has ended, or None.

    Args:
        method: its name.
        request: what was asked.
        call: who asked, and what was answered.
        changes: whether the method changes anything.
    """
    if not call.caller or not call.reason or method in _COUNTED:
        return None
    if not changes and call.reason != ForbiddenError.reason:
        return None
    resource = resource_of(request)
    head, _, rest = resource.partition("/")
    try:
        organization = organization_id(rest.partition("/")[0] if head == "organizations" else resource)
    except MalformedNameError:
        return None
    return Refusal(organization, call.caller, method, call.reason, resource, call.request_id or None, call.id)
