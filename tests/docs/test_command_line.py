"""The command line is told as it is."""

from collections.abc import Iterator

import pytest

from tests.docs.commands import TREE
from tests.docs.pages import PAGES, name, page, prose, table, words

WITHOUT_SERVICE = {"serve", "migrate", "dev init", "dev env"}


def below(command) -> dict:
    return {key: it for key, it in getattr(command, "commands", {}).items() if not it.hidden}


def leaves(command, path: str = "") -> Iterator[tuple[str, object]]:
    if not below(command):
        yield path, command
    for key, it in below(command).items():
        yield from leaves(it, f"{path} {key}".strip())


def options(command) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def test_the_readme_lists_every_command():
    rows = table(page("README.md"), "The command line", "command")
    told = {words(first)[0]: set(words(second)) for first, second, _ in rows}
    assert told == {key: set(below(it)) for key, it in below(TREE).items()}
    assert all(meaning for *_, meaning in rows)


def test_every_command_of_a_client_takes_json():
    without = {path for path, command in leaves(TREE) if "--json" not in options(command)}
    assert without == WITHOUT_SERVICE


@pytest.mark.parametrize("of", PAGES, ids=name)
def test_every_command_that_is_named_exists(of):
    for text in words(prose(of)):
        first, *rest = text.split()
        if first != "keystead" or not rest or rest[0] == "COMMAND":
            continue
        command = TREE
        while rest and rest[0] in below(command):
            command = below(command)[rest.pop(0)]
        assert command is not TREE, text
        assert {word for word in rest if word.startswith("--")} <= options(command), text


def test_the_exit_statuses_are_those_of_the_help():
    _, _, told = (TREE.help or "").partition("Exit status:\n")
    helped = [line.strip().split(maxsplit=1) for line in told.splitlines()]
    assert table(page("README.md"), "The command line", "exit status") == helped
