"""How fast one steward re-wraps KEKs, as a ratio to a plain loop over the same token: scripts/bench rotation."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.contest import Turn, contender
from tests.bench.options import between, parser_of, written
from tests.bench.plain import plain
from tests.bench.product import LIMITS, Task, product

TARGET = 0.7
MOST_KEKS = 100_000


@dataclass(frozen=True)
class Round:
    """A turn of the product, and one of the measure."""

    product: Turn
    plain: Turn

    @property
    def ratio(self) -> float:
        return self.plain.wall / self.product.wall


def measured(keks: int, rounds: int) -> list[Round]:
    with (
        tempfile.TemporaryDirectory(prefix="keystead-bench-") as folder,
        contender(product, Task(Path(folder), keks)) as ours,
        contender(plain, ours.told) as theirs,
    ):
        theirs.turn()  # The product has had its first turn, which counts for neither.
        return [Round(ours.turn(), theirs.turn()) for _ in range(rounds)]


def _rate(keks: int, seconds: Sequence[float]) -> float:
    return keks / median(seconds)


def report(keks: int, rounds: Sequence[Round]) -> dict[str, Any]:
    """Return what was found; rates are KEKs in a second, and mean something only beside the other's."""

    def compared(ours: Callable[[Turn], float], theirs: Callable[[Turn], float]) -> dict[str, float]:
        rates = _rate(keks, [ours(it.product) for it in rounds]), _rate(keks, [theirs(it.plain) for it in rounds])
        return {"product_rate": rates[0], "plain_rate": rates[1], "ratio": rates[0] / rates[1]}

    whole = compared(lambda turn: turn.wall, lambda turn: turn.wall)
    return {
        "bench": "rotation",
        "keks": keks,
        "rewrap_batch": LIMITS.rewrap_batch,
        "target": TARGET,
        "ratio": whole["ratio"],
        "whole": whole,
        "token_part": compared(lambda turn: turn.within, lambda turn: turn.wall),
        "cpu": compared(lambda turn: turn.cpu, lambda turn: turn.cpu),
        "rounds": [
            {"product_seconds": it.product.wall, "plain_seconds": it.plain.wall, "ratio": it.ratio} for it in rounds
        ],
    }


def table(found: dict[str, Any]) -> str:
    lines = [
        f"{found['keks']} KEKs a turn, median of {len(found['rounds'])} turns each, taken alternately.",
        "",
        f"{'':38}{'KEKs/s':>10}{'plain':>10}{'ratio':>8}",
    ]
    for key, name in (
        ("whole", "rotation, with the database"),
        ("token_part", "its part in the token"),
        ("cpu", "rotation, for a second of CPU"),
    ):
        row = found[key]
        lines.append(f"{name:38}{row['product_rate']:10.0f}{row['plain_rate']:10.0f}{row['ratio']:8.2f}")
    each = " ".join(f"{it['ratio']:.2f}" for it in found["rounds"])
    reached = "reached" if found["ratio"] >= TARGET else "missed"
    return "\n".join([*lines, "", f"Ratio {found['ratio']:.2f} (each turn: {each}). Target {TARGET}: {reached}."])


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("rotation", __doc__, rounds=5)
    parser.add_argument("--keks", type=between(1, MOST_KEKS), default=5000, help="KEKs of a turn (%(default)s)")
    options = parser.parse_args(arguments)
    found = report(options.keks, measured(options.keks, options.rounds))
    written(found, table(found), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
