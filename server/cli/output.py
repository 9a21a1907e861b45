"""How answers are printed: tables and lines for people, one JSON object for programs."""

import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_HEXADECIMAL = frozenset({"fingerprint", "public_key_sha256"})
"""Hashes: printed as openssl prints them. All other bytes are base64."""


def plain(message: Message) -> dict[str, Any]:
    """Return a message in JSON's types: all fields by their names in the contract."""
    return {field.name: _value(message, field) for field in message.DESCRIPTOR.fields if _is_shown(message, field)}


def _is_shown(message: Message, field: Any) -> bool:  # noqa: ANN401 - protobuf has two types of descriptors
    return not field.has_presence or message.HasField(str(field.name))


def _value(message: Message, field: Any) -> object:  # noqa: ANN401 - likewise
    value = getattr(message, field.name)
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: Any, value: Any) -> object:  # noqa: ANN401 - whatever a field may hold
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        return plain(value)
    if isinstance(value, bytes):
        return value.hex() if field.name in _HEXADECIMAL else base64.b64encode(value).decode()
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return value


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def show(message: Message, *, as_json: bool) -> None:
    """Print one message."""
    values = plain(message)
    if as_json:
        print_json(values)
        return
    width = max(map(len, values))
    for name, value in values.items():
        sys.stdout.write(f"{name.ljust(width)}  {_cell(value)}\n")


def show_page(name: str, messages: Iterable[Message], columns: Sequence[str], *, as_json: bool) -> None:
    """Print several messages; of each, a table has only some columns."""
    rows = [plain(message) for message in messages]
    if as_json:
        print_json({name: rows})
        return
    if not rows:
        sys.stdout.write(f"No {name.replace('_', ' ')}.\n")
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column, ""))) for column in columns))
    # A pipe has no width: a line must not break there.
    Console(width=None if sys.stdout.isatty() else 500).print(table)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def say(text: str) -> None:
    """Print a line for people."""
    sys.stdout.write(text + "\n")
