"""Structured logs: one JSON object a line on standard error, without anything secret.

What is logged is chosen where it is logged: names, ids, reasons. As a last line of defence bytes never pass, and errors
are told by type and place, since their messages may carry what they were about.
"""

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

from server.observability.catalogue import LOG_EVENTS
from server.observability.current_call import current_call
from server.observability.samples import Tally

_Event = MutableMapping[str, Any]

log_events = Tally(
    LOG_EVENTS,
    ("error", "clock_leapt"),
    ("error", "database_fault"),
    ("error", "incident"),
    ("error", "issuer_keys_not_read"),
    ("error", "kek_not_rewrapped"),
    ("error", "policy_not_read"),
    ("error", "token_fault"),
    ("warning", "chore_failed"),
    ("info", "bearer_token_refused"),
    ("info", "handshake_failed"),
)
"""The lines of this process by level and event; what others than we write counts as one event, `other`."""

_OURS = re.compile(r"(?:server|hsm_adapter)\.")
_EVENT = re.compile(r"[a-z_]{1,64}", re.ASCII)


def _counted(record: logging.LogRecord) -> bool:
    is_event = _OURS.match(record.name) and isinstance(record.msg, str) and _EVENT.fullmatch(record.msg)
    log_events.add(record.levelname.lower(), record.msg if is_event else "other")
    return True


def _without_bytes(_logger: object, _method: str, event: _Event) -> _Event:
    return {key: _redacted(value) for key, value in event.items()}


def _redacted(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value


def _of_a_call(_logger: object, _method: str, event: _Event) -> _Event:
    call = current_call()
    if call is not None:
        event["call_id"] = call.id
    return event


def _error_by_type_and_place(_logger: object, _method: str, event: _Event) -> _Event:
    exc_info = event.pop("exc_info", None)
    if isinstance(exc_info, tuple) and exc_info[0] is not None:
        frames = traceback.extract_tb(exc_info[2])
        event["error"] = exc_info[0].__name__
        event["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def silence() -> None:
    """Log nothing: for a command that prints all there is to say."""
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)


def configure(process: str) -> None:
    """Send all logging of this process to standard error.

    Args:
        process: the kind of process, in every line.
    """

    def _named(_logger: object, _method: str, event: _Event) -> _Event:
        event["process"] = process
        return event

    shared = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named,
        _of_a_call,
        _error_by_type_and_place,
        _without_bytes,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,  # type: ignore[arg-type] # structlog's own processors are typed the narrower way
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handler.addFilter(_counted)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
