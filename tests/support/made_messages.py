"""Messages of any kind, made by hypothesis from what the contract says of their fields: good, bad, absurd."""

from collections.abc import Mapping
from dataclasses import dataclass

from google.api.resource_pb2 import resource_reference
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from tests.support.every_rpc import NAMES

DEPTH = 4
"""How many messages may be within each other."""
_F = FieldDescriptor
_TYPES = {
    _F.TYPE_INT32: 32,
    _F.TYPE_UINT32: -32,
    _F.TYPE_FIXED32: -32,
    _F.TYPE_INT64: 64,
    _F.TYPE_UINT64: -64,
    _F.TYPE_FIXED64: -64,
}
"""Bits of a number; below 0 those of one that has no sign."""
_NASTY = ("\0", "a\nb", "\x1b[2J", "\u202e", "\U0001f511", "é" * 5000, "x" * 100_000, "../..", "%s%n{0}", "' OR 1=1 --")
_SIZES = (0, 1, 16, 31, 32, 44, 45, 46, 77, 384, 512, 4096, 4142, 200_000)


def texts() -> st.SearchStrategy[str]:
    """Return any text, and those that programs stumble over."""
    return st.sampled_from(_NASTY) | st.text(max_size=40)


def blobs() -> st.SearchStrategy[bytes]:
    """Return any bytes, in sizes that mean something, a wrapped content key's first byte among them."""
    zeros = st.sampled_from(_SIZES).map(bytes)
    return st.binary(max_size=80) | zeros | zeros.map(lambda it: b"\x01" + it)


def numbers(bits: int) -> st.SearchStrategy[int]:
    """Return whole numbers: small ones, those at the limits, and any."""
    low, high = (0, 2**-bits - 1) if bits < 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    edges = [it for it in (low, -1, 0, 1, 2, 16, 32, 100, 1000, 1001, high) if low <= it <= high]
    return st.sampled_from(edges) | st.integers(low, high)


@dataclass(frozen=True)
class Request:
    """A message as it is sent; when a test fails, its beginning is shown."""

    sent: bytes

    def __repr__(self) -> str:
        return f"Request({self.sent[:1000]!r}), of {len(self.sent)} bytes"


class MessageMaker:
    """Makes messages that are about what one organisation has."""

    def __init__(self, organization: str, names: Mapping[str, str], wrapped: bytes) -> None:
        """Remember what there is.

        Args:
            organization: its resource name.
            names: of something that there is, by the type that the contract gives it.
            wrapped: a wrapped content key.
        """
        self._organization = organization
        self._known = names
        self._wrapped = wrapped

    def requests(self, kind: Descriptor) -> st.SearchStrategy["Request"]:
        """Return messages of a kind as they are sent."""
        return self.any_of(kind).map(lambda it: Request(it.SerializeToString()))

    def any_of(self, kind: Descriptor, depth: int = DEPTH) -> st.SearchStrategy[Message]:
        """Return messages of a kind: each field left out, or set to a value of those of its type."""
        fields = {field.name: self._field(field, depth) for field in kind.fields if depth or _is_flat(field)}
        return st.fixed_dictionaries(fields).map(lambda values: _message(kind, values))

    def _field(self, field: FieldDescriptor, depth: int) -> st.SearchStrategy[object]:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return st.dictionaries(texts(), texts(), max_size=4) | st.just({f"k{it}": "v" * 200 for it in range(70)})
        one = self._value(field, depth)
        if not field.is_repeated:
            return one if _names_something(field) else st.none() | one
        return st.lists(one, max_size=4) | st.just([_least(field)] * 1001)

    def _value(self, field: FieldDescriptor, depth: int) -> st.SearchStrategy[object]:
        if field.message_type is not None:
            return self.any_of(field.message_type, depth - 1)
        if field.enum_type is not None:
            return st.sampled_from([*field.enum_type.values_by_number, 99, -1, 2**31 - 1, -(2**31)])
        if field.type in _TYPES:
            return numbers(_TYPES[field.type])
        if field.type == _F.TYPE_BOOL:
            return st.booleans()
        if field.type == _F.TYPE_BYTES:
            return blobs() | st.just(self._wrapped)
        if field.type == _F.TYPE_STRING:
            return self._text(field)
        raise NotImplementedError(field.full_name)

    def _text(self, field: FieldDescriptor) -> st.SearchStrategy[str | None]:
        """Return texts, or names of what there is and what there is not, if the field is for them."""
        refers_to = field.GetOptions().Extensions[resource_reference]
        if field.name == "request_id":
            return st.none() | st.uuids(version=4).map(str) | texts()
        if not _names_something(field):
            return texts()
        good = self._known.get(refers_to.type, self._organization + NAMES.get(refers_to.type, ""))
        others = [*self._known.values(), self._organization + NAMES.get(refers_to.type, "")]
        # Most are good: what is behind them is what is tried here.
        names = st.sampled_from([good] * 12 + others)
        return st.integers(0, 9).flatmap(lambda it: names if it else names.flatmap(_changed) | texts())


def _names_something(field: FieldDescriptor) -> bool:
    refers_to = field.GetOptions().Extensions[resource_reference]
    return bool(refers_to.type or refers_to.child_type)


def _least(field: FieldDescriptor) -> object:
    if field.message_type is not None:
        return message_factory.GetMessageClass(field.message_type)()
    return {_F.TYPE_STRING: "", _F.TYPE_BYTES: b""}.get(field.type, 0)


def _is_flat(field: FieldDescriptor) -> bool:
    return field.message_type is None


def _changed(name: str) -> st.SearchStrategy[str]:
    """Return a name with one character put in anywhere."""
    places, characters = st.integers(0, len(name)), st.characters(codec="utf-8")
    return st.tuples(places, characters).map(lambda it: name[: it[0]] + it[1] + name[it[0] :])


def _message(kind: Descriptor, values: Mapping[str, object]) -> Message:
    return message_factory.GetMessageClass(kind)(**{name: it for name, it in values.items() if it is not None})
