"""What is in the token of a service, told by the token itself; what is lost from it, and what strangers leave there."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from hsm_adapter import HsmSettings, HsmToken
from hsm_adapter.constants import Attribute, KeyType, Mechanism, ObjectClass
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


def implant(folder: Path, object_id: bytes) -> None:
    """Leave a key in the token in a folder that is nobody's."""
    strange = Template(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.TOKEN: True,
            Attribute.VALUE_LEN: 32,
            Attribute.ID: object_id,
            Attribute.LABEL: b"somebody else's",
        }
    )
    _in_token(folder, lambda token, session: _generate(token, session, strange))


def _generate(token: HsmToken, session: Session, template: Template) -> int:
    return token._cryptoki.generate_key(session.handle, Mechanism.AES_KEY_GEN, template)


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
