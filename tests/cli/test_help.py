"""The help texts: every command has one, whole and readable."""

import re

import pytest
import typer

from server import commands
from server.cli import app

pytestmark = pytest.mark.slow

commands.add_to(app)


def _commands(group=None, words=()):
    """Return every command that people are shown, with the words that lead to it."""
    group = group or typer.main.get_command(app)
    found = []
    for name, command in group.commands.items():
        if command.hidden:
            continue
        found += _commands(command, (*words, name)) if hasattr(command, "commands") else [((*words, name), command)]
    return found


COMMANDS = _commands()


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_a_command_says_in_one_line_what_it_does_and_what_each_word_means(words, command):
    assert command.help
    assert re.fullmatch(r"[A-Z].*[a-z.)]\.?", command.help.splitlines()[0])
    assert not command.get_short_help_str(60).endswith("...")
    for parameter in command.params:
        assert parameter.help, f"{' '.join(words)}: {parameter.name} is not told"


def test_no_command_takes_a_key_but_in_a_file():
    by_name = {"main_key", "wrapping_key"}
    for words, command in COMMANDS:
        shown = command.get_help(typer.Context(command))
        for parameter in command.params:
            is_yes_or_no = getattr(parameter, "is_flag", False)
            if "key" in parameter.name and parameter.name not in by_name and not is_yes_or_no:
                assert f"{parameter.name.upper()} <path>" in shown or f"{parameter.opts[0]} <path>" in shown, words


def test_the_first_help_tells_the_exit_statuses(nobody):
    told = nobody.says("--help")
    assert "75  no answer, or not now: try again later" in told
    assert "..." not in told.replace("COMMAND [ARGS]...", "")
    assert "worker" not in told


def test_help_needs_neither_a_service_nor_an_identity(nobody):
    assert "Usage: " in nobody.says("content-keys", "generate", "--help")


@pytest.mark.parametrize("words", [(), ("main-keys",)])
def test_a_word_too_few_is_wrong_usage_with_the_help(nobody, words):
    assert "Commands:" in nobody.is_told(*words, status=2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("main-keys", "destroy"), "No such command 'destroy'."),
        (("keks", "get", "acme"), "Missing argument 'KEK'."),
        (("wrapping-keys", "download", "acme", "--bits", "2048"), "Invalid value for '--bits'"),
        (("content-keys", "generate", "acme", "k", "--size", "15"), "Invalid value for '--size'"),
        (("main-keys", "import", "acme", "f", "--activate", "soon"), "Invalid value for '--activate'"),
    ],
)
def test_wrong_usage_is_told_with_the_way_to_help(nobody, words, told):
    error = nobody.is_told(*words, status=2)
    assert told in error
    assert "--help' for help." in error
