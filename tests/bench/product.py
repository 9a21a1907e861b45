"""The product: the steward's use case, over the real adapter and SQLite, with the batch that is the default."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.domain.ids import COMMON
from server.domain.keks import binding_context
from server.domain.main_keys import State
from server.use_cases import Limits
from server.use_cases.rotate import Rotate
from tests.bench.contest import Ready, Stopwatch, Turn
from tests.bench.plain import Sample, Work
from tests.support.many_keks import make_many_keks
from tests.support.pooled import PooledCustody
from tests.support.world import opened

LIMITS = Limits()


class TimedCustody(PooledCustody):
    """Knows how long the token's part took."""

    seconds = 0.0

    def rewrap_keks(self, *arguments):
        started = time.perf_counter()
        results = super().rewrap_keks(*arguments)
        self.seconds += time.perf_counter() - started
        return results


@dataclass(frozen=True)
class Task:
    """How many KEKs are re-wrapped in a turn, and where all of it is."""

    folder: Path
    keks: int


@contextmanager
def product(task: Task) -> Iterator[Ready]:
    folder, count = task.folder, task.keks
    with opened(folder, custody=TimedCustody, limits=LIMITS) as world:
        org = world.new_organization()
        make_many_keks(world, org, count)
        born = {kek.id: kek for kek in world.keks(org)}
        rotate = Rotate(world.env)

        def turn() -> Turn:
            main_key = world.bring(org)
            world.custody.seconds = 0.0
            watch = Stopwatch()
            # One batch a step, a step that retires the old key, and one that finds nothing to do.
            done = sum(rotate() for _ in range(-(-count // LIMITS.rewrap_batch) + 2))
            taken = watch.stop(world.custody.seconds)
            assert done == count + 1
            assert {kek.main_key for kek in world.keks(org)} == {main_key.id}
            states = {key.state for key in world.keys(org).values()}
            assert states == {State.ACTIVE, State.RETIRED}
            return taken

        # The measure begins where the product is after its first turn, and has to arrive where it was born.
        turn()
        samples = [
            Sample(kek.key.wrapped, kek.key.binding, binding_context(org, kek.id), born[kek.id].key.wrapped)
            for kek in world.keks(org)
        ]
        old, new = (bytes.fromhex(key.object_id) for key in (world.in_charge(org), world.key(org, COMMON)))
        yield turn, Work(folder / "token", old, new, samples)
