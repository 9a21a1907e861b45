"""Whose rows are attacked."""

from collections.abc import Callable

import pytest

from server.domain.errors import KeysteadError
from server.domain.ids import KekName, MainKeyName

PLAIN = {"document": "report"}


class Owner:
    """An organisation with a KEK, and a content key under that."""

    def __init__(self, world, *, brings: bool = True) -> None:
        self.world = world
        self.id = world.new_organization()
        if brings:
            world.bring(self.id)
            world.steward()
        self.kek = world.new_kek(self.id)
        self.made = self.make(KekName(self.id, self.kek.id))

    def make(self, kek):
        [made] = self.world.do.generate_content_keys(self.world.user(self.id), kek, count=1, size=32, context=PLAIN)
        return made

    def opened(self, wrapped: bytes) -> "bytes | KeysteadError":
        """Unwrap a content key; return it, or the error."""
        try:
            [result] = self.world.do.unwrap_content_keys(self.world.user(self.id), self.id, [(wrapped, PLAIN)])
        except KeysteadError as error:
            return error
        return result if isinstance(result, KeysteadError) else result.plaintext

    def reason(self, wrapped: bytes | None = None) -> str:
        """Why it is not unwrapped."""
        found = self.opened(self.made.wrapped if wrapped is None else wrapped)
        assert isinstance(found, KeysteadError), "it was unwrapped"
        return found.reason

    def is_well(self) -> bool:
        return self.opened(self.made.wrapped) == self.made.plaintext

    @property
    def main_key(self) -> MainKeyName:
        """The name of the main key in charge."""
        return MainKeyName(self.id, self.world.in_charge(self.id).id)


def refusal(act: Callable[..., object], *arguments: object) -> str:
    """Why an act is refused."""
    with pytest.raises(KeysteadError) as caught:
        act(*arguments)
    return caught.value.reason
