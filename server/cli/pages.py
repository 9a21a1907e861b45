"""Lists, page by page."""

from collections.abc import Callable
from typing import Any


def all_of(ask: Callable[[str], Any], field: str) -> list[Any]:
    """Return what all pages hold.

    Args:
        ask: returns the page of a token; "" is the first.
        field: the repeated field of a page.
    """
    found: list[Any] = []
    token = ""
    while True:
        page = ask(token)
        found += getattr(page, field)
        token = page.next_page_token
        if not token:
            return found
