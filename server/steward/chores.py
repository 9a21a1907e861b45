"""What the steward does, in this order: first what revives an organisation, then what moves, then what removes."""

from collections.abc import Callable, Mapping
from typing import Protocol

from server.domain.main_keys import ROTATION_PERIOD
from server.steward.clock_guard import ClockGuard
from server.steward.loop import Chore
from server.use_cases import Environment
from server.use_cases.checkpoints import Checkpoints
from server.use_cases.deadlines import EndTimedRevocations, RemindOfRotation, Removal
from server.use_cases.objects import TokenObjects
from server.use_cases.receipts import Receipts
from server.use_cases.reconcile import Reconcile
from server.use_cases.rotate import Rotate
from server.use_cases.tidy import ExpireWrappingKeys, Forget, SettleIntents

RECONCILE_INTERVAL = 3600.0
"""Seconds between two comparisons of token and database; the first comes at the start."""
TIDY_INTERVAL = 60.0
"""Seconds between two looks at what has no hurry."""
PROGRESS_INTERVAL = 5.0
"""Seconds between two looks at how far rotations are."""


class Gauge(Protocol):
    """A number that is shown."""

    def set(self, value: float) -> None:
        """Show this from now on."""


class Gauges(Protocol):
    """What the steward finds out, for operators to see."""

    @property
    def rotations_due(self) -> Gauge:
        """Uploaded main keys in charge for longer than a year."""

    @property
    def main_keys_missing(self) -> Gauge:
        """Main keys whose object is missing in the token."""

    @property
    def states_damaged(self) -> Gauge:
        """Main keys with another state than the audit log tells."""

    @property
    def objects_unknown(self) -> Gauge:
        """Keys in the token that no row knows."""

    @property
    def rotations_running(self) -> Gauge:
        """Rotations that are RUNNING."""

    @property
    def rotations_paused(self) -> Gauge:
        """Rotations that are PAUSED."""

    @property
    def keks_left(self) -> Gauge:
        """KEKs that wait to be re-wrapped."""

    @property
    def keks_failed(self) -> Gauge:
        """Those of them that fail."""


def chores(env: Environment, objects: TokenObjects, gauges: Gauges) -> Mapping[str, Chore]:
    """Return every chore by its name."""
    removal = Removal(env, objects)
    guard = ClockGuard(env.clock, env.monotonic)

    def reconcile() -> int:
        found = Reconcile(env)()
        gauges.main_keys_missing.set(found.missing_count)
        gauges.states_damaged.set(len(found.damaged))
        gauges.objects_unknown.set(len(found.unknown))
        return 0

    def count() -> int:
        with env.storage.read() as tx:
            gauges.rotations_due.set(tx.main_keys.count_to_rotate(env.clock() - ROTATION_PERIOD))
        return 0

    def progress() -> int:
        with env.storage.read() as tx:
            found = tx.rotations.count_unfinished()
        gauges.rotations_running.set(found.running)
        gauges.rotations_paused.set(found.paused)
        gauges.keks_left.set(found.keks_left)
        gauges.keks_failed.set(found.keks_failed)
        return 0

    return {
        "end_timed_revocations": EndTimedRevocations(env),
        "rotate": Rotate(env),
        "remind_of_rotation": RemindOfRotation(env),
        "remove_retired": guard.guarded(removal.remove_retired),
        "purge_deleted": guard.guarded(removal.purge_deleted),
        "expire_wrapping_keys": guard.guarded(ExpireWrappingKeys(env, objects)),
        "settle_intents": SettleIntents(env, objects),
        "sign_receipts": Receipts(env).sign_pending,
        "sign_checkpoints": _every(
            env.limits.checkpoint_interval.total_seconds(), env.monotonic, Checkpoints(env).sign_all
        ),
        "forget": _every(TIDY_INTERVAL, env.monotonic, Forget(env)),
        "reconcile": _every(RECONCILE_INTERVAL, env.monotonic, reconcile),
        "count_rotations_due": _every(TIDY_INTERVAL, env.monotonic, count),
        "tell_progress": _every(PROGRESS_INTERVAL, env.monotonic, progress),
    }


def _every(interval: float, monotonic: Callable[[], float], work: Chore) -> Chore:
    """Return a chore that does the work at once, and then every `interval` seconds; at once again if there is more."""
    due = [monotonic()]

    def chore() -> int:
        if monotonic() < due[0]:
            return 0
        done = work()
        if not done:
            due[0] = monotonic() + interval
        return done

    return chore
