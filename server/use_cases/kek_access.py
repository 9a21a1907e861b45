"""Use the KEKs of an organisation, for as long as it may work.

What may be done is asked before the token is, and again before the answer leaves: a revocation that becomes known
while a call is in flight stops its answer.
"""

from collections.abc import Callable, Collection
from typing import TypeVar

from server.domain.authority import AuthoritySnapshot
from server.domain.errors import KekDamagedError, KekRejectedError, MainKeyMissingError
from server.domain.ids import KekName, ObjectId, OrganizationId
from server.domain.keks import UsableKek
from server.domain.ports import KeksInUse
from server.use_cases.authorities import Authorities
from server.use_cases.environment import Environment
from server.use_cases.kek_rows import KekRows
from server.use_cases.usage import UseCounter

T = TypeVar("T")


class Keks:
    """Some KEKs of one organisation, in use. A KEK whose form is out of date is read again, once."""

    def __init__(
        self, in_use: KeksInUse, rows: KekRows, authority: AuthoritySnapshot, keks: dict[ObjectId, UsableKek]
    ) -> None:
        self._in_use = in_use
        self._rows = rows
        self._authority = authority
        self._keks = keks

    def __contains__(self, kek: ObjectId) -> bool:
        return kek in self._keks

    def encrypt(self, kek: ObjectId, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return IV (12 bytes), ciphertext and tag (16 bytes).

        Raises:
            KekDamagedError: the KEK as stored is not the key it should be.
        """
        return self._use(kek, self._in_use.encrypt, plaintext, associated_data)

    def decrypt(self, kek: ObjectId, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            KekDamagedError: the KEK as stored is not the key it should be.
            WrappedKeyRejectedError: `sealed` is not what the KEK encrypted with this associated data.
        """
        return self._use(kek, self._in_use.decrypt, sealed, associated_data)

    def _use(
        self, kek: ObjectId, operation: Callable[[UsableKek, bytes, bytes], bytes], data: bytes, associated_data: bytes
    ) -> bytes:
        known = self._keks[kek]
        try:
            return operation(known, data, associated_data)
        except (KekRejectedError, MainKeyMissingError) as error:
            name = str(KekName(known.organization, kek))
            now = self._rows.read(self._authority, frozenset({kek})).get(kek)
            if now is None or now.key == known.key:
                if isinstance(error, MainKeyMissingError):
                    raise
                raise KekDamagedError(name) from error
            # It was re-wrapped since its row was read, and the old main key is gone.
            self._keks[kek] = now
            try:
                return operation(now, data, associated_data)
            except KekRejectedError as again:
                raise KekDamagedError(name) from again


class KekAccess:
    """Opens the KEKs of organisations."""

    def __init__(self, env: Environment, authorities: Authorities) -> None:
        self._custody = env.custody
        self._authorities = authorities
        self._rows = KekRows(env.storage)
        self.uses = UseCounter(env.storage, env.clock)

    def demand_unlocked(self, organization: OrganizationId) -> None:
        """Return if the organisation may work now.

        Raises:
            OrganizationLockedError: it may not.
            ResourceNotFoundError: it does not exist.
            StorageUnavailableError: it is not known.
        """
        self._authorities.demand_unlocked(organization)

    def with_keks(
        self, organization: OrganizationId, keks: Collection[ObjectId], work: Callable[[Keks], T], *, items: int
    ) -> T | None:
        """Return what `work` makes of KEKs, or None if none of them exists.

        Args:
            organization: whose KEKs.
            keks: the KEKs; `work` is given those of them that exist.
            work: uses KEKs. It may be begun again from its start, when the token was lost meanwhile.
            items: how many content keys `work` is about.

        Raises:
            OrganizationLockedError: the organisation may not work, at the start or at the end.
            ResourceNotFoundError: the organisation does not exist.
        """
        authority = self._authorities.demand_unlocked(organization)
        found = self._rows.find(authority, keks)
        result = None
        if found:
            first = next(iter(found.values()))
            result = self._custody.with_keks(lambda in_use: work(Keks(in_use, self._rows, authority, found)), first)
        self._authorities.demand_unlocked(organization)
        if found:
            self.uses.count(organization, items)
        return result
