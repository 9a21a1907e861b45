"""The diagrams of docs/lifecycle.md, made of the tables of moves themselves.

As a program, `python -m tests.docs.diagram` writes them into the page; a test compares the two.
"""

from collections.abc import Iterable, Iterator, Mapping

from server.domain.main_keys import COMMON_MOVES, MOVES, Action, Origin, State, next_state
from tests.docs.pages import Block, blocks, page
from tests.support.factories import main_key

PAGE = page("docs/lifecycle.md")

WORDS: Mapping[Action, str] = {
    Action.ACTIVATE: "ActivateMainKey",
    Action.REPLACE: "another key is put in charge",
    Action.DRAIN: "no KEK is left under it",
    Action.EXPIRE: "its lifetime ends",
    Action.REVOKE: "RevokeMainKey",
    Action.DELETE: "DeleteMainKey",
    Action.UNDELETE: "UndeleteMainKey",
    Action.PURGE: "30 days pass",
    Action.RECOVER: "the same key is imported again",
    Action.TAKE_OVER: "DisableByok",
}
"""What makes each move."""

Edge = tuple[str, str, str]
"""From, to, and what makes it."""

_BROUGHT: list[Edge] = [
    ("[*]", State.PENDING, "imported, to be activated later"),
    ("[*]", State.ACTIVE, "imported, to be activated now"),
]
_CREATED: list[Edge] = [("[*]", State.ACTIVE, "the organisation is created")]


def _edges(moves: Iterable[tuple[State, Action]], origin: Origin) -> Iterator[Edge]:
    """Yield what the table says, and for UNDELETE, which leads back, one edge for each state that a deletion leaves."""
    for state, action in moves:
        prior = [None]
        if state is State.DELETED:
            prior = [before for before, to in MOVES if to is Action.DELETE]
        targets = {
            next_state(main_key(state, origin=origin, prior_state=before), action, in_charge=True) for before in prior
        }
        for target in State:
            if target in targets:
                yield state, target, WORDS[action]


def _diagram(edges: Iterable[Edge]) -> str:
    return "".join(["stateDiagram-v2\n", *(f"    {start} --> {end} : {words}\n" for start, end, words in edges)])


OWN = _diagram([*_BROUGHT, *_edges(MOVES, Origin.UPLOADED)])
COMMON = _diagram([*_CREATED, *_edges(COMMON_MOVES, Origin.COMMON)])


def main() -> None:
    """Write both into the page, in place of those that it has."""
    text = PAGE.read_text()
    for old, new in zip(blocks(PAGE, "mermaid"), (OWN, COMMON), strict=True):
        text = text.replace(_fenced(old), _fenced(Block("mermaid", new)), 1)
    PAGE.write_text(text)


def _fenced(block: Block) -> str:
    return f"```{block.language}\n{block.text}```"


if __name__ == "__main__":
    main()
