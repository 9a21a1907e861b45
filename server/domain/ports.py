"""What the use cases ask of the outside: storage, the token, time and fresh ids.

An implementation promises the errors named here and wraps all others. Every aware datetime is in UTC.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from server.domain.audit import AuditEvent
from server.domain.errors import KeysteadError
from server.domain.ids import ObjectId, OrganizationId
from server.domain.intents import Intent, ObjectRole, Purpose
from server.domain.keks import Kek, WrappedKek
from server.domain.main_keys import MainKey, State
from server.domain.organizations import Organization
from server.domain.rotations import Rotation
from server.domain.wrapping_keys import Algorithm, WrappingKey

Clock = Callable[[], datetime]
"""Returns the present moment, aware UTC."""

NewId = Callable[[], ObjectId]
"""Returns an id that was never used before."""


class Organizations(Protocol):
    """The organisations."""

    def add(self, organization: Organization) -> None:
        """Keep a new organisation.

        Raises:
            OrganizationExistsError: one of this id exists.
        """

    def find(self, organization: OrganizationId) -> Organization | None:
        """Return the organisation, or None."""

    def lock(self, organization: OrganizationId) -> Organization | None:
        """Return the organisation, or None, and let no other transaction lock it until this one ends."""

    def update(self, organization: Organization) -> None:
        """Keep the changed organisation, which this transaction has locked."""

    def page(
        self, after: OrganizationId | None, limit: int, only: frozenset[OrganizationId] | None
    ) -> list[Organization]:
        """Return up to `limit` organisations by id, those after `after`, and of those in `only` unless it is None."""


class MainKeys(Protocol):
    """The main keys of all organisations, and the common key's object."""

    def add(self, key: MainKey) -> None:
        """Keep a new main key."""

    def find(self, organization: OrganizationId, key: ObjectId) -> MainKey | None:
        """Return the main key, or None."""

    def find_by_fingerprint(self, organization: OrganizationId, fingerprint: bytes) -> MainKey | None:
        """Return the organisation's main key with this fingerprint, in whatever state, or None."""

    def find_in_state(self, organization: OrganizationId, state: State) -> MainKey | None:
        """Return the organisation's newest main key in this state, or None."""

    def update(self, key: MainKey) -> None:
        """Keep the changed main key, whose organisation this transaction has locked."""

    def page(
        self, organization: OrganizationId, before: ObjectId | None, limit: int, *, show_removed: bool
    ) -> list[MainKey]:
        """Return up to `limit` main keys, newest first (ties by id), those that come after the key `before`."""

    def in_state(self, state: State, limit: int) -> list[MainKey]:
        """Return up to `limit` main keys of all organisations in this state, longest there first."""

    def due(self, state: State, now: datetime, limit: int) -> list[MainKey]:
        """Return up to `limit` main keys of all organisations in this state whose purge time has come."""

    def common(self) -> tuple[ObjectId, bytes] | None:
        """Return the common key's object id and fingerprint (32 bytes), or None before it was made."""

    def set_common(self, object_id: ObjectId, fingerprint: bytes, now: datetime) -> None:
        """Keep what was made as the common key, once and for all.

        Raises:
            ConcurrentChangeError: another process was faster.
        """


class WrappingKeys(Protocol):
    """The wrapping keys of all organisations."""

    def add(self, key: WrappingKey) -> None:
        """Keep a new wrapping key."""

    def find(self, organization: OrganizationId, key: ObjectId) -> WrappingKey | None:
        """Return the wrapping key, or None."""

    def usable(self, organization: OrganizationId, algorithm: Algorithm | None, now: datetime) -> WrappingKey | None:
        """Return the organisation's newest usable wrapping key (of this algorithm, if one is named), or None."""

    def update(self, key: WrappingKey) -> None:
        """Keep the changed wrapping key, whose organisation this transaction has locked."""

    def expired(self, now: datetime, limit: int) -> list[WrappingKey]:
        """Return up to `limit` wrapping keys of all organisations that are USABLE in name, but past their time."""


class Keks(Protocol):
    """The KEKs of all organisations."""

    def add(self, kek: Kek) -> None:
        """Keep a new KEK."""

    def find(self, organization: OrganizationId, kek: ObjectId) -> Kek | None:
        """Return the KEK, or None."""

    def find_many(self, organization: OrganizationId, keks: frozenset[ObjectId]) -> dict[ObjectId, Kek]:
        """Return those of the named KEKs that exist in the organisation."""

    def page(self, organization: OrganizationId, after: ObjectId | None, limit: int) -> list[Kek]:
        """Return up to `limit` KEKs by id, those after `after`."""

    def count_by_main_key(
        self, organizations: Sequence[OrganizationId]
    ) -> Mapping[tuple[OrganizationId, ObjectId], int]:
        """Return the number of KEKs under each main key of these organisations; a key with none is left out."""

    def reserve_encryptions(self, organization: OrganizationId, kek: ObjectId, count: int, limit: int) -> bool:
        """Take `count` of the KEK's encryptions if no more than `limit` are then taken; return whether it did."""


class Rotations(Protocol):
    """The rotations of all organisations."""

    def add(self, rotation: Rotation) -> None:
        """Keep a new rotation."""

    def find(self, organization: OrganizationId, rotation: ObjectId) -> Rotation | None:
        """Return the rotation, or None."""

    def page(self, organization: OrganizationId, before: ObjectId | None, limit: int) -> list[Rotation]:
        """Return up to `limit` rotations, newest first (ties by id), those that come after the rotation `before`."""

    def running(self, organization: OrganizationId) -> list[Rotation]:
        """Return the organisation's rotations that are RUNNING."""

    def update(self, rotation: Rotation) -> None:
        """Keep the changed rotation, whose organisation this transaction has locked."""


