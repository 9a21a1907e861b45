"""How fast batches of 500 content keys are unwrapped, as a ratio to a bare loop: scripts/bench batches."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.bare import Bare, bare
from tests.bench.callers import WARM_UP, Measured, callers
from tests.bench.contest import contender
from tests.bench.kit import sealed_of, served, target_of, unwrapping
from tests.bench.options import between, parser_of, written
from tests.support.footprint import processor_seconds

TARGET, PAIR_TARGET = 0.6, 1.8
ITEMS = 500
CALLERS = 4
"""For each worker, so that none waits."""


@dataclass(frozen=True)
class Round:
    """Content keys in a second, of one worker, of two, and of the bare loop; and seconds of the processor for one."""

    one: float
    two: float
    bare: float
    one_cpu: float
    bare_cpu: float


def measured(seconds: int, rounds: int) -> list[Round]:
    with served(1) as (lone, lone_org), served(2) as (pair, pair_org), callers() as crowd:
        targets = {}
        for workers, service, org in ((1, lone, lone_org), (2, pair, pair_org)):
            wrapped = [it.wrapped for it in org.generate(org.new_kek().name, ITEMS)]
            targets[workers] = target_of(service, org, [unwrapping(org, wrapped)])
        main_key, sealed = sealed_of(pair, pair_org, wrapped)
        work = Bare(pair.folder / "token", main_key, sealed, loads_each=False, times=20 * seconds)
        with contender(bare, work) as loop:

            def turn(workers: int) -> Measured:
                return crowd.turn(targets[workers], CALLERS * workers, seconds)

            def round_() -> Round:
                (worker,) = lone.pids("worker")
                before = processor_seconds(worker)
                one = turn(1)
                one_cpu = processor_seconds(worker) - before
                answered = ITEMS * (len(one.latencies) + CALLERS * min(WARM_UP, len(targets[1].requests)))
                two, bare_turn = turn(2), loop.turn()
                return Round(
                    one=ITEMS * one.rate,
                    two=ITEMS * two.rate,
                    bare=ITEMS * work.times / bare_turn.wall,
                    one_cpu=one_cpu / answered,
                    bare_cpu=bare_turn.cpu / (ITEMS * work.times),
                )

            turn(1), turn(2), loop.turn()  # What is loaded first counts for none.
            return [round_() for _ in range(rounds)]


def report(rounds: Sequence[Round]) -> dict[str, Any]:
    shares = [it.one / it.bare for it in rounds]
    pairs = [it.two / it.one for it in rounds]
    cpu = [it.bare_cpu / it.one_cpu for it in rounds]
    return {
        "bench": "batches",
        "items": ITEMS,
        "worker": {"ratio": median(shares), "target": TARGET, "each": shares},
        "worker_cpu": {"ratio": median(cpu), "each": cpu},
        "two_workers": {"ratio": median(pairs), "target": PAIR_TARGET, "each": pairs},
    }


def table(found: dict[str, Any]) -> str:
    lines = [f"Batches of {ITEMS}, median of {len(found['worker']['each'])} rounds.", ""]
    for key, name in (
        ("worker", "one worker over the bare loop"),
        ("worker_cpu", "the same, by the processor"),
        ("two_workers", "two workers over one"),
    ):
        row = found[key]
        each = " ".join(f"{it:.2f}" for it in row["each"])
        target = f"target >= {row['target']}" if "target" in row else ""
        lines.append(f"{name:32}{row['ratio']:6.2f}   {target:13}   each {each}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("batches", __doc__, rounds=5)
    parser.add_argument("--seconds", type=between(1, 60), default=4, help="of a turn (%(default)s)")
    options = parser.parse_args(arguments)
    found = report(measured(options.seconds, options.rounds))
    written(found, table(found), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
