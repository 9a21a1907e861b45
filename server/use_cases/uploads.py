"""Uploads of encrypted main keys: what bringing a key and verifying a copy have in common.

An attempt of the wrapping key is counted before it is made, so that many at once, or a crash, win no further ones; a
fault that is not the upload's gives it back. The first upload that unwraps as it should uses the wrapping key up.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import EncryptedKeyRejectedError, KeysteadError, WrappingKeyNotUsableError
from server.domain.ids import OrganizationId, WrappingKeyName
from server.domain.intents import ObjectRole, Purpose
from server.domain.ports import Transaction
from server.domain.roles import Caller
from server.domain.wrapping_keys import FAILED_UPLOADS_LIMIT, WrappingKey, WrappingKeyState
from server.use_cases.authority import lock_authority
from server.use_cases.environment import Environment
from server.use_cases.objects import TokenObjects


@dataclass(frozen=True, slots=True)
class Upload:
    """An encrypted main key on its way in."""

    organization: OrganizationId
    wrapping_key: WrappingKeyName
    encrypted: bytes = field(repr=False)


class Uploads:
    """The attempts at each wrapping key."""

    def __init__(self, env: Environment, objects: TokenObjects) -> None:
        self._env = env
        self._objects = objects

    def take_attempt(self, tx: Transaction, upload: Upload) -> None:
        """Count an attempt; the caller has locked the organisation.

        Raises:
            WrappingKeyNotUsableError: the wrapping key is used, expired, spent, unknown or another organisation's.
            EncryptedKeyRejectedError: the upload has not the size of the modulus.
        """
        wrapping_key = self._usable(tx, upload)
        if len(upload.encrypted) != wrapping_key.algorithm.encrypted_size:
            raise EncryptedKeyRejectedError
        tx.wrapping_keys.update(replace(wrapping_key, failed_uploads=wrapping_key.failed_uploads + 1))

    def _usable(self, tx: Transaction, upload: Upload) -> WrappingKey:
        wrapping_key = tx.wrapping_keys.find(upload.organization, upload.wrapping_key.id)
        own = upload.wrapping_key.organization == upload.organization
        if not own or wrapping_key is None or not wrapping_key.is_usable(self._env.clock()):
            raise WrappingKeyNotUsableError
        return wrapping_key

    def use_up(self, tx: Transaction, caller: Caller, upload: Upload) -> None:
        """End the wrapping key of an upload that was good; `finish` destroys it after the commit.

        Raises:
            WrappingKeyNotUsableError: another upload was faster.
        """
        wrapping_key = tx.wrapping_keys.find(upload.organization, upload.wrapping_key.id)
        if wrapping_key is None or wrapping_key.state is not WrappingKeyState.USABLE:
            raise WrappingKeyNotUsableError
        self._end(tx, caller, wrapping_key, WrappingKeyState.USED)

    def finish(self, upload: Upload) -> None:
        """Destroy the wrapping key that was used up."""
        self._objects.finish_destroy(ObjectRole.WRAPPING_KEY, upload.wrapping_key.id)

    def reject(self, caller: Caller, upload: Upload, arrival: float) -> None:
        """Write a rejection down and return no sooner than all rejections do; after the fifth the wrapping key dies.

        Args:
            caller: who uploaded.
            upload: what was rejected.
            arrival: when it arrived, by the monotonic clock, seconds.
        """
        with self._env.storage.write() as tx:
            lock_authority(tx, upload.organization)
            wrapping_key = tx.wrapping_keys.find(upload.organization, upload.wrapping_key.id)
            spent = (
                wrapping_key is not None
                and wrapping_key.state is WrappingKeyState.USABLE
                and wrapping_key.failed_uploads >= FAILED_UPLOADS_LIMIT
            )
            tx.audit.append(
                AuditEvent(
                    upload.organization,
                    self._env.clock(),
                    caller.identity,
                    AuditAction.UPLOAD_REJECTED,
                    upload.wrapping_key.id,
                )
            )
            if wrapping_key is not None and spent:
                self._end(tx, caller, wrapping_key, WrappingKeyState.SPENT)
        if spent:
            self.finish(upload)
        self._env.sleep_until(arrival + self._env.limits.rejection_floor.total_seconds())

    def give_back(self, upload: Upload) -> None:
        """Take back an attempt that failed by no fault of the upload."""
        # If the database is gone, the attempt stays counted: the safe side.
        with suppress(KeysteadError), self._env.storage.write() as tx:
            lock_authority(tx, upload.organization)
            wrapping_key = tx.wrapping_keys.find(upload.organization, upload.wrapping_key.id)
            if wrapping_key is not None and wrapping_key.failed_uploads > 0:
                tx.wrapping_keys.update(replace(wrapping_key, failed_uploads=wrapping_key.failed_uploads - 1))

    def _end(self, tx: Transaction, caller: Caller, wrapping_key: WrappingKey, state: WrappingKeyState) -> None:
        tx.wrapping_keys.update(replace(wrapping_key, state=state))
        ended = AuditAction.WRAPPING_KEY_ENDED
        tx.audit.append(
            AuditEvent(
                wrapping_key.organization,
                self._env.clock(),
                caller.identity,
                ended,
                wrapping_key.id,
                wrapping_key.state,
                state,
            )
        )
        self._objects.announce(tx, wrapping_key.id, ObjectRole.WRAPPING_KEY, Purpose.DESTROY)
