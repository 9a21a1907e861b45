"""What a worker's memory does over many operations with many KEKs: scripts/bench memory."""

import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from server.domain.content_keys import ITEMS_LIMIT
from tests.bench.kit import served, unwrapping
from tests.bench.options import between, parser_of, written
from tests.support.footprint import Footprint
from tests.support.many_loads import SETTLED, Look, looks_at_many_loads
from tests.support.service import Organization, Service

TARGET = 1.10
MOST_KEKS, MOST_OPERATIONS, MOST_LOADS = 100_000, 10_000_000, 10_000_000
ITEMS = 500
SEED = 20261125


def measured(keks: int, operations: int) -> tuple[int, int]:
    """Return the worker's resident memory after a tenth of the operations, and after all of them; in bytes."""
    with served(1) as (service, org):
        wrapped = [org.generate(org.new_kek().name)[0].wrapped for _ in range(keks)]
        chosen = random.Random(SEED)  # noqa: S311 - which is asked for next
        after_a_tenth = 0
        for done in range(0, operations, ITEMS):
            if done >= operations // 10 and not after_a_tenth:
                after_a_tenth = _resident(service)
            _use(org, chosen.choices(wrapped, k=ITEMS))
        return after_a_tenth, _resident(service)


def _use(org: Organization, wrapped: Sequence[bytes]) -> None:
    answer = org.user.content_keys.UnwrapContentKeys(unwrapping(org, wrapped))
    assert not any(it.HasField("status") for it in answer.results)


def _resident(service: Service) -> int:
    (pid,) = service.pids("worker")
    return Footprint.of(pid).resident


def looked_at_loads(loads: int) -> list[Look]:
    """Return what there was after a quarter of the loads, and after all of them."""
    with tempfile.TemporaryDirectory(prefix="keystead-bench-") as folder:
        return looks_at_many_loads(Path(folder), [loads // 4, loads])


def report(keks: int, operations: int, found: tuple[int, int], looks: Sequence[Look]) -> dict[str, Any]:
    early, late = found
    first, last = looks
    return {
        "bench": "memory",
        "keks": keks,
        "operations": operations,
        "after_a_tenth": early,
        "after_all": late,
        "ratio": late / early,
        "target": TARGET,
        "loads": {
            "ratio": last.resident / first.resident,
            "target": TARGET,
            "after_a_quarter": asdict(first),
            "after_all": asdict(last),
        },
    }


def table(found: dict[str, Any]) -> str:
    loads = found["loads"]
    last = loads["after_all"]
    return (
        f"{found['operations']} content keys of {found['keks']} KEKs: memory of the worker after all of them over that "
        f"after a tenth {found['ratio']:.3f}   target <= {found['target']}\n"
        f"{last['loads']} loads of KEKs by the adapter: memory after all of them over that after a quarter "
        f"{loads['ratio']:.3f}   target <= {loads['target']}   "
        f"KEKs that are loaded {last['loaded']}, session objects {last['objects']}"
    )


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("memory", __doc__, rounds=1)
    parser.add_argument("--keks", type=between(1, MOST_KEKS), default=50_000, help="how many KEKs (%(default)s)")
    parser.add_argument(
        "--operations",
        type=between(10 * ITEMS_LIMIT, MOST_OPERATIONS),
        default=1_000_000,
        help="content keys that are unwrapped (%(default)s)",
    )
    parser.add_argument(
        "--loads", type=between(4 * SETTLED, MOST_LOADS), default=200_000, help="KEKs that are loaded (%(default)s)"
    )
    options = parser.parse_args(arguments)
    looks = looked_at_loads(options.loads)
    found = report(options.keks, options.operations, measured(options.keks, options.operations), looks)
    written(found, table(found), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
