"""What all benches can be told, and how they tell what they found."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.token import ROOT

MOST_ROUNDS = 50


def between(low: int, high: int) -> Callable[[str], int]:
    """Return what takes whole numbers within these limits: every bench is bounded."""

    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{low} to {high}")
        return value

    return number


def parser_of(name: str, description: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """Return what all benches take; `rounds` is how many turns a contest has by default."""
    parser = argparse.ArgumentParser(prog=f"scripts/bench {name}", description=description)
    if rounds is not None:
        parser.add_argument(
            "--rounds", type=between(1, MOST_ROUNDS), default=rounds, help="turns of each contender (%(default)s)"
        )
    parser.add_argument("--out", type=Path, default=ROOT / f".keystead/bench/{name}.json", help="where JSON goes")
    return parser


def written(found: dict[str, Any], table: str, out: Path) -> None:
    """Show what was found, and keep it as JSON."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write(f"{table}\nWritten to {out}\n")
