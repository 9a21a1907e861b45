"""What is in the token of a service, told by the token itself; and what is lost from it."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from hsm_adapter import HsmSettings, HsmToken
from hsm_adapter.constants import Attribute
from hsm_adapter.sessions import Session
from hsm_adapter.structures import Template

_LIMIT = 10_000

T = TypeVar("T")


def inventory(folder: Path) -> dict[str, str]:
    """Return the label of each object that stays in the token in a folder, by its id in hexadecimal."""
    return _in_token(folder, _objects)


def destroy(folder: Path, object_id: str) -> None:
    """Lose one object of the token in a folder."""

    def work(token: HsmToken, session: Session) -> None:
        found = token._cryptoki.find_objects(
            session.handle, Template({Attribute.TOKEN: True, Attribute.ID: bytes.fromhex(object_id)}), 2
        )
        (handle,) = found
        token._cryptoki.destroy_object(session.handle, handle)

    _in_token(folder, work)


def _in_token(folder: Path, work: Callable[[HsmToken, Session], T]) -> T:
    settings = HsmSettings(folder / "libsofthsm2.so", "keystead", None, folder / "pin", profile="softhsm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        with HsmToken.open(settings) as token:
            return token._recovery.run(lambda session: work(token, session))


def _objects(token: HsmToken, session: Session) -> dict[str, str]:
    cryptoki, handle = token._cryptoki, session.handle
    found = cryptoki.find_objects(handle, Template({Attribute.TOKEN: True}), _LIMIT)
    objects = {
        cryptoki.attribute(handle, it, Attribute.ID).hex(): cryptoki.attribute(handle, it, Attribute.LABEL).decode()
        for it in found
    }
    assert len(objects) == len(found) < _LIMIT
    return objects
