"""The operator's commands: those that run on the machine of the service, with its settings.

What they run is imported when they run: a client's command does not wait for the server to be loaded.
"""

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("keystead.toml")

Config = Annotated[Path, typer.Option("--config", help="The settings file.", envvar="KEYSTEAD_CONFIG")]


def serve(
    config: Config = DEFAULT_CONFIG,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes; default: as in the settings.")] = None,
) -> None:
    """Run the service on this machine until it is told to stop."""
    # Lighter than processes.py: the supervisor itself opens neither token nor database.
    from server.observability import logging
    from server.observability.metrics import MetricsError, watching
    from server.observability.samples import of_this_process
    from server.private_memory import keep_memory_private
    from server.settings import SettingsError, load_settings
    from server.stop_signal import stop_signal
    from server.supervisor import EX_CONFIG, AddressInUseError, supervise

    gc.freeze()  # Everything is loaded: see __main__.py.
    gc.enable()
    stopping = stop_signal()
    keep_memory_private()  # It holds no key, but the settings with the database's password.
    logging.configure("supervisor")
    try:
        settings = load_settings(config)
        if workers is not None:
            server = settings.server.model_copy(update={"workers": workers})
            settings = settings.model_copy(update={"server": server})
        with watching(settings.metrics.address, (of_this_process, logging.log_events.samples)) as watch:
            status = supervise(settings, config.resolve(), stopping, watch)
    except (AddressInUseError, MetricsError, SettingsError) as error:
        sys.stderr.write(f"keystead: {error}\n")
        raise typer.Exit(EX_CONFIG) from error
    raise typer.Exit(status)


def prepare(config: Config = DEFAULT_CONFIG) -> None:
    """Make ready what the processes need (the supervisor does this)."""
    from server import processes

    processes.prepare(config)


def worker(config: Config = DEFAULT_CONFIG) -> None:
    """Run one process that answers callers (the supervisor does this)."""
    from server import processes

    processes.worker(config)


def steward(config: Config = DEFAULT_CONFIG) -> None:
    """Run the process that rotates and tidies up (the supervisor does this)."""
    from server import processes

    processes.steward(config)


def migrate(config: Config = DEFAULT_CONFIG) -> None:
    """Bring the database's schema up to date."""
    from server import processes

    processes.migrate(config)


def probe(
    config: Config = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Try out what the token can do.

    Known answers, and attacks that must fail. Exit status 0 only if the service can run on it.
    """
    from server import processes

    processes.probe(config, as_json=as_json)


def reconcile(
    config: Config = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the token with the database; destroy nothing.

    Main keys whose object is missing are told, and keys of the token that no row knows.
    """
    from server import processes

    processes.reconcile(config, as_json=as_json)


def trust(
    config: Config = DEFAULT_CONFIG,
    *,
    organization: Annotated[str | None, typer.Option(help="Whose main key it is.")] = None,
    main_key: Annotated[str | None, typer.Option(help="The main key's id.")] = None,
    common_key: Annotated[bool, typer.Option("--common-key", help="The common key of the service.")] = False,
    so_pin_file: Annotated[
        Path | None, typer.Option(help="A file of mode 0600 with the officer's PIN; without it, it is asked for.")
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option(help="What the key's owner told, in hexadecimal; without it, you are asked.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; needs --fingerprint.")] = False,
) -> None:
    """Have the HSM's security officer mark a main key as trusted.

    In the trust mode trusted, a main key wraps KEKs only then. Compare its fingerprint with the one that the key's
    owner tells you by another way: who knows the value of a key that is marked can read KEKs.
    """
    if common_key == bool(organization and main_key) or bool(organization) != bool(main_key):
        raise typer.BadParameter("name a main key by --organization and --main-key, or give --common-key")
    if fingerprint is None and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter("nobody can be asked: give --fingerprint")
    if so_pin_file is None and not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked: give --so-pin-file")
    from server import processes

    processes.trust(config, organization, main_key, so_pin_file, fingerprint, as_json=as_json)


hsm = typer.Typer(no_args_is_help=True, help="Look at the token; have its officer mark main keys.")
hsm.command("probe")(probe)
hsm.command("reconcile")(reconcile)
hsm.command("trust")(trust)


def add_to(app: typer.Typer) -> None:
    """Add the operator's commands to the command line."""
    app.command()(serve)
    app.command()(migrate)
    app.add_typer(hsm, name="hsm")
    for hidden in (prepare, worker, steward):
        app.command(hidden=True)(hidden)


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
"""The operator's commands alone, without the client's."""
add_to(app)
