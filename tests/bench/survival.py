"""How soon killed workers of three replicas are made up for under load: scripts/bench survival."""

import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.options import between, parser_of, written
from tests.support.cluster import cluster
from tests.support.crowd import dice
from tests.support.revocations import tenants
from tests.support.survival import Killed, demand_only_lost_connections, kill_workers, what_came_of

TARGET = 3.0
"""Seconds."""
FULL = 0.9
"""The part of the calls of before that counts as all of them."""
INTERVAL = 6.0
"""Seconds between two kills."""
PERIOD = 0.05
DEADLINE = 5.0
ORGANIZATIONS = 2


def measured(seconds: int, seed: int) -> tuple[list[Killed], Counter[str]]:
    """Return what came of each kill, and how often callers were told what. A wrong answer ends it."""
    with tempfile.TemporaryDirectory(prefix="keystead-bench-") as folder, cluster(Path(folder)) as three:
        with tenants(three, ORGANIZATIONS, deadline=DEADLINE, period=PERIOD) as found:
            began = time.monotonic()
            kills = kill_workers(three, dice(seed), times=int(seconds / INTERVAL), interval=INTERVAL)
        callers = [caller for tenant in found for caller in tenant.crowd.callers]
        return what_came_of(kills, callers, began, FULL), demand_only_lost_connections(callers, kills, TARGET)


def report(seconds: int, seed: int, killed: Sequence[Killed], told: Counter[str]) -> dict[str, Any]:
    """Return what was found; all times are in seconds."""

    def summary(values: list[float]) -> dict[str, float]:
        return {"median": median(values), "max": max(values)}

    return {
        "bench": "survival",
        "seconds": seconds,
        "seed": seed,
        "target": TARGET,
        "wrong_answers": 0,
        "told": {reason or "served": times for reason, times in told.most_common()},
        "until_full": summary([it.until_full for it in killed]),
        "longest_wait": summary([it.longest_wait for it in killed]),
        "kills": [asdict(it) for it in killed],
    }


def table(found: dict[str, Any]) -> str:
    lines = [f"{len(found['kills'])} workers killed in {found['seconds']} s.", "", f"{'':58}{'median':>8}{'max':>8}"]
    for key, name in (
        ("until_full", f"seconds until its replica served {FULL:.0%} of the calls again"),
        ("longest_wait", "seconds that one of its callers had no answer"),
    ):
        lines.append(f"{name:58}{found[key]['median']:8.2f}{found[key]['max']:8.2f}")
    told = ", ".join(f"{times} {reason}" for reason, times in found["told"].items())
    reached = "reached" if found["until_full"]["max"] <= TARGET else "missed"
    return "\n".join([*lines, "", f"Told: {told}. No answer was wrong.", f"Target {TARGET:.0f} s: {reached}."])


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("survival", __doc__)
    parser.add_argument(
        "--seconds", type=between(12, 3600), default=120, help="how long workers are killed (%(default)s)"
    )
    options = parser.parse_args(arguments)
    seed = secrets.randbits(32)
    found = report(options.seconds, seed, *measured(options.seconds, seed))
    written(found, table(found), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
