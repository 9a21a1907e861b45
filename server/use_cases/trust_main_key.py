"""Have the token's security officer mark a main key as trusted: a step beside the service, in the mode `trusted`.

Every KEK of the token can be wrapped under a key that is marked, so whoever knows its value and has the user's PIN can
read KEKs. That is why the officer compares its fingerprint with the one that the owner of the key tells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from server.domain.audit import OFFICER, AuditAction, AuditEvent
from server.domain.errors import ResourceNotFoundError
from server.domain.ids import MainKeyName, ObjectId
from server.domain.main_keys import IN_TOKEN_STATES
from server.domain.ports import ExaminedKey, Officer, OfficerPin, Storage
from server.use_cases.authority import lock_authority


class WrongKeyError(Exception):
    """The key in the token is not the one that is to be marked; the message says why."""


@dataclass(frozen=True, slots=True)
class KeyToTrust:
    """A main key that was looked at.

    Attributes:
        name: whose it is; None for the common key.
        object_id: the key in the token.
        fingerprint: 32 bytes, by the token and by the database.
        is_trusted: whether it is marked already.
    """

    name: MainKeyName | None
    object_id: ObjectId
    fingerprint: bytes
    is_trusted: bool


class TrustMainKey:
    """Looks at a main key, and marks it."""

    def __init__(self, storage: Storage, officer: Officer, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._officer = officer
        self._clock = clock

    def look(self, name: MainKeyName | None) -> KeyToTrust:
        """Return a main key as it is in the token now; None is the common key.

        Raises:
            ResourceNotFoundError: there is no such key, or it is not in the token any more.
            WrongKeyError: the token has another key in its place.
        """
        object_id, fingerprint = self._known(name)
        found = self._officer.examine(object_id)
        if found.fingerprint != fingerprint:
            raise WrongKeyError("The token holds another key than the database knows under this name.")
        return KeyToTrust(name, object_id, fingerprint, found.is_trusted)

    def _known(self, name: MainKeyName | None) -> tuple[ObjectId, bytes]:
        with self._storage.read() as tx:
            if name is None:
                common = tx.main_keys.common()
                if common is None:
                    raise ResourceNotFoundError("The common key")
                return common
            key = tx.main_keys.find(name.organization, name.id)
        if key is None or key.state not in IN_TOKEN_STATES:
            raise ResourceNotFoundError(str(name))
        return key.object_id, key.fingerprint

    def mark(self, key: KeyToTrust, pin: OfficerPin) -> None:
        """Mark a key that was looked at, make sure that it is still the same one, and write that down.

        Raises:
            WrongKeyError: somebody has exchanged it meanwhile.
        """
        self._officer.mark(key.object_id, pin)
        if self._officer.examine(key.object_id) != ExaminedKey(key.fingerprint, is_trusted=True):
            raise WrongKeyError(
                "The key that was marked is not the one that was looked at: somebody else uses the token's PIN. Take "
                "the mark away, or destroy the key, by the vendor's means."
            )
        if key.name is None:
            return  # Each log is one organisation's, and the common key is all theirs.
        with self._storage.write() as tx:
            lock_authority(tx, key.name.organization)
            now = self._clock()
            tx.audit.append(AuditEvent(key.name.organization, now, OFFICER, AuditAction.MAIN_KEY_TRUSTED, key.name.id))
