"""What happens to main keys by itself when a time has come.

Every deadline is a row: it holds over restarts, is caught up with after days of standstill, and only comes later when
the clock jumps back. Each key is a transaction of its own, and is looked at again in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from server.domain.audit import STEWARD, AuditAction, AuditEvent
from server.domain.intents import ObjectRole, Purpose
from server.domain.main_keys import ROTATION_PERIOD, Action, MainKey, State
from server.domain.moves import transition
from server.domain.ports import Transaction
from server.use_cases.activation import move_in_charge, record_move
from server.use_cases.authority import lock_authority, passing_over_damage, situation
from server.use_cases.environment import Environment
from server.use_cases.objects import TokenObjects

_AT_ONCE = 100


class Removal:
    """Removes keys from the token: RETIRED ones after their lifetime, DELETED ones after their time of grace."""

    def __init__(self, env: Environment, objects: TokenObjects) -> None:
        self._env = env
        self._objects = objects

    def remove_retired(self) -> int:
        """Remove every RETIRED key whose time has come; return how many.

        Raises:
            StorageUnavailableError: try again later.
        """
        return self._remove_due(State.RETIRED, Action.EXPIRE)

    def purge_deleted(self) -> int:
        """Remove every DELETED key whose time has come; return how many. What it locked stays locked.

        Raises:
            StorageUnavailableError: try again later.
        """
        return self._remove_due(State.DELETED, Action.PURGE)

    def _remove_due(self, state: State, action: Action) -> int:
        with self._env.storage.read() as tx:
            due = tx.main_keys.due(state, self._env.clock(), _AT_ONCE)
        return sum(self._remove(key, action) for key in due)

    def _remove(self, key: MainKey, action: Action) -> int:
        with passing_over_damage():
            return self._removed(key, action)
        return 0

    def _removed(self, key: MainKey, action: Action) -> int:
        with self._env.storage.write() as tx:
            authority = lock_authority(tx, key.organization)
            current = tx.main_keys.find(key.organization, key.id)
            now = self._env.clock()
            if current != key or key.purge_time is None or key.purge_time > now:
                return 0  # Somebody has changed it meanwhile.
            where = situation(tx, authority)
            removed = replace(transition(key, action, where, now=now, purge_time=now), missing_time=None)
            if where.leads(key):
                move_in_charge(tx, authority, removed, STEWARD)
            else:
                tx.main_keys.update(removed)
                record_move(tx, key, removed, STEWARD)
            self._objects.announce(tx, key.object_id, ObjectRole.MAIN_KEY, Purpose.DESTROY)
        self._objects.finish_destroy(ObjectRole.MAIN_KEY, key.object_id)
        return 1


class EndTimedRevocations:
    """Activates REVOKED keys again whose revocation was for a time."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self) -> int:
        """Activate what is due; return how many.

        Raises:
            StorageUnavailableError: try again later.
        """
        return _for_each(self._env, lambda tx: tx.main_keys.to_reactivate(self._env.clock(), _AT_ONCE), self._end)

    def _end(self, tx: Transaction, key: MainKey) -> None:
        authority = lock_authority(tx, key.organization)
        back = transition(key, Action.ACTIVATE, situation(tx, authority), now=self._env.clock())
        move_in_charge(tx, authority, back, STEWARD)


class RemindOfRotation:
    """Writes down, once for each key, that its owner should replace it."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self) -> int:
        """Remind of what is due; return how many.

        Raises:
            StorageUnavailableError: try again later.
        """
        before = self._env.clock() - ROTATION_PERIOD
        return _for_each(self._env, lambda tx: tx.main_keys.to_remind(before, _AT_ONCE), self._remind)

    def _remind(self, tx: Transaction, key: MainKey) -> None:
        tx.main_keys.update(replace(key, is_reminded=True))
        tx.audit.append(
            AuditEvent(key.organization, self._env.clock(), STEWARD, AuditAction.ROTATION_DUE, key.id, key.state)
        )


def _for_each(
    env: Environment, find: Callable[[Transaction], Sequence[MainKey]], work: Callable[[Transaction, MainKey], None]
) -> int:
    """Do the work for each key that was found and is still the same, in a transaction of its own; return how many."""
    with env.storage.read() as tx:
        due = find(tx)
    done = 0
    for key in due:
        with passing_over_damage(), env.storage.write() as tx:
            lock_authority(tx, key.organization)
            if tx.main_keys.find(key.organization, key.id) == key:
                work(tx, key)
                done += 1
    return done
