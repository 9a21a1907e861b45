"""The pages of the documentation, taken apart: blocks of code, tables, links and words in backticks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_WORD = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.*)$")

Row = list[str]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def page(relative: str) -> Path:
    return ROOT / relative


@dataclass(frozen=True)
class Block:
    """A block of code."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The name of the file that it is, by its first line; empty if it has none."""
        first = re.match(r"# ([\w.]+)", self.text)
        return first[1] if first else ""


def blocks(of: Path, language: str = "") -> list[Block]:
    found = [Block(*match.groups()) for match in _FENCE.finditer(of.read_text())]
    return [block for block in found if language in {"", block.language}]


def prose(of: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", of.read_text())


def links(of: Path) -> list[str]:
    return _LINK.findall(prose(of))


def words(text: str) -> list[str]:
    """What stands in backticks."""
    return _WORD.findall(text)


def anchors(of: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = (_HEADING.match(line) for line in prose(of).splitlines())
    return {re.sub(r"[^\w\- ]", "", it[1]).lower().replace(" ", "-") for it in headings if it}


def _cells(line: str) -> Row:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _tables(of: Path) -> Iterator[tuple[str, list[Row]]]:
    heading, rows = "", []
    for line in [*prose(of).splitlines(), ""]:
        if line.startswith("|"):
            rows.append(_cells(line))
        elif rows:
            yield heading, [rows[0], *rows[2:]]
            rows = []
        if match := _HEADING.match(line):
            heading = match[1]


def table(of: Path, heading: str, first: str) -> list[Row]:
    """The rows of the one table below a heading whose first column has this title."""
    (rows,) = [rows for below, rows in _tables(of) if below == heading and rows[0][0] == first]
    return rows[1:]
