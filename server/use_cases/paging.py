"""Pages of lists: by the id of the last item, so that what is added or removed meanwhile shifts nothing."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from server.domain.errors import InvalidFieldError

T = TypeVar("T")
U = TypeVar("U")

DEFAULT_SIZE = 100
SIZE_LIMIT = 1000
_ID = re.compile(r"[a-z0-9-]{1,63}")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a list is asked for."""

    size: int
    token: str

    @property
    def limit(self) -> int:
        """Return how many items to answer.

        Raises:
            InvalidFieldError: not 0 (the default of 100) to 1000.
        """
        if not 0 <= self.size <= SIZE_LIMIT:
            raise InvalidFieldError("page_size", f"0 to {SIZE_LIMIT}")
        return self.size or DEFAULT_SIZE

    @property
    def last_id(self) -> str | None:
        """Return the id of the last item of the page before, or None for the first page.

        Raises:
            InvalidFieldError: the token is none of ours.
        """
        if not self.token:
            return None
        try:
            text = base64.urlsafe_b64decode(self.token.encode()).decode()
        except (binascii.Error, ValueError) as error:
            raise InvalidFieldError("page_token", "give back a next_page_token as it was") from error
        if not _ID.fullmatch(text):
            raise InvalidFieldError("page_token", "give back a next_page_token as it was")
        return text

    @property
    def last_number(self) -> int | None:
        """Return the number of the last item of the page before, or None for the first page.

        Raises:
            InvalidFieldError: the token is none of ours.
        """
        last = self.last_id
        if last is not None and not _NUMBER.fullmatch(last):
            raise InvalidFieldError("page_token", "give back a next_page_token as it was")
        return None if last is None else int(last)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a list, and the token for those that follow; empty when none do."""

    items: Sequence[T]
    next_token: str

    def map(self, convert: Callable[[T], U]) -> "Page[U]":
        """Return the same page of converted items."""
        return Page([convert(item) for item in self.items], self.next_token)


def token_of(last: str) -> str:
    """Return the token of the page that follows an item."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def cut(found: Sequence[T], limit: int, id_of: Callable[[T], str]) -> Page[T]:
    """Return the page, given up to one item more than it may hold."""
    items = found[:limit]
    more = len(found) > limit
    return Page(items, token_of(id_of(items[-1])) if more else "")
