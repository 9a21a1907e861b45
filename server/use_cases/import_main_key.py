"""Import a main key: unwrap what the customer encrypted, inside the token.

In this order: an attempt of the wrapping key is taken and the intent committed; the upload is examined in the token as
a session object, so that a bad one leaves nothing behind; the good one is unwrapped for good; its row, its activation
and the end of the wrapping key commit together. A fault in between gives the attempt back and undoes the object.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import (
    DuplicateKeyError,
    EncryptedKeyRejectedError,
    FingerprintMismatchError,
    InvalidFieldError,
    KeysteadError,
    PendingKeyExistsError,
    WeakKeyError,
    WrappingKeyNotUsableError,
)
from server.domain.ids import MainKeyName, ObjectId, OrganizationId, WrappingKeyName
from server.domain.intents import ObjectRole, Purpose
from server.domain.main_keys import Action, MainKey, Origin, State, transition
from server.domain.ports import Transaction
from server.domain.roles import Caller, Operation, authorize
from server.domain.wrapping_keys import FAILED_UPLOADS_LIMIT, WrappingKey, WrappingKeyState
from server.use_cases.activation import put_in_charge
from server.use_cases.authority import lock_authority
from server.use_cases.environment import Environment
from server.use_cases.objects import TokenObjects
from server.use_cases.views import ImportedMainKey, view_main_key

FINGERPRINT_SIZE = 32

ZERO_KEY_FINGERPRINT = bytes.fromhex("2f8254d19477377ad7feeb43d9bcd7cf425253cb745b6128ccbdaf0070ba901f")
"""SHA-256 of AES-KW of 32 zero bytes under the key of 32 zero bytes; a test computes it again."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An encrypted main key on its way in."""

    organization: OrganizationId
    wrapping_key: WrappingKeyName
    encrypted: bytes = field(repr=False)
    activate_now: bool
    expected_fingerprint: bytes | None