class Intents(Protocol):
    """The objects of the token that are about to be made or destroyed."""

    def add(self, intent: Intent) -> None:
        """Keep a new intent; a DESTROY takes the place of a CREATE for the same object."""

    def settle(self, object_id: ObjectId, purpose: Purpose) -> None:
        """Forget an intent, since what it announced is done or undone.

        Raises:
            ConcurrentChangeError: there is none (any more): somebody else has finished or undone it.
        """

    def page(self, purpose: Purpose, before: datetime, limit: int) -> list[Intent]:
        """Return up to `limit` intents of this purpose that are older than `before`, oldest first."""


class Audit(Protocol):
    """The record of changes."""

    def append(self, event: AuditEvent) -> None:
        """Write one event; its number in its organisation is the next one."""


class Transaction(Protocol):
    """All that one transaction reads and writes.

    Every method of every part may also raise StorageUnavailableError (the database does not answer) and
    ConcurrentChangeError (the database found two transactions in conflict); then nothing of the transaction holds.
    """

    organizations: Organizations
    main_keys: MainKeys
    wrapping_keys: WrappingKeys
    keks: Keks
    rotations: Rotations
    intents: Intents
    audit: Audit


@dataclass(frozen=True, slots=True)
class Rewrap:
    """What became of one KEK of a batch."""

    kek: Kek
    """As it was claimed."""
    wrapped: bytes | None
    """40 bytes, proven in the token; None when it failed."""
    retry_time: datetime | None
    """When it is to be tried again; None when it did not fail."""


class RewrapBatch(Protocol):
    """KEKs that nobody else re-wraps meanwhile."""

    @property
    def keks(self) -> Sequence[Kek]:
        """The KEKs, still under the replaced main key."""

    def finish(self, rewraps: Sequence[Rewrap], to_main_key: ObjectId, now: datetime) -> int:
        """Swap the rows by compare-and-set on main key and wrapped form, and count the progress, in one transaction.

        The swap is refused as a whole unless the organisation's main key is still `to_main_key` and ACTIVE.

        Returns:
            How many KEKs were swapped. 0 as well when the whole was refused.
        """


class Storage(Protocol):
    """The database."""

    def read(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that sees one state and changes nothing."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that commits when its block ends, and rolls back when an exception leaves it."""

    def claim_keks(
        self, organization: OrganizationId, main_key: ObjectId, now: datetime, limit: int
    ) -> AbstractContextManager[RewrapBatch]:
        """Claim up to `limit` KEKs under `main_key` whose retry time, if any, has come; the block ends the claim."""

    def check(self) -> None:
        """Return if the database answers and has the schema that this program needs.

        Raises:
            StorageUnavailableError: it does not.
        """


class KekInUse(Protocol):
    """A KEK in the token, for as long as its block lasts."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return IV (12 bytes), ciphertext and tag (16 bytes)."""

    def decrypt(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            WrappedKeyRejectedError: `sealed` is not what this KEK encrypted with this associated data.
        """


class Custody(Protocol):
    """The token, in ids and bytes. No key's value passes here in clear, save content keys.

    Every method may also raise TokenUnavailableError and TokenExhaustedError; those that name a main key,
    MainKeyMissingError.
    """

    def create_wrapping_key(self, object_id: ObjectId, algorithm: Algorithm) -> bytes:
        """Make an RSA pair in the token and return its public half, DER SubjectPublicKeyInfo."""

    def check_wrapping_key(self, object_id: ObjectId, public_key: bytes) -> None:
        """Return if this is the public half of the wrapping key in the token.

        Args:
            object_id: the wrapping key.
            public_key: DER SubjectPublicKeyInfo.

        Raises:
            WrappingKeyDamagedError: it is not, or the token has no such key.
        """

    def examine_main_key(self, wrapping_key: ObjectId, encrypted: bytes) -> bytes:
        """Unwrap an upload for a moment and return its fingerprint (32 bytes); nothing remains in the token.

        Raises:
            EncryptedKeyRejectedError: it is not exactly 32 bytes under this wrapping key.
        """

    def unwrap_main_key(self, object_id: ObjectId, wrapping_key: ObjectId, encrypted: bytes) -> bytes:
        """Unwrap an upload as a main key of the token and return its fingerprint (32 bytes).

        Raises:
            EncryptedKeyRejectedError: it is not exactly 32 bytes under this wrapping key.
        """

    def generate_main_key(self, object_id: ObjectId) -> bytes:
        """Make a main key in the token and return its fingerprint (32 bytes)."""

    def find_main_key(self, object_id: ObjectId) -> bytes | None:
        """Return the fingerprint (32 bytes) of a main key in the token, or None if it is not there."""

    def destroy(self, role: ObjectRole, object_id: ObjectId) -> None:
        """Destroy an object of the token; it is no error if it is gone."""

    def create_kek(self, main_key: ObjectId, context: bytes) -> WrappedKek:
        """Make a KEK in the token, wrapped under a main key and bound to `context`."""

    def rewrap_keks(
        self, from_main_key: ObjectId, to_main_key: ObjectId, keks: Sequence[tuple[WrappedKek, bytes]]
    ) -> list[bytes | KeysteadError]:
        """Re-wrap KEKs (each with its binding context) in the token, and prove each result there.

        Returns:
            For each, the new wrapped form (40 bytes), or what went wrong with this one.
        """

    def use_kek(self, main_key: ObjectId, kek: WrappedKek, context: bytes) -> AbstractContextManager[KekInUse]:
        """Have a KEK in the token for a block.

        Raises:
            KekRejectedError: it does not unwrap under this main key, or is bound to another context.
        """

    def random(self, size: int) -> bytes:
        """Return `size` random bytes of the token."""
