"""What somebody who looks at organisations and main keys must not overlook: one line of each kind on standard error."""

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from keystead.v1.resources_pb2 import MainKey, Organization

from server.cli.advice import words_of
from server.cli.output import moment, tell

_NAMED = 3
"""How many are named in a line; of more, their number is told."""


def remind_of_organizations(organizations: Iterable[Organization]) -> None:
    """Tell of organisations whose main key should have been replaced."""
    due = [it for it in organizations if it.main_key_state == MainKey.ACTIVE and _is_past(it, it.rotation_due_time)]
    _overdue([f"{words_of(it.name)} (since {moment(it.rotation_due_time)})" for it in due])


def remind_of_main_keys(main_keys: Iterable[MainKey]) -> None:
    """Tell of main keys that should have been replaced, and of those that are missing in the HSM."""
    keys = list(main_keys)
    due = [it for it in keys if it.state == MainKey.ACTIVE and _is_past(it, it.rotation_due_time)]
    _overdue([f"{words_of(it.name)} (since {moment(it.rotation_due_time)})" for it in due])
    missing = [f"{words_of(it.name)} (since {moment(it.missing_time)})" for it in keys if it.HasField("missing_time")]
    if missing:
        tell(f"keystead: MISSING IN THE HSM: {_some(missing)}. The operator must restore the token from its backup.")


def _is_past(message: Organization | MainKey, due: Timestamp) -> bool:
    return message.HasField("rotation_due_time") and due.ToDatetime(UTC) < datetime.now(UTC)


def _overdue(due: list[str]) -> None:
    if due:
        tell(f"keystead: ROTATION OVERDUE: {_some(due)}. A main key should be replaced once a year: bring a new one.")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
