"""What the first use of a KEK costs, as a ratio to a bare unwrapping and decryption: scripts/bench cold."""

import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from tests.bench.bare import Bare, bare
from tests.bench.contest import contender
from tests.bench.kit import sealed_of, served, unwrapping
from tests.bench.options import between, parser_of, written

TARGET = 3.0
MOST_KEKS = 20_000
ITEMS = 500


def measured(count: int, rounds: int) -> list[float]:
    """Return, for each round, the time of the product for that of the bare calls."""
    with served(1) as (service, org):
        names = [org.new_kek().name for _ in range(count)]
        wrapped = [org.generate(name)[0].wrapped for name in names]
        requests = [unwrapping(org, wrapped[start : start + ITEMS]) for start in range(0, count, ITEMS)]
        main_key, sealed = sealed_of(service, org, wrapped)
        with contender(bare, Bare(service.folder / "token", main_key, sealed, loads_each=True)) as loop:
            loop.turn()
            ratios = []
            for _ in range(rounds):
                # A new worker has neither loaded a KEK nor read its row.
                service.stop()
                service.start()
                began = time.perf_counter()
                for request in requests:
                    answer = org.user.content_keys.UnwrapContentKeys(request)
                    assert not any(it.HasField("status") for it in answer.results)
                ratios.append((time.perf_counter() - began) / loop.turn().wall)
            return ratios


def report(count: int, ratios: Sequence[float]) -> dict[str, Any]:
    return {"bench": "cold", "keks": count, "items": ITEMS, "ratio": median(ratios), "target": TARGET, "each": ratios}


def table(found: dict[str, Any]) -> str:
    each = " ".join(f"{it:.2f}" for it in found["each"])
    return (
        f"First use of {found['keks']} KEKs, {found['items']} in a call, by the time of bare calls: "
        f"{found['ratio']:.2f}   target <= {found['target']}   each {each}"
    )


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("cold", __doc__, rounds=5)
    parser.add_argument("--keks", type=between(1, MOST_KEKS), default=1000, help="KEKs of a turn (%(default)s)")
    options = parser.parse_args(arguments)
    found = report(options.keks, measured(options.keks, options.rounds))
    written(found, table(found), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
