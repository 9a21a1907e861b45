"""Finish what a crash interrupted, and end what has run out."""

import logging
from dataclasses import replace
from datetime import timedelta

from server.domain.audit import STEWARD, AuditAction, AuditEvent
from server.domain.change_requests import REMEMBERED
from server.domain.intents import Intent, ObjectRole, Purpose
from server.domain.wrapping_keys import WrappingKey, WrappingKeyState
from server.use_cases.authority import lock_authority
from server.use_cases.environment import Environment
from server.use_cases.objects import TokenObjects

_log = logging.getLogger(__name__)

_AT_ONCE = 100
_USES_KEPT = timedelta(days=31)


class SettleIntents:
    """Destroys the objects that were to be destroyed, and those that were to be made by a process that is no more."""

    def __init__(self, env: Environment, objects: TokenObjects) -> None:
        self._env = env
        self._objects = objects

    def __call__(self) -> int:
        """Settle what is due; return how many.

        Raises:
            StorageUnavailableError: try again later.
        """
        now = self._env.clock()
        with self._env.storage.read() as tx:
            # A DESTROY is given a moment, since the process that announced it is about to do it.
            destroy = tx.intents.page(Purpose.DESTROY, now - timedelta(seconds=10), _AT_ONCE)
            left_behind = tx.intents.page(Purpose.CREATE, now - self._env.limits.intent_age, _AT_ONCE)
        for intent in destroy:
            self._objects.finish_destroy(intent.role, intent.object_id)
        for intent in left_behind:
            self._undo(intent)
        return len(destroy) + len(left_behind)

    def _undo(self, intent: Intent) -> None:
        _log.warning("object_left_behind", extra={"object_id": intent.object_id, "role": intent.role})
        self._objects.undo_create(intent.role, intent.object_id)


class ExpireWrappingKeys:
    """Ends the wrapping keys whose time is over, and destroys their objects in the token."""

    def __init__(self, env: Environment, objects: TokenObjects) -> None:
        self._env = env
        self._objects = objects

    def __call__(self) -> int:
        """Expire every wrapping key that is due; return how many.

        Raises:
            StorageUnavailableError: try again later.
        """
        with self._env.storage.read() as tx:
            due = tx.wrapping_keys.expired(self._env.clock(), _AT_ONCE)
        return sum(self._expire(key) for key in due)

    def _expire(self, key: WrappingKey) -> int:
        with self._env.storage.write() as tx:
            lock_authority(tx, key.organization)
            current = tx.wrapping_keys.find(key.organization, key.id)
            if current is None or current.state is not WrappingKeyState.USABLE:
                return 0
            now = self._env.clock()
            tx.wrapping_keys.update(replace(current, state=WrappingKeyState.EXPIRED))
            self._objects.announce(tx, key.id, ObjectRole.WRAPPING_KEY, Purpose.DESTROY)
            tx.audit.append(
                AuditEvent(
                    key.organization,
                    now,
                    STEWARD,
                    AuditAction.WRAPPING_KEY_ENDED,
                    key.id,
                    current.state,
                    WrappingKeyState.EXPIRED,
                )
            )
        self._objects.finish_destroy(ObjectRole.WRAPPING_KEY, key.id)
        return 1


class Forget:
    """Forgets what has been kept long enough: answered requests, the hours of use, and approvals that are over."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self) -> int:
        """Forget what is due; return how much.

        Raises:
            StorageUnavailableError: try again later.
        """
        now = self._env.clock()
        with self._env.storage.write() as tx:
            forgotten = tx.requests.forget(now - REMEMBERED, _AT_ONCE) + tx.uses.forget(now - _USES_KEPT, _AT_ONCE)
            return forgotten + tx.approvals.forget(now, _AT_ONCE)
