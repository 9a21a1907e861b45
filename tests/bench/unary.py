"""How fast single content keys are unwrapped, as a ratio to a service that only echoes: scripts/bench unary."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from tests.bench.callers import WARM_UP, Measured, Target, callers
from tests.bench.echo import METHOD, echo
from tests.bench.kit import served, target_of, unwrapping
from tests.bench.options import between, parser_of, written
from tests.support.footprint import processor_seconds

RATE_TARGET, P99_TARGET = 0.75, 1.5
WORKERS, KEKS = 2, 20


@dataclass(frozen=True)
class Round:
    """A turn of the product, and one of the echo; and seconds of the processor for one call of each."""

    product: Measured
    echo: Measured
    product_cpu: float
    echo_cpu: float


def measured(count: int, seconds: float, rounds: int) -> list[Round]:
    with served(WORKERS) as (service, org), callers() as crowd:
        wrapped = [org.generate(org.new_kek().name)[0].wrapped for _ in range(KEKS)]
        ours = target_of(service, org, [unwrapping(org, [it]) for it in wrapped])
        with echo(service.folder / "pki", ours.answer_size, WORKERS) as (address, pids):
            theirs = replace(ours, address=address, method=METHOD)

            def turn(target: Target, processes: Sequence[int]) -> tuple[Measured, float]:
                before = sum(map(processor_seconds, processes))
                found = crowd.turn(target, count, seconds)
                taken = sum(map(processor_seconds, processes)) - before
                return found, taken / (len(found.latencies) + WARM_UP * count)

            def round_() -> Round:
                (product, product_cpu), (other, echo_cpu) = turn(ours, service.pids("worker")), turn(theirs, pids)
                return Round(product, other, product_cpu, echo_cpu)

            for target in (ours, theirs):
                crowd.turn(target, count, 1.0)  # Everything is loaded, and counts for neither.
            return [round_() for _ in range(rounds)]


def report(count: int, rounds: Sequence[Round]) -> dict[str, Any]:
    rates = [it.product.rate / it.echo.rate for it in rounds]
    tails = [it.product.percentile(0.99) / it.echo.percentile(0.99) for it in rounds]
    cpu = [it.product_cpu / it.echo_cpu for it in rounds]
    return {
        "bench": "unary",
        "callers": count,
        "workers": WORKERS,
        "rate": {"ratio": median(rates), "target": RATE_TARGET, "each": rates},
        "p99": {"ratio": median(tails), "target": P99_TARGET, "each": tails},
        "cpu": {"ratio": median(cpu), "each": cpu},
    }


def table(found: dict[str, Any]) -> str:
    rate, p99, cpu = found["rate"], found["p99"], found["cpu"]
    return "\n".join(
        [
            f"{found['callers']} callers, {found['workers']} processes each; product over echo, median of "
            f"{len(rate['each'])} rounds.",
            "",
            f"{'':28}{'ratio':>8}{'target':>10}   each",
            f"{'calls in a second':28}{rate['ratio']:8.2f}{'>= ' + str(RATE_TARGET):>10}   "
            + " ".join(f"{it:.2f}" for it in rate["each"]),
            f"{'99th percentile of latency':28}{p99['ratio']:8.2f}{'<= ' + str(P99_TARGET):>10}   "
            + " ".join(f"{it:.2f}" for it in p99["each"]),
            f"{'processor, servers alone':28}{cpu['ratio']:8.2f}{'':>10}   "
            + " ".join(f"{it:.2f}" for it in cpu["each"]),
        ]
    )


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("unary", __doc__, rounds=5)
    parser.add_argument("--callers", type=between(1, 256), default=32, help="how many ask at once (%(default)s)")
    parser.add_argument("--seconds", type=between(1, 60), default=4, help="of a turn (%(default)s)")
    options: argparse.Namespace = parser.parse_args(arguments)
    found = report(options.callers, measured(options.callers, options.seconds, options.rounds))
    written(found, table(found), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
