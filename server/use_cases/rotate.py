"""Rotation: re-wrap the KEKs of a replaced main key, and retire it when none is left.

A rotation is rows, not memory: each step reads where things stand, does a bounded piece of work, and commits. Killed
anywhere, it loses nothing and repeats at most one batch.
"""

import logging

from server.domain.audit import STEWARD
from server.domain.errors import KeysteadError, MainKeyMissingError, MainKeyNotTrustedError
from server.domain.ids import KekName
from server.domain.keks import Kek, binding_context
from server.domain.main_keys import Action, MainKey, Origin, State
from server.domain.moves import transition
from server.domain.ports import Rewrap
from server.domain.rotations import RotationState
from server.use_cases.activation import end_rotation, record_move
from server.use_cases.authority import lock_authority, passing_over_damage, read_authority, situation
from server.use_cases.environment import Environment

_log = logging.getLogger(__name__)

_KEYS_AT_ONCE = 1000


class Rotate:
    """Moves every ROTATING key one step towards RETIRED."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __call__(self) -> int:
        """Re-wrap up to one batch for each ROTATING key, and retire those that have become empty.

        Returns:
            How many KEKs were re-wrapped and keys retired: 0 means that there is nothing to do now.

        Raises:
            TokenUnavailableError, StorageUnavailableError: nothing of the present batch holds; try again later.
            MainKeyMissingError, MainKeyNotTrustedError: a key cannot be rotated, and there was nothing else to do.
        """
        with self._env.storage.read() as tx:
            rotating = tx.main_keys.in_state(State.ROTATING, _KEYS_AT_ONCE)
        done, fault = 0, None
        for key in rotating:
            try:
                done += self._rewrap_batch(key) or self._retire(key)
            except (MainKeyMissingError, MainKeyNotTrustedError) as error:
                fault = error  # The trouble of one organisation's key holds up no other's.
        if fault is not None and not done:
            raise fault
        return done

    def _rewrap_batch(self, old: MainKey) -> int:
        with self._env.storage.read() as tx:
            authority = read_authority(tx, old.organization)
            rotations = tx.rotations.unfinished(old.organization)
        paused = {it.from_main_key for it in rotations if it.state is RotationState.PAUSED}
        new = authority.main_key
        if authority.snapshot.is_locked or old.id in paused:
            return 0
        limit = self._env.limits.rewrap_batch
        with self._env.storage.claim_keks(old.organization, old.id, self._env.clock(), limit) as batch:
            if not batch.keks:
                return 0
            keks = [(kek.key, binding_context(kek.organization, kek.id)) for kek in batch.keks]
            results = self._env.custody.rewrap_keks(old.object_id, new.object_id, keks)
            now = self._env.clock()
            rewraps = [self._judge(kek, result) for kek, result in zip(batch.keks, results, strict=True)]
            return batch.finish(rewraps, new.id, now)

    def _judge(self, kek: Kek, result: bytes | KeysteadError) -> Rewrap:
        if isinstance(result, bytes):
            return Rewrap(kek, result, retry_time=None)
        name = str(KekName(kek.organization, kek.id))
        _log.error("kek_not_rewrapped", extra={"kek": name, "reason": result.reason})
        return Rewrap(kek, None, retry_time=self._env.clock() + self._env.limits.rewrap_retry)

    def _retire(self, key: MainKey) -> int:
        """Retire the key if no KEK is under it; return 1 if it was retired."""
        with passing_over_damage():
            return self._retired(key)
        return 0

    def _retired(self, key: MainKey) -> int:
        with self._env.storage.write() as tx:
            authority = lock_authority(tx, key.organization)
            current = tx.main_keys.find(key.organization, key.id)
            if current is None or current.state is not State.ROTATING:
                return 0
            if tx.keks.are_under(key.organization, key.id):
                return 0
            now = self._env.clock()
            purge_time = None if key.origin is Origin.COMMON else now + self._env.limits.retired_lifetime
            where = situation(tx, authority)
            retired = transition(current, Action.DRAIN, where, now=now, purge_time=purge_time)
            tx.main_keys.update(retired)
            for rotation in tx.rotations.unfinished(key.organization):
                if rotation.from_main_key == key.id:
                    end_rotation(tx, rotation, RotationState.DONE, now, STEWARD)
            record_move(tx, current, retired, STEWARD)
        return 1
