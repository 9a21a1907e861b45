"""The command line's tree."""

import typer

from server.cli import content_keys, dev, health, keks, main_keys, organizations, rotations, wrapping_keys

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Bring-your-own-key management on an HSM. Exit status: 1 refused, 2 wrong usage, 75 try again later.",
)
app.command()(health.health)
app.add_typer(organizations.app, name="organizations")
app.add_typer(wrapping_keys.app, name="wrapping-keys")
app.add_typer(main_keys.app, name="main-keys")
app.add_typer(keks.app, name="keks")
app.add_typer(content_keys.app, name="content-keys")
app.add_typer(rotations.app, name="rotations")
app.add_typer(dev.app, name="dev")
