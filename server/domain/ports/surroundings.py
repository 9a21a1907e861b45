"""Time, fresh ids, and callers that wait."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TypeVar

from server.domain.ids import ObjectId

T = TypeVar("T")

Clock = Callable[[], datetime]
"""Returns the present moment, aware UTC."""

NewId = Callable[[], ObjectId]
"""Returns an id that was never used before."""

Wanted = Callable[[], None]
"""Returns while somebody waits for the answer, and raises CallerGoneError when nobody does any more."""


def always_wanted() -> None:
    """Return: for work that nobody can call off."""


def while_wanted(items: Iterable[T], wanted: Wanted) -> Iterator[T]:
    """Yield the items, each only if the answer is still wanted.

    Raises:
        CallerGoneError: it is not.
    """
    for item in items:
        wanted()
        yield item
