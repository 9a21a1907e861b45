"""The tree of errors, for the pages that list them."""

from collections.abc import Mapping
from typing import get_type_hints

from server.domain.errors import KeysteadError


def leaves(kind: type[KeysteadError] = KeysteadError) -> list[type[KeysteadError]]:
    """The errors below a kind that are raised."""
    below = kind.__subclasses__()
    return [leaf for it in below for leaf in leaves(it)] if below else [kind]


def raised(leaf: type[KeysteadError]) -> KeysteadError:
    """An error as it is raised, about something."""
    samples = {bytes: b"x", Mapping[str, str]: {"state": "x", "etag": "x"}}
    return leaf(*(samples.get(kind, name) for name, kind in get_type_hints(leaf.__init__).items() if name != "return"))


REASONS = {leaf.reason for leaf in leaves()} | {"INTERNAL"}
