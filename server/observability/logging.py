"""Structured logs: one JSON object a line on standard error, without anything secret.

What is logged is chosen where it is logged: names, ids, reasons. As a last line of defence bytes never pass, and errors
are told by type and place, since their messages may carry what they were about.
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

_Event = MutableMapping[str, Any]


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
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
