"""How answers are printed: tables and lines for people, one JSON object for programs."""

import base64
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from server.cli.text import printable

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_HEXADECIMAL = frozenset({"fingerprint", "copy_fingerprint", "public_key_sha256"})
"""Hashes: printed as openssl prints them. All other bytes are base64."""
_RESOURCE_NAMES = frozenset({"name", "main_key", "subject", "to_main_key"})
_FRACTION = re.compile(r"\.\d+(?=Z$)")


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


def print_json_line(value: Mapping[str, Any]) -> None:
    """Print one JSON object on a line of its own, at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a line for people."""
    sys.stdout.write(printable(text).rstrip() + "\n")


def tell(text: str) -> None:
    """Print a line for people that is no part of the answer, on standard error."""
    sys.stderr.write(printable(text).rstrip() + "\n")


def moment(time: Timestamp) -> str:
    """Return a time as people read it: UTC, to the second."""
    return _to_the_second(time.ToJsonString())


def _to_the_second(text: str) -> str:
    return _FRACTION.sub("", text)


def show(message: Message, *, as_json: bool) -> None:
    """Print one message."""
    values = plain(message)
    if as_json:
        print_json(values)
        return
    flat = dict(_flat(values))
    width = max(map(len, flat))
    for name, value in flat.items():
        say(f"{name.ljust(width)}  {_cell(value)}")


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield every value with the way to it, such as revocation.reason."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def show_page(name: str, messages: Iterable[Message], columns: Sequence[str], *, as_json: bool) -> None:
    """Print several messages, of each only some fields: a table, in which names are short.

    No line is broken: a terminal breaks it where it has to, and a pipe has no width.
    """
    rows = [plain(message) for message in messages]
    if as_json:
        print_json({name: rows})
        return
    if not rows:
        say(f"No {name.replace('_', ' ')}.")
        return
    table = [["id" if column == "name" else column for column in columns]]
    table += [[_cell(_short(column, row.get(column, ""))) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return printable(text).replace("\n", "\\n") or "-"


def _short(column: str, value: object) -> object:
    """Return of a resource name its last part, since commands take it beside the organisation's id; no fractions."""
    if column in _RESOURCE_NAMES:
        return str(value).rpartition("/")[2]
    return _to_the_second(str(value)) if column.endswith("time") else value
