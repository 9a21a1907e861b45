"""Verify that the backup somebody holds is a copy of a main key.

The copy comes encrypted under a wrapping key, as an import does; it is unwrapped in the token for a moment, as a
session object, and only its fingerprint is compared. No state changes. The wrapping key is used up all the same, so
that a recorded upload can never be played again.
"""

from dataclasses import replace

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import EncryptedKeyRejectedError, KeysteadError, ResourceNotFoundError
from server.domain.ids import MainKeyName
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.authority import lock_authority
from server.use_cases.environment import Environment
from server.use_cases.uploads import Upload, Uploads
from server.use_cases.views import VerifiedCopy, view_main_key


class VerifyMainKeyCopy:
    """Compare a copy with a main key, whatever the key's state."""

    def __init__(self, env: Environment, uploads: Uploads) -> None:
        self._env = env
        self._uploads = uploads

    def __call__(self, caller: Caller, name: MainKeyName, upload: Upload) -> VerifiedCopy:
        """Return whether the copy is this key; if so, the key's verify_time is now.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            ResourceNotFoundError: there is no such main key.
            WrappingKeyNotUsableError: the wrapping key is used, expired, spent, unknown or another organisation's.
            EncryptedKeyRejectedError: the upload is not exactly 32 bytes under this wrapping key.
        """
        authorize(caller, Operation.VERIFY_MAIN_KEY_COPY, name.organization)
        arrival = self._env.monotonic()
        with self._env.storage.write() as tx:
            lock_authority(tx, name.organization)
            if tx.main_keys.find(name.organization, name.id) is None:
                raise ResourceNotFoundError(str(name))
            self._uploads.take_attempt(tx, upload)
        try:
            fingerprint = self._env.custody.examine_main_key(upload.wrapping_key.id, upload.encrypted)
            verified = self._compare(caller, name, upload, fingerprint)
        except EncryptedKeyRejectedError:
            self._uploads.reject(caller, upload, arrival)
            raise
        except KeysteadError:
            self._uploads.give_back(upload)
            raise
        self._uploads.finish(upload)
        return verified

    def _compare(self, caller: Caller, name: MainKeyName, upload: Upload, fingerprint: bytes) -> VerifiedCopy:
        with self._env.storage.write() as tx:
            authority = lock_authority(tx, name.organization)
            self._uploads.use_up(tx, caller, upload)
            key = tx.main_keys.find(name.organization, name.id)
            if key is None:
                raise ResourceNotFoundError(str(name))
            if key.fingerprint == fingerprint:
                key = replace(key, verify_time=self._env.clock())
                tx.main_keys.update(key)
                tx.audit.append(
                    AuditEvent(
                        key.organization,
                        self._env.clock(),
                        caller.identity,
                        AuditAction.MAIN_KEY_VERIFIED,
                        key.id,
                    )
                )
            known = tx.main_keys.find_by_fingerprint(name.organization, fingerprint)
            matching = None if known is None else MainKeyName(name.organization, known.id)
            return VerifiedCopy(view_main_key(tx, authority, key), fingerprint, matching)
