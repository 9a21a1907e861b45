"""The order in which rows and objects of the token come and go, so that no crash leaves either alone.

The row comes first. Before an object is made, an intent is committed; the row that owns the object settles the intent
in one transaction. Before an object is destroyed, the row that gave it up and the intent commit together; then it is
destroyed, and the intent settled. The steward finishes what a crash interrupted.
"""

import logging

from server.domain.audit import STEWARD, AuditAction, AuditEvent
from server.domain.errors import ConcurrentChangeError, KeysteadError
from server.domain.ids import ObjectId
from server.domain.intents import Intent, ObjectRole, Purpose
from server.domain.ports import Transaction
from server.use_cases.authority import lock_authority
from server.use_cases.environment import Environment

_log = logging.getLogger(__name__)


class TokenObjects:
    """Makes and destroys objects of the token, behind their intents."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def announce(self, tx: Transaction, object_id: ObjectId, role: ObjectRole, purpose: Purpose) -> None:
        """Write down what is going to happen; the caller commits it before it happens."""
        tx.intents.add(Intent(object_id, role, purpose, self._env.clock()))

    def finish_destroy(self, role: ObjectRole, object_id: ObjectId) -> None:
        """Destroy what a committed DESTROY announced. A failure is logged, and left to the steward."""
        try:
            self._env.custody.destroy(role, object_id)
            with self._env.storage.write() as tx:
                if role is ObjectRole.MAIN_KEY:
                    self._record_destruction(tx, object_id)
                tx.intents.settle(object_id, Purpose.DESTROY)
        except ConcurrentChangeError:
            return  # The steward was faster.
        except KeysteadError as error:
            _log.warning("destroy_left_to_steward", extra={"object_id": object_id, "reason": error.reason})

    def _record_destruction(self, tx: Transaction, object_id: ObjectId) -> None:
        """Write down that a main key is gone from the token; what never became one is no matter."""
        key = tx.main_keys.find_by_object(object_id)
        if key is not None:
            lock_authority(tx, key.organization)  # So that the log's events are in the order of their times.
            destroyed = AuditAction.MAIN_KEY_DESTROYED
            tx.audit.append(AuditEvent(key.organization, self._env.clock(), STEWARD, destroyed, key.id))

    def undo_create(self, role: ObjectRole, object_id: ObjectId) -> None:
        """Take back what a committed CREATE announced, made or not. A failure is logged, and left to the steward."""
        try:
            with self._env.storage.write() as tx:
                tx.intents.add(Intent(object_id, role, Purpose.DESTROY, self._env.clock()))
        except KeysteadError as error:
            _log.warning("undo_left_to_steward", extra={"object_id": object_id, "reason": error.reason})
            return
        self.finish_destroy(role, object_id)
