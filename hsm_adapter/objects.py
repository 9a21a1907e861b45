"""Objects in the token: found by role and id, made as their role says, and read back.

Finding is slow on some tokens (SoftHSM looks at every object), so handles are remembered for as long as they are good.
"""

import threading

from hsm_adapter.constants import Attribute, ObjectClass, Rv
from hsm_adapter.errors import HsmPolicyError, ObjectMissingError
from hsm_adapter.library import CryptokiError
from hsm_adapter.sessions import Era, Session, SessionPool
from hsm_adapter.structures import Flags, Template
from hsm_adapter.templates import Role, identity

_REMEMBERED = 10_000
"""Handles; when there are more, all are forgotten."""
_LISTED = 100_000
"""Keys of one class that are listed."""


class Objects:
    """Where the objects of a token are."""

    def __init__(self, pool: SessionPool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._era: Era | None = None
        self._handles: dict[tuple[Role, bytes], int] = {}

    def find(self, session: Session, role: Role, object_id: bytes) -> int:
        """Return the handle of the one object of this role and id.

        Raises:
            ObjectMissingError: there is none.
            HsmPolicyError: there are several.
            CryptokiError: the token does not say.
        """
        with self._lock:
            known = self._handles.get((role, object_id)) if self._era == session.era else None
        if known is not None:
            return known
        handles = self.look(session, role, object_id)
        if not handles:
            raise ObjectMissingError(f"The token has no {role.value} {object_id.hex()}.")
        if len(handles) > 1:
            raise HsmPolicyError(f"The token has several objects {role.value} {object_id.hex()}.")
        self._remember(session.era, role, object_id, handles[0])
        return handles[0]

    def look(self, session: Session, role: Role, object_id: bytes) -> list[int]:
        """Return the handles, at most 2, of this role and id, as the token knows them now.

        Raises:
            CryptokiError: the token does not say; USER_NOT_LOGGED_IN if it finds nothing because of that.
        """
        handles = self._pool.cryptoki.find_objects(session.handle, identity(role, object_id), 2)
        if not handles and not self._pool.is_logged_in(session):
            raise CryptokiError("C_FindObjects", Rv.USER_NOT_LOGGED_IN)
        return handles

    def list_all(self, session: Session) -> list[tuple[Role | None, bytes]]:
        """Return role (None for an object that has none of ours) and id of each private and secret key of the token.

        Raises:
            HsmPolicyError: there are more than can be listed.
            CryptokiError: the token does not say; USER_NOT_LOGGED_IN if it finds nothing because of that.
        """
        found: list[tuple[Role | None, bytes]] = []
        for object_class in (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY):
            of_class = Template({Attribute.CLASS: object_class, Attribute.TOKEN: True})
            handles = self._pool.cryptoki.find_objects(session.handle, of_class, _LISTED + 1)
            if len(handles) > _LISTED:
                raise HsmPolicyError(f"The token holds more than {_LISTED} keys.")
            for handle in handles:
                label = self._text(session, handle, Attribute.LABEL)
                role = next((role for role in Role if role.value.encode() == label), None)
                found.append((role, self._text(session, handle, Attribute.ID)))
        if not found and not self._pool.is_logged_in(session):
            raise CryptokiError("C_FindObjects", Rv.USER_NOT_LOGGED_IN)
        return found

    def _text(self, session: Session, handle: int, attribute: Attribute) -> bytes:
        """Return an attribute that an object may lack; then nothing."""
        try:
            return self._pool.cryptoki.attribute(session.handle, handle, attribute)
        except CryptokiError as error:
            if error.rv == Rv.ATTRIBUTE_TYPE_INVALID:
                return b""
            raise

    def _remember(self, era: Era, role: Role, object_id: bytes, handle: int) -> None:
        with self._lock:
            if self._era != era or len(self._handles) >= _REMEMBERED:
                self._era = era
                self._handles.clear()
            self._handles[role, object_id] = handle

    def forget(self, role: Role | None = None, object_id: bytes = b"") -> None:
        """Forget one handle, or all."""
        with self._lock:
            if role is None:
                self._handles.clear()
            else:
                self._handles.pop((role, object_id), None)

    def destroy(self, session: Session, role: Role, object_id: bytes) -> None:
        """Destroy what has this role and id; nothing is no error."""
        self.forget(role, object_id)
        while handles := self.look(session, role, object_id):
            for handle in handles:
                self._pool.cryptoki.destroy_object(session.handle, handle)

    def read_back(self, session: Session, handle: int, flags: Flags) -> None:
        """Return if an object's booleans are as they should be.

        Raises:
            HsmPolicyError: they are not; the message names the attributes.
        """
        try:
            wrong = flags.wrong(self._pool.cryptoki.flags(session.handle, handle, flags))
        except CryptokiError as error:
            if error.rv in {Rv.ATTRIBUTE_TYPE_INVALID, Rv.ATTRIBUTE_SENSITIVE}:
                raise HsmPolicyError("The token does not show all attributes of a key that it made.") from error
            raise
        if wrong:
            names = ", ".join(attribute.name for attribute in wrong)
            raise HsmPolicyError(f"The token made a key other than as asked: {names}.")
