"""The tree of commands, as `keystead` has it: built once, since commands.add_to adds at each call."""

import typer
from typer.main import get_command

from server import cli, commands


def _whole() -> typer.Typer:
    # A tree of our own: other tests, too, add the operator's commands to the command line's.
    whole = typer.Typer(help=cli.app.info.help)
    whole.registered_commands = list(cli.app.registered_commands)
    whole.registered_groups = list(cli.app.registered_groups)
    commands.add_to(whole)
    return whole


TREE = get_command(_whole())
