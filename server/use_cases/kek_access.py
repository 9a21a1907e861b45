"""Use the KEKs of an organisation, for as long as it may work.

What may be done is asked before the token is, and again before the answer leaves: a revocation that becomes known
while a call is in flight stops its answer.
"""

from collections.abc import Callable, Collection
from typing import TypeVar

from server.domain.authority import AuthoritySnapshot
from server.domain.content_keys import Context, WrappedContentKey, associated_data
from server.domain.errors import KekDamagedError, KekRejectedError, KeysteadError, MainKeyMissingError
from server.domain.ids import KekName, ObjectId, OrganizationId
from server.domain.keks import UsableKek
from server.domain.ports import KeksInUse
from server.domain.roles import Caller
from server.use_cases.authorities import Authorities
from server.use_cases.encryptions import Encryptions
from server.use_cases.environment import Environment
from server.use_cases.kek_rows import KekRows

T = TypeVar("T")


class Keks:
    """Some versions of KEKs of one organisation, in use. One whose form is out of date is read again, once."""

    def __init__(
        self, in_use: KeksInUse, rows: KekRows, authority: AuthoritySnapshot, keks: dict[ObjectId, UsableKek]
    ) -> None:
        """Remember what is in use; a KEK that is read again takes its older form's place in `keks`."""
        self._in_use = in_use
        self._rows = rows
        self._authority = authority
        self._keks = keks

    def find(self, kek: ObjectId) -> UsableKek | None:
        """Return the version of a KEK that has this id, or None if it is none of the organisation's."""
        return self._keks.get(kek)

    def encrypt(self, kek: UsableKek, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return IV (12 bytes), ciphertext and tag (16 bytes).

        Raises:
            KekDamagedError: the KEK as stored is not the key it should be.
        """
        try:
            return self._in_use.encrypt(kek, plaintext, associated_data)
        except (KekRejectedError, MainKeyMissingError) as error:
            return self._again(kek, error, self._in_use.encrypt, plaintext, associated_data)

    def decrypt(self, kek: UsableKek, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            KekDamagedError: the KEK as stored is not the key it should be.
            WrappedKeyRejectedError: `sealed` is not what the KEK encrypted with this associated data.
        """
        try:
            return self._in_use.decrypt(kek, sealed, associated_data)
        except (KekRejectedError, MainKeyMissingError) as error:
            return self._again(kek, error, self._in_use.decrypt, sealed, associated_data)

    def _again(
        self,
        kek: UsableKek,
        error: KeysteadError,
        operation: Callable[[UsableKek, bytes, bytes], bytes],
        data: bytes,
        associated_data: bytes,
    ) -> bytes:
        """Return what the operation returns with the KEK's row as it is now, if it is another one."""
        now = self._rows.read(self._authority, frozenset({kek.id})).get(kek.id)
        if now is None or now.key == kek.key:
            if isinstance(error, MainKeyMissingError):
                raise error
            raise KekDamagedError(str(kek.name)) from error
        # It was re-wrapped since its row was read, and the old main key is gone.
        self._keks[kek.id] = now
        try:
            return operation(now, data, associated_data)
        except KekRejectedError as again:
            raise KekDamagedError(str(kek.name)) from again


Encrypt = Callable[[bytes, Context], bytes]
"""Returns a content key (1 to 4096 bytes, with its context) as it is wrapped under the KEK."""


class KekAccess:
    """Opens the KEKs of organisations."""

    def __init__(self, env: Environment, authorities: Authorities) -> None:
        self._custody = env.custody
        self._authorities = authorities
        self._rows = KekRows(env.storage)
        self._encryptions = Encryptions(env)

    def demand_unlocked(self, organization: OrganizationId) -> None:
        """Return if the organisation may work now.

        Raises:
            OrganizationLockedError: it may not.
            ResourceNotFoundError: it does not exist.
            StorageUnavailableError: it is not known.
        """
        self._authorities.demand_unlocked(organization)

    def decrypting(
        self, organization: OrganizationId, keks: Collection[ObjectId], work: Callable[[Keks], T]
    ) -> T | None:
        """Return what `work` makes of KEKs, or None if none of them exists.

        Args:
            organization: whose KEKs.
            keks: versions of KEKs; `work` is given those of them that exist.
            work: uses KEKs. It may be begun again from its start, when the token was lost meanwhile.

        Raises:
            OrganizationLockedError: the organisation may not work, at the start or at the end.
            ResourceNotFoundError: the organisation does not exist.
        """
        authority = self._authorities.demand_unlocked(organization)
        found = self._rows.find(authority, keks)
        if not found:
            return None
        first = next(iter(found.values()))
        return self._use(authority, first, lambda in_use: work(Keks(in_use, self._rows, authority, found)))

    def encrypting(self, caller: Caller, kek: KekName, work: Callable[[Encrypt], T], *, items: int) -> T:
        """Return what `work` makes of a KEK.

        Args:
            caller: who asks.
            kek: the KEK; its newest version that may still encrypt so often is used.
            work: encrypts, `items` times at most. It may be begun again from its start, which counts again.
            items: how many content keys `work` is about.

        Raises:
            OrganizationLockedError: the organisation may not work, at the start or at the end.
            ResourceNotFoundError: there is no such KEK.
            KekDamagedError: the KEK as stored is not the key it should be.
        """
        authority = self._authorities.demand_unlocked(kek.organization)
        taken = [self._encryptions.take(caller, kek, items)]
        rows = self._rows.find(authority, taken)

        def run(in_use: KeksInUse) -> T:
            version = taken.pop() if taken else self._encryptions.take(caller, kek, items)
            found = self._rows.find(authority, [version])
            keks = Keks(in_use, self._rows, authority, found)

            def encrypt(plaintext: bytes, context: Context) -> bytes:
                authenticated = associated_data(kek.organization, version, context)
                return WrappedContentKey(version, keks.encrypt(found[version], plaintext, authenticated)).to_bytes()

            return work(encrypt)

        return self._use(authority, next(iter(rows.values())), run)

    def _use(self, authority: AuthoritySnapshot, first: UsableKek, work: Callable[[KeksInUse], T]) -> T:
        result = self._custody.with_keks(work, first)
        self._authorities.demand_unlocked(authority.organization)
        return result
