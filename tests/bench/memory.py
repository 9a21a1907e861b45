"""What a worker's memory does over many operations with many KEKs: scripts/bench memory."""

import random
import sys
from collections.abc import Sequence
from typing import Any

from server.domain.content_keys import ITEMS_LIMIT
from tests.bench.kit import served, unwrapping
from tests.bench.options import between, parser_of, written
from tests.support.footprint import Footprint
from tests.support.service import Organization, Service

TARGET = 1.10
MOST_KEKS, MOST_OPERATIONS = 100_000, 10_000_000
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


def report(keks: int, operations: int, found: tuple[int, int]) -> dict[str, Any]:
    early, late = found
    return {
        "bench": "memory",
        "keks": keks,
        "operations": operations,
        "after_a_tenth": early,
        "after_all": late,
        "ratio": late / early,
        "target": TARGET,
    }


def table(found: dict[str, Any]) -> str:
    return (
        f"{found['operations']} content keys of {found['keks']} KEKs: memory of the worker after all of them over that "
        f"after a tenth {found['ratio']:.3f}   target <= {found['target']}"
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
    options = parser.parse_args(arguments)
    found = report(options.keks, options.operations, measured(options.keks, options.operations))
    written(found, table(found), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
