"""How soon a revocation holds on three replicas under load, and never after its bound: scripts/bench revocation."""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.options import between, parser_of, written
from tests.support.cluster import cluster
from tests.support.revocations import FAULTS, HONEST, NO_FAULT, Round, Tenant, round_with, rounds_of, tenants

MOST_ROUNDS, MOST_FAULTS, MOST_ORGANIZATIONS = 2000, 50, 8
PERIOD = 0.03
"""Seconds between two calls of one caller."""
PART = 0.45
"""The callers' deadline as a part of the bound: less than half."""


def measured(options: Any) -> tuple[list[Round], Counter[str], Counter[str]]:
    """Return all rounds, and how often callers were told what without and with faults.

    Whatever succeeds after the bound ends it, and so does a wrong answer.
    """
    bound = float(options.bound)
    with (
        tempfile.TemporaryDirectory(prefix="keystead-bench-") as folder,
        cluster(Path(folder), LIFE__REVOCATION_BOUND=f"PT{options.bound}S") as three,
        tenants(three, options.organizations, deadline=PART * bound, period=PERIOD) as found,
    ):
        began = time.monotonic()
        rounds = rounds_of(found, options.rounds)
        told = _told(found, began)
        began = time.monotonic()
        for turn in range(options.faults):
            for fault in FAULTS:
                rounds.append(round_with(found[turn % len(found)], three, fault, later=bound))
        return rounds, told, _told(found, began)


def _told(found: Sequence[Tenant], began: float) -> Counter[str]:
    told = sum((tenant.crowd.told_since(began) for tenant in found), Counter())
    assert told.keys() <= HONEST, told
    return told


def _summary(rounds: Sequence[Round]) -> dict[str, float]:
    last = sorted(it.until_last_success for it in rounds)
    return {
        "rounds": len(rounds),
        "median": median(last),
        "p99": last[-(len(last) // 100) - 1],
        "max": last[-1],
        "least_left_of_bound": min(it.bound_left for it in rounds),
        "until_known_max": max(it.until_known for it in rounds),
        "until_served_median": median(it.until_served for it in rounds),
        "until_served_max": max(it.until_served for it in rounds),
    }


def report(options: Any, rounds: Sequence[Round], *told: Counter[str]) -> dict[str, Any]:
    """Return what was found; all times are in seconds."""
    faults = [it for it in (NO_FAULT, *FAULTS) if any(each.fault == it for each in rounds)]
    return {
        "bench": "revocation",
        "bound": options.bound,
        "organizations": options.organizations,
        "told": [{reason or "served": times for reason, times in it.most_common()} for it in told],
        "served_after_bound": 0,
        "by_fault": {fault: _summary([it for it in rounds if it.fault == fault]) for fault in faults},
        "rounds": [asdict(it) for it in rounds],
    }


def table(found: dict[str, Any]) -> str:
    columns: tuple[tuple[str, Callable[[dict[str, float]], float]], ...] = (
        ("median", lambda it: it["median"]),
        ("p99", lambda it: it["p99"]),
        ("max", lambda it: it["max"]),
        ("known", lambda it: it["until_known_max"]),
        ("served", lambda it: it["until_served_max"]),
    )
    lines = [
        "Seconds from the answer to RevokeMainKey to the end of the last call that was served; and at the most",
        "from the end of the fault until all workers know, and from the reactivation until all serve.",
        "",
        f"{'fault':22}{'rounds':>8}" + "".join(f"{name:>9}" for name, _ in columns),
    ]
    for fault, it in found["by_fault"].items():
        lines.append(f"{fault:22}{it['rounds']:8}" + "".join(f"{value(it):9.3f}" for _, value in columns))
    for when, told in zip(("no fault", "faults"), found["told"], strict=True):
        lines += ["", f"Told with {when}: {', '.join(f'{times} {reason}' for reason, times in told.items())}."]
    return "\n".join([*lines, "", f"Served after the bound of {found['bound']} s: none."])


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("revocation", __doc__)
    add = parser.add_argument
    add("--rounds", type=between(1, MOST_ROUNDS), default=200, help="revocations when nothing is wrong (%(default)s)")
    add("--faults", type=between(0, MOST_FAULTS), default=3, help="revocations with each of the faults (%(default)s)")
    add("--organizations", type=between(1, MOST_ORGANIZATIONS), default=4, help="at a time (%(default)s)")
    add("--bound", type=between(2, 60), default=5, help="life.revocation_bound in seconds (%(default)s)")
    options = parser.parse_args(arguments)
    found = report(options, *measured(options))
    written(found, table(found), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