class ImportMainKey:
    """Bring a main key, to be used now or later."""

    def __init__(self, env: Environment, objects: TokenObjects) -> None:
        self._env = env
        self._objects = objects

    def __call__(self, caller: Caller, upload: Upload) -> ImportedMainKey:
        """Return the new main key.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            InvalidFieldError: the expected fingerprint is not 32 bytes.
            WrappingKeyNotUsableError: the wrapping key is used, expired, spent, unknown or another organisation's.
            EncryptedKeyRejectedError: the upload is not exactly 32 bytes under this wrapping key.
            WeakKeyError: the key is 32 zero bytes.
            FingerprintMismatchError: the key has not the expected fingerprint.
            DuplicateKeyError: the organisation has, or had, this key.
            PendingKeyExistsError: the key is for later, and one is waiting already.
            OrganizationLockedError: the main key in charge is REVOKED, DELETED or REMOVED.
        """
        authorize(caller, Operation.IMPORT_MAIN_KEY, upload.organization)
        if upload.expected_fingerprint is not None and len(upload.expected_fingerprint) != FINGERPRINT_SIZE:
            raise InvalidFieldError("expected_fingerprint", f"{FINGERPRINT_SIZE} bytes, or empty")
        arrival = self._env.monotonic()
        key_id = self._env.new_id()
        self._take_attempt(upload, key_id)
        try:
            fingerprint = self._examine(upload)
            self._env.custody.unwrap_main_key(key_id, upload.wrapping_key.id, upload.encrypted)
            imported = self._keep(caller, upload, key_id, fingerprint)
        except EncryptedKeyRejectedError:
            self._objects.undo_create(ObjectRole.MAIN_KEY, key_id)
            self._count_rejection(caller, upload)
            self._env.sleep_until(arrival + self._env.limits.rejection_floor.total_seconds())
            raise
        except KeysteadError:
            self._objects.undo_create(ObjectRole.MAIN_KEY, key_id)
            # If the database is gone, the attempt stays counted: the safe side.
            with suppress(KeysteadError):
                self._give_attempt_back(upload)
            raise
        self._objects.finish_destroy(ObjectRole.WRAPPING_KEY, upload.wrapping_key.id)
        return imported

    def _take_attempt(self, upload: Upload, key_id: ObjectId) -> None:
        """Count the attempt before it is made, so that many at once, or a crash, win no further ones."""
        with self._env.storage.write() as tx:
            lock_authority(tx, upload.organization).demand_unlocked()
            wrapping_key = self._usable(tx, upload)
            if len(upload.encrypted) != wrapping_key.algorithm.encrypted_size:
                raise EncryptedKeyRejectedError
            self._demand_room(tx, upload)
            tx.wrapping_keys.update(replace(wrapping_key, failed_uploads=wrapping_key.failed_uploads + 1))
            self._objects.announce(tx, key_id, ObjectRole.MAIN_KEY, Purpose.CREATE)

    def _usable(self, tx: Transaction, upload: Upload) -> WrappingKey:
        wrapping_key = tx.wrapping_keys.find(upload.organization, upload.wrapping_key.id)
        own = upload.wrapping_key.organization == upload.organization
        if not own or wrapping_key is None or not wrapping_key.is_usable(self._env.clock()):
            raise WrappingKeyNotUsableError
        return wrapping_key

    def _demand_room(self, tx: Transaction, upload: Upload) -> None:
        pending = tx.main_keys.find_in_state(upload.organization, State.PENDING)
        if pending is not None and not upload.activate_now:
            raise PendingKeyExistsError(str(MainKeyName(upload.organization, pending.id)))

    def _examine(self, upload: Upload) -> bytes:
        fingerprint = self._env.custody.examine_main_key(upload.wrapping_key.id, upload.encrypted)
        if fingerprint == ZERO_KEY_FINGERPRINT:
            raise WeakKeyError
        if upload.expected_fingerprint not in {None, fingerprint}:
            raise FingerprintMismatchError
        with self._env.storage.read() as tx:
            self._demand_new(tx, upload.organization, fingerprint)
        return fingerprint

    def _demand_new(self, tx: Transaction, organization: OrganizationId, fingerprint: bytes) -> None:
        known = tx.main_keys.find_by_fingerprint(organization, fingerprint)
        if known is not None:
            raise DuplicateKeyError(str(MainKeyName(organization, known.id)))

    def _keep(self, caller: Caller, upload: Upload, key_id: ObjectId, fingerprint: bytes) -> ImportedMainKey:
        with self._env.storage.write() as tx:
            authority = lock_authority(tx, upload.organization)
            authority.demand_unlocked()
            wrapping_key = tx.wrapping_keys.find(upload.organization, upload.wrapping_key.id)
            if wrapping_key is None or wrapping_key.state is not WrappingKeyState.USABLE:
                raise WrappingKeyNotUsableError  # Another upload was faster.
            self._demand_room(tx, upload)
            self._demand_new(tx, upload.organization, fingerprint)
            now = self._env.clock()
            key = MainKey(
                organization=upload.organization,
                id=key_id,
                object_id=key_id,
                origin=Origin.UPLOADED,
                state=State.PENDING,
                prior_state=None,
                fingerprint=fingerprint,
                create_time=now,
                state_time=now,
                purge_time=None,
            )
            tx.intents.settle(key_id, Purpose.CREATE)
            if upload.activate_now:
                # Another key may be PENDING and stays so: this one is never kept in that state.
                key = transition(key, Action.ACTIVATE, now=now, in_charge=False)
                put_in_charge(tx, authority, key, is_new=True, actor=caller.identity, new_id=self._env.new_id)
            else:
                tx.main_keys.add(key)
            tx.wrapping_keys.update(replace(wrapping_key, state=WrappingKeyState.USED))
            self._objects.announce(tx, wrapping_key.id, ObjectRole.WRAPPING_KEY, Purpose.DESTROY)
            tx.audit.append(AuditEvent(key.organization, now, caller.identity, AuditAction.MAIN_KEY_IMPORTED, key.id))
            organization = lock_authority(tx, upload.organization).organization
            return ImportedMainKey(
                view_main_key(tx, organization, key), MainKeyName(organization.id, organization.main_key)
            )

    def _count_rejection(self, caller: Caller, upload: Upload) -> None:
        """Write the rejection down; after the fifth the wrapping key dies."""
        with self._env.storage.write() as tx:
            lock_authority(tx, upload.organization)
            wrapping_key = tx.wrapping_keys.find(upload.organization, upload.wrapping_key.id)
            now = self._env.clock()
            tx.audit.append(
                AuditEvent(
                    upload.organization, now, caller.identity, AuditAction.UPLOAD_REJECTED, upload.wrapping_key.id
                )
            )
            if (
                wrapping_key is None
                or wrapping_key.state is not WrappingKeyState.USABLE
                or wrapping_key.failed_uploads < FAILED_UPLOADS_LIMIT
            ):
                return
            tx.wrapping_keys.update(replace(wrapping_key, state=WrappingKeyState.SPENT))
            self._objects.announce(tx, wrapping_key.id, ObjectRole.WRAPPING_KEY, Purpose.DESTROY)
        self._objects.finish_destroy(ObjectRole.WRAPPING_KEY, upload.wrapping_key.id)

    def _give_attempt_back(self, upload: Upload) -> None:
        with self._env.storage.write() as tx:
            lock_authority(tx, upload.organization)
            wrapping_key = tx.wrapping_keys.find(upload.organization, upload.wrapping_key.id)
            if wrapping_key is not None and wrapping_key.failed_uploads > 0:
                tx.wrapping_keys.update(replace(wrapping_key, failed_uploads=wrapping_key.failed_uploads - 1))
