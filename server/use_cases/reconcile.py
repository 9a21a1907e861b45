"""Compare the token and the audit logs with the rows, and say what does not fit.

Nothing is destroyed here: an object that no row knows may be another service's, or the only copy of a key whose row was
lost. A main key whose object is missing keeps its row, and is shown as missing until the object is back.
"""

import logging
from dataclasses import dataclass, replace

from server.domain.audit import STEWARD, AuditAction, AuditEvent
from server.domain.ids import MainKeyName, ObjectId, OrganizationId
from server.domain.intents import ObjectRole
from server.domain.main_keys import MainKey, Origin, State
from server.use_cases.authority import is_recorded, lock_authority
from server.use_cases.environment import Environment

_log = logging.getLogger(__name__)

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What does not fit.

    Attributes:
        unknown: role (None if the object is not of our making) and CKA_ID in hexadecimal of objects that no row knows.
        missing: main keys whose object is not in the token, or is another key.
        common_key_is_missing: whether that of the common key is; all organisations have the same one.
        damaged: main keys of which the row says another state than the audit log.
        checked: how many main keys were looked for, the common key once.
    """

    unknown: tuple[tuple[ObjectRole | None, str], ...]
    missing: tuple[MainKeyName, ...]
    common_key_is_missing: bool
    damaged: tuple[MainKeyName, ...]
    checked: int

    @property
    def missing_count(self) -> int:
        """Return how many objects of main keys are missing."""
        return len(self.missing) + self.common_key_is_missing


class Reconcile:
    """Compares token, audit logs and rows."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self) -> Reconciliation:
        """Return what does not fit, having marked the main keys that are missing, and those that are back.

        Raises:
            TokenUnavailableError, StorageUnavailableError: try again later.
        """
        missing: list[MainKeyName] = []
        damaged: list[MainKeyName] = []
        with self._env.storage.read() as tx:
            common = tx.main_keys.common()
        common_key_is_missing = common is not None and self._env.custody.find_main_key(common[0]) != common[1]
        if common_key_is_missing:
            _log.error("common_key_missing")
        checked = 0 if common is None else 1
        last: tuple[OrganizationId, ObjectId] | None = None
        while True:
            with self._env.storage.read() as tx:
                keys = tx.main_keys.walk(last, _AT_ONCE)
                contrary = [it for it in keys if not is_recorded(tx, it)]
            for key in contrary:
                damaged.append(MainKeyName(key.organization, key.id))
                _log.error("state_damaged", extra={"main_key": str(damaged[-1])})
            for key in keys:
                if key.origin is Origin.COMMON or key.state is State.REMOVED:
                    continue
                checked += 1
                is_missing = self._env.custody.find_main_key(key.object_id) != key.fingerprint
                self._mark(key, is_missing=is_missing)
                if is_missing:
                    missing.append(MainKeyName(key.organization, key.id))
            if len(keys) < _AT_ONCE:
                break
            last = keys[-1].organization, keys[-1].id
        unknown = self._unknown()
        for role, object_id in unknown:
            _log.warning("object_unknown", extra={"object_id": object_id, "role": role})
        return Reconciliation(unknown, tuple(missing), common_key_is_missing, tuple(damaged), checked)

    def _unknown(self) -> tuple[tuple[ObjectRole | None, str], ...]:
        # The token first: what is made meanwhile has its row or its intent before the token is asked for it.
        objects = self._env.custody.objects()
        ids = [ObjectId(object_id) for role, object_id in objects if role is not None]
        known: set[str] = set()
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            with self._env.storage.read() as tx:
                known |= tx.main_keys.are_known(part) | tx.wrapping_keys.are_known(part)
                known |= tx.audit.are_known(part) | tx.intents.are_known(part)
        return tuple((role, object_id) for role, object_id in objects if role is None or object_id not in known)

    def _mark(self, key: MainKey, *, is_missing: bool) -> None:
        if is_missing == (key.missing_time is not None):
            return
        with self._env.storage.write() as tx:
            lock_authority(tx, key.organization)
            current = tx.main_keys.find(key.organization, key.id)
            if current != key or key.state is State.REMOVED:
                return  # It has changed since it was looked for.
            now = self._env.clock()
            tx.main_keys.update(replace(key, missing_time=now if is_missing else None))
            action = AuditAction.MAIN_KEY_MISSING if is_missing else AuditAction.MAIN_KEY_FOUND
            tx.audit.append(AuditEvent(key.organization, now, STEWARD, action, key.id, key.state))
            _log.error(action.value.lower(), extra={"main_key": str(MainKeyName(key.organization, key.id))})
