"""The bytes of an event that are hashed: canonical JSON, version 1. docs/audit.md tells the fields.

What was hashed once is hashed the same for ever, so this file changes only by fields that no event before had, or by a
new version beside the old one. All values are strings and whole numbers, all names ASCII, so that the form is that of
RFC 8785.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from server.domain.audit import RecordedEvent

VERSION = 1


Json = str | int | bool | None | list[str] | Mapping[str, "Json"]


def canonical(fields: Mapping[str, Json]) -> bytes:
    """Return an object as canonical JSON, without the fields that are None."""
    told = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def moment(time: datetime) -> str:
    """Return a moment (aware) as RFC 3339 in UTC, to the microsecond."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encoded(recorded: RecordedEvent) -> bytes:
    """Return the bytes of an event that are hashed."""
    event = recorded.event
    return canonical(
        {
            "version": VERSION,
            "organization": event.organization,
            "sequence": recorded.sequence,
            "time": moment(event.time),
            "since": None if event.since is None else moment(event.since),
            "actor": event.actor,
            "action": event.action.value,
            "subject": event.subject_name,
            "from": event.from_state,
            "to": event.to_state,
            "main_key": event.main_key_name,
            "wrapping_key": event.wrapping_key_name,
            "kek_count": event.kek_count,
            "operation": event.operation,
            "reason": event.reason,
            "due": None if event.due_time is None else moment(event.due_time),
            "note": event.note,
            "count": event.count,
            "request_id": event.request_id,
            "call_id": event.call_id,
        }
    )
