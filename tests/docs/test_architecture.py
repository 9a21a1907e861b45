"""docs/architecture.md tells the rooms and which way imports point."""

import ast
from pathlib import Path
from types import SimpleNamespace

from server.steward.chores import chores
from server.use_cases import Limits
from tests.docs.pages import ROOT, page, table, words
from tests.support.factories import NOW

ARCHITECTURE = page("docs/architecture.md")
OURS = {"server", "hsm_adapter", "keystead"}


def room_of(module: str) -> str:
    """The room that an import of our own leads to."""
    top, *rest = module.split(".")
    if top == "keystead":
        return f"proto/keystead/{rest[0]}/"
    return f"{top}/" if top == "hsm_adapter" or not rest else f"{top}/{rest[0]}/"


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {it.name for it in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {room_of(module) for module in found if module.split(".")[0] in OURS}


def test_every_room_imports_only_what_is_told():
    told = imports_told()
    for room, rooms in told.items():
        found = {it for file in (ROOT / room).rglob("*.py") for it in imported(file)} - {room}
        assert found == rooms, room


def imports_told() -> dict[str, set[str]]:
    return {words(room)[0]: set(words(rest)) for room, rest in table(ARCHITECTURE, "Which way imports point", "room")}


def test_every_room_is_told():
    rooms = {f"server/{it.name}/" for it in (ROOT / "server").iterdir() if (it / "__init__.py").exists()}
    described = {words(room)[0] for room, _ in table(ARCHITECTURE, "The house", "room")}
    assert described == rooms | {"proto/keystead/v1/", "proto/keystead/client/", "hsm_adapter/"}
    assert set(imports_told()) == described - {"proto/keystead/v1/"}
    beside = {it.name for it in (ROOT / "server").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert beside == {
        word.removeprefix("server/")
        for word in words(ARCHITECTURE.read_text())
        if word.startswith("server/") and word.count("/") == 1 and word.endswith(".py")
    }


def test_every_chore_of_the_steward_is_told_in_its_order():
    clocks = SimpleNamespace(clock=lambda: NOW, monotonic=lambda: 0.0, limits=Limits())
    done = chores(clocks, SimpleNamespace(), SimpleNamespace())
    assert [words(chore)[0] for chore, _ in table(ARCHITECTURE, "Processes and threads", "chore")] == list(done)
