"""The token's security officer."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from server.domain.ids import ObjectId

OfficerPin = Callable[[], AbstractContextManager[bytearray]]
"""Gives the PIN for a block, and wipes it."""


@dataclass(frozen=True, slots=True)
class ExaminedKey:
    """A main key of the token that is as main keys have to be."""

    fingerprint: bytes
    """32 bytes, made by the token now."""
    is_trusted: bool
    """Whether the officer has marked it."""


class Officer(Protocol):
    """Marks main keys, so that they may wrap KEKs. Errors are those of the HSM."""

    def examine(self, object_id: ObjectId) -> ExaminedKey:
        """Return a main key, having read back all that makes it one."""

    def mark(self, object_id: ObjectId, pin: OfficerPin) -> None:
        """Set the mark."""
