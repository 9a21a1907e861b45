"""Items and what becomes of them; requests cut to what the service takes; checksums made and compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

import google_crc32c

from keystead.client.connection import REQUEST_LIMIT
from keystead.client.errors import DamagedError, KeysteadError, error_of_item
from keystead.v1 import content_key_service_pb2 as messages

ITEMS_LIMIT = 1000
"""Items of one call."""
_ITEMS_BYTES = REQUEST_LIMIT - 4096
"""Bytes of a request's items; the rest is for its names."""
_ITEM_FRAME = 6
"""Bytes that an item takes beside its own: its field's number and its length."""

T = TypeVar("T")

Context = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """A content key to wrap, or a wrapped one to unwrap or wrap anew.

    Attributes:
        data: the content key in clear (1 to 4096 bytes), or wrapped.
        context: what the key is for; the same must be given each time. At most 64 entries, in all at most 8192 bytes of
            UTF-8, no key empty. It is authenticated, and neither stored nor secret.
    """

    data: bytes = field(repr=False)
    context: Context = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ContentKey:
    """A new content key.

    Attributes:
        plaintext: in clear. Not shown by repr; to forget it is the caller's task.
        wrapped: to be kept beside what it encrypts.
    """

    plaintext: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of one item: it has a value, or an error.

    Attributes:
        error: why there is no value; None if there is one.
    """

    _value: T | None = field(repr=False)
    error: KeysteadError | None = None

    @property
    def value(self) -> T:
        """Return the value.

        Raises:
            KeysteadError: the item failed; it is `error`.
        """
        if self.error is not None:
            raise self.error
        if self._value is None:
            raise AssertionError("an outcome has a value or an error")
        return self._value


def crc32c(data: bytes) -> int:
    """Return the checksum of `data`, 32 bits. Source: RFC 3720, appendix B.4."""
    checksum: int = google_crc32c.value(data)
    return checksum


def wrap_item(item: Item) -> messages.WrapContentKeysItem:
    """Return an item to wrap, with its checksum."""
    return messages.WrapContentKeysItem(plaintext=item.data, context=item.context, plaintext_crc32c=crc32c(item.data))


def unwrap_item(item: Item) -> messages.UnwrapContentKeysItem:
    """Return an item to unwrap, with its checksum."""
    return messages.UnwrapContentKeysItem(wrapped=item.data, context=item.context, wrapped_crc32c=crc32c(item.data))


def rewrap_item(item: Item) -> messages.RewrapContentKeysItem:
    """Return an item to wrap anew, with its checksum."""
    return messages.RewrapContentKeysItem(wrapped=item.data, context=item.context, wrapped_crc32c=crc32c(item.data))


def generated_key(made: messages.GeneratedContentKey, call_id: str) -> ContentKey:
    """Return a content key that the service made.

    Raises:
        DamagedError: it is not what was made.
    """
    if made.plaintext_crc32c != crc32c(made.plaintext) or made.wrapped_crc32c != crc32c(made.wrapped):
        raise damaged("What came is not what was made, by its checksum.", call_id)
    return ContentKey(made.plaintext, made.wrapped)


def wrap_outcome(result: messages.WrapContentKeysResult, call_id: str) -> Outcome[bytes]:
    """Return what became of an item that was to be wrapped."""
    if result.HasField("status"):
        return Outcome(None, error_of_item(result.status, call_id))
    return _outcome(result.wrapped, result.wrapped_crc32c, call_id, verified=result.verified_plaintext_crc32c)


def unwrap_outcome(result: messages.UnwrapContentKeysResult, call_id: str) -> Outcome[bytes]:
    """Return what became of an item that was to be unwrapped."""
    if result.HasField("status"):
        return Outcome(None, error_of_item(result.status, call_id))
    return _outcome(result.plaintext, result.plaintext_crc32c, call_id, verified=result.verified_wrapped_crc32c)


def rewrap_outcome(result: messages.RewrapContentKeysResult, call_id: str) -> Outcome[bytes]:
    """Return what became of an item that was to be wrapped anew."""
    if result.HasField("status"):
        return Outcome(None, error_of_item(result.status, call_id))
    return _outcome(result.wrapped, result.wrapped_crc32c, call_id, verified=result.verified_wrapped_crc32c)


def _outcome(value: bytes, checksum: int, call_id: str, *, verified: bool) -> Outcome[bytes]:
    """Return a value if the service has compared what it was sent, and this is what it answered."""
    if not verified:
        return Outcome(None, damaged("The checksum was lost on its way to the service.", call_id))
    if checksum != crc32c(value):
        return Outcome(None, damaged("What came is not what the service sent, by its checksum.", call_id))
    return Outcome(value)


def damaged(message: str, call_id: str) -> DamagedError:
    """Return the error of an answer that cannot be trusted."""
    return DamagedError("DATA_LOSS", message, call_id=call_id)


class _Sized(Protocol):
    def ByteSize(self) -> int: ...  # noqa: N802 - named by protobuf


S = TypeVar("S", bound=_Sized)


def batches(items: Sequence[S]) -> Iterator[Sequence[S]]:
    """Yield the items in pieces that one call takes each: at most 1000, and at most 4 MiB.

    Raises:
        ValueError: an item alone is more than that.
    """
    begin = size = 0
    for index, item in enumerate(items):
        more = item.ByteSize() + _ITEM_FRAME
        if more > _ITEMS_BYTES:
            raise ValueError(f"Item {index} has {more} bytes; a request has at most {REQUEST_LIMIT}.")
        if index - begin == ITEMS_LIMIT or size + more > _ITEMS_BYTES:
            yield items[begin:index]
            begin, size = index, 0
        size += more
    if begin < len(items):
        yield items[begin:]


def outcomes(
    results: Sequence[T], expected: int, read: Callable[[T, str], Outcome[bytes]], call_id: str
) -> list[Outcome[bytes]]:
    """Return what became of each item of a call.

    Raises:
        DamagedError: there are more or fewer results than items.
    """
    if len(results) != expected:
        raise damaged(f"{len(results)} results came for {expected} items.", call_id)
    return [read(result, call_id) for result in results]
