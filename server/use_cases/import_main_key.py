"""Import a main key: unwrap what the customer encrypted, inside the token.

In this order: an attempt of the wrapping key is taken and the intent committed; the upload is examined in the token as
a session object, so that a bad one leaves nothing behind; the good one is unwrapped for good; its row, its activation
and the end of the wrapping key commit together. A fault in between gives the attempt back and undoes the object.

While an organisation is locked by a main key that was removed from the token, the same key is the only one that can be
imported: it takes its old place, and everything works again.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import (
    DuplicateKeyError,
    EncryptedKeyRejectedError,
    FingerprintMismatchError,
    InvalidFieldError,
    KeysteadError,
    MainKeyNotTrustedError,
    PendingKeyExistsError,
    RecoveryKeyRequiredError,
    WeakKeyError,
    WrappingKeyNotUsableError,
)
from server.domain.etags import etag_of_organization
from server.domain.ids import MainKeyName, ObjectId
from server.domain.intents import ObjectRole, Purpose
from server.domain.main_keys import Action, MainKey, Origin, State, moved
from server.domain.moves import name_of, transition
from server.domain.ports import Transaction
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.activation import move_in_charge, put_in_charge
from server.use_cases.authority import Authority, lock_authority, read_authority, situation
from server.use_cases.byok import enabled, present
from server.use_cases.environment import Environment
from server.use_cases.objects import TokenObjects
from server.use_cases.terms import FREE, AnsweredBefore, Terms
from server.use_cases.uploads import Upload, Uploads
from server.use_cases.views import ImportedMainKey, view_main_key

FINGERPRINT_SIZE = 32

ZERO_KEY_FINGERPRINT = bytes.fromhex("2f8254d19477377ad7feeb43d9bcd7cf425253cb745b6128ccbdaf0070ba901f")
"""SHA-256 of AES-KW of 32 zero bytes under the key of 32 zero bytes; a test computes it again."""


@dataclass(frozen=True, slots=True)
class Import:
    """What an upload is to become."""

    upload: Upload
    activate_now: bool
    expected_fingerprint: bytes | None = None


class ImportMainKey:
    """Bring a main key, to be used now or later."""

    def __init__(self, env: Environment, objects: TokenObjects, uploads: Uploads) -> None:
        self._env = env
        self._objects = objects
        self._uploads = uploads

    def __call__(self, caller: Caller, wanted: Import, terms: Terms = FREE) -> ImportedMainKey:
        """Return the new main key, or the one that was recovered.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            InvalidFieldError: the expected fingerprint is not 32 bytes.
            WrappingKeyNotUsableError: the wrapping key is used, expired, spent, unknown or another organisation's.
            EncryptedKeyRejectedError: the upload is not exactly 32 bytes under this wrapping key.
            WeakKeyError: the key is 32 zero bytes.
            FingerprintMismatchError: the key has not the expected fingerprint.
            DuplicateKeyError: the organisation has, or had, this key.
            PendingKeyExistsError: the key is for later, and one is waiting already.
            OrganizationLockedError: the main key in charge is REVOKED or DELETED.
            RecoveryKeyRequiredError: the main key in charge is REMOVED, and this is another one.
            MainKeyNotTrustedError: the key is for now, and has to be marked by the token's security officer first.
            StaleEtagError, RequestIdReusedError: as the terms say.
            AnsweredBefore: this very request was carried out before.
        """
        upload = wanted.upload
        authorize(caller, Operation.IMPORT_MAIN_KEY, upload.organization)
        if wanted.expected_fingerprint is not None and len(wanted.expected_fingerprint) != FINGERPRINT_SIZE:
            raise InvalidFieldError("expected_fingerprint", f"{FINGERPRINT_SIZE} bytes, or empty")
        arrival = self._env.monotonic()
        key_id = self._env.new_id()
        with self._env.storage.write() as tx:
            authority = self._locked(tx, caller, upload, terms)
            if wanted.activate_now and self._env.custody.waits_for_officer and not _needs_recovery(authority):
                raise MainKeyNotTrustedError
            self._uploads.take_attempt(tx, upload)
            _demand_room(tx, authority, wanted)
            self._objects.announce(tx, key_id, ObjectRole.MAIN_KEY, Purpose.CREATE)
        try:
            fingerprint = self._examine(wanted)
            self._env.custody.unwrap_main_key(key_id, upload.wrapping_key.id, upload.encrypted)
            imported = self._keep(caller, wanted, terms, key_id, fingerprint)
        except EncryptedKeyRejectedError:
            self._objects.undo_create(ObjectRole.MAIN_KEY, key_id)
            self._uploads.reject(caller, upload, arrival)
            raise
        except (KeysteadError, AnsweredBefore) as error:
            self._objects.undo_create(ObjectRole.MAIN_KEY, key_id)
            self._uploads.give_back(upload)
            if isinstance(error, WrappingKeyNotUsableError | DuplicateKeyError):
                # A faster upload has used it up, or brought this key: perhaps this very request, sent twice.
                with self._env.storage.read() as tx:
                    terms.demand_new(tx, caller, self._env.clock())
            raise
        self._uploads.finish(upload)
        return imported

    def _locked(self, tx: Transaction, caller: Caller, upload: Upload, terms: Terms) -> Authority:
        """Return the organisation, which a main key can be brought to."""
        authority = lock_authority(tx, upload.organization)
        terms.demand_new(tx, caller, self._env.clock())
        terms.demand_seen(etag_of_organization(authority.organization), present(authority))
        if not _needs_recovery(authority):
            authority.demand_unlocked()
        return authority

    def _examine(self, wanted: Import) -> bytes:
        upload = wanted.upload
        fingerprint = self._env.custody.examine_main_key(upload.wrapping_key.id, upload.encrypted)
        if fingerprint == ZERO_KEY_FINGERPRINT:
            raise WeakKeyError
        if wanted.expected_fingerprint not in {None, fingerprint}:
            raise FingerprintMismatchError
        with self._env.storage.read() as tx:
            _demand_welcome(tx, read_authority(tx, upload.organization), fingerprint)
        return fingerprint

    def _keep(
        self, caller: Caller, wanted: Import, terms: Terms, key_id: ObjectId, fingerprint: bytes
    ) -> ImportedMainKey:
        upload = wanted.upload
        with self._env.storage.write() as tx:
            authority = self._locked(tx, caller, upload, terms)
            self._uploads.use_up(tx, caller, upload)
            _demand_room(tx, authority, wanted)
            _demand_welcome(tx, authority, fingerprint)
            now = self._env.clock()
            tx.intents.settle(key_id, Purpose.CREATE)
            if _needs_recovery(authority):
                key = transition(authority.main_key, Action.RECOVER, situation(tx, authority), now=now)
                key = replace(key, object_id=key_id)
                authority = move_in_charge(tx, authority, key, caller.identity)
            else:
                key = _arrived(upload, key_id, fingerprint, now)
                authority = enabled(tx, authority, caller, now)
                if wanted.activate_now:
                    # Another key may be PENDING and stays so: this one is never kept in that state.
                    key = moved(key, State.ACTIVE, now=now)
                    authority = put_in_charge(
                        tx, authority, key, before=None, actor=caller.identity, new_id=self._env.new_id
                    )
                else:
                    tx.main_keys.add(key)
            tx.audit.append(
                AuditEvent(
                    key.organization,
                    now,
                    caller.identity,
                    AuditAction.MAIN_KEY_IMPORTED,
                    key.id,
                    to_state=key.state,
                    wrapping_key=upload.wrapping_key.id,
                )
            )
            active = MainKeyName(upload.organization, authority.organization.main_key)
            imported = ImportedMainKey(view_main_key(tx, authority, key), active)
            terms.keep(tx, caller, imported, now)
        return imported


def _arrived(upload: Upload, key_id: ObjectId, fingerprint: bytes, now: datetime) -> MainKey:
    return MainKey(
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


def _needs_recovery(authority: Authority) -> bool:
    return authority.main_key.state is State.REMOVED


def _demand_room(tx: Transaction, authority: Authority, wanted: Import) -> None:
    if wanted.activate_now or _needs_recovery(authority):
        return
    pending = tx.main_keys.find_in_state(wanted.upload.organization, State.PENDING)
    if pending is not None:
        raise PendingKeyExistsError(name_of(pending))


def _demand_welcome(tx: Transaction, authority: Authority, fingerprint: bytes) -> None:
    """Return if a key of this value is new, or is the one that recovers the organisation."""
    if _needs_recovery(authority):
        lost = authority.main_key
        if fingerprint != lost.fingerprint:
            raise RecoveryKeyRequiredError(name_of(lost), lost.fingerprint)
        return
    known = tx.main_keys.find_by_fingerprint(authority.organization.id, fingerprint)
    if known is not None:
        raise DuplicateKeyError(name_of(known))
