"""The operator's commands: those that run on the machine of the service, with its settings."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from hsm_adapter import CapabilityReport, HsmAuthenticationError, HsmError
from server import bootstrap
from server.bootstrap import UnfitTokenError
from server.domain.errors import KeysteadError
from server.grpc_api.policy import PolicyError
from server.grpc_api.server import ListenError
from server.observability import logging
from server.settings import Settings, SettingsError, load_settings
from server.storage import migrate as migrate_database
from server.supervisor import EX_CONFIG, EX_TEMPFAIL, AddressInUseError, die_with_supervisor, supervise
from server.use_cases.common_key import WrongTokenError

DEFAULT_CONFIG = Path("keystead.toml")

Config = Annotated[Path, typer.Option("--config", help="The settings file.", envvar="KEYSTEAD_CONFIG")]

_OPERATOR_MUST_ACT = (
    AddressInUseError,
    HsmAuthenticationError,
    ListenError,
    PolicyError,
    SettingsError,
    UnfitTokenError,
    WrongTokenError,
)


def _fail(error: Exception, status: int) -> NoReturn:
    sys.stderr.write(f"keystead: {error}\n")
    raise typer.Exit(status) from error


@contextmanager
def _faults_told() -> Iterator[None]:
    try:
        yield
    except _OPERATOR_MUST_ACT as error:
        _fail(error, EX_CONFIG)
    except (HsmError, KeysteadError) as error:
        _fail(error, EX_TEMPFAIL)
    except (OSError, ValueError) as error:
        _fail(error, EX_CONFIG)


def _stopping() -> threading.Event:
    """Return what SIGTERM and SIGINT set."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _child(name: str, config: Path, run: Callable[[Settings, threading.Event], None]) -> None:
    stopping = _stopping()
    die_with_supervisor()
    logging.configure(name)
    with _faults_told():
        run(load_settings(config), stopping)


def serve(
    config: Config = DEFAULT_CONFIG,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes; default: as in the settings.")] = None,
) -> None:
    """Run the service on this machine until it is told to stop."""
    stopping = _stopping()
    logging.configure("supervisor")
    with _faults_told():
        settings = load_settings(config)
        if workers is not None:
            server = settings.server.model_copy(update={"workers": workers})
            settings = settings.model_copy(update={"server": server})
        status = supervise(settings, config.resolve(), stopping)
    raise typer.Exit(status)


def prepare(config: Config = DEFAULT_CONFIG) -> None:
    """Make ready what the processes need (the supervisor does this)."""
    _child("prepare", config, lambda settings, _: bootstrap.prepare(settings))


def worker(config: Config = DEFAULT_CONFIG) -> None:
    """Run one process that answers callers (the supervisor does this)."""
    _child("worker", config, bootstrap.run_worker)


def steward(config: Config = DEFAULT_CONFIG) -> None:
    """Run the process that rotates and tidies up (the supervisor does this)."""
    _child("steward", config, bootstrap.run_steward)


def migrate(config: Config = DEFAULT_CONFIG) -> None:
    """Bring the database's schema up to date."""
    with _faults_told():
        migrate_database(load_settings(config).database.url.get_secret_value())


def probe(
    config: Config = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Try out the token: known answers, and attacks that must fail."""
    with _faults_told():
        report = bootstrap.probe(load_settings(config))
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n")
    else:
        _print(report)
    raise typer.Exit(0 if report.ok else 1)


def _print(report: CapabilityReport) -> None:
    out = Console(highlight=False, soft_wrap=True)
    token = report.token
    kind = "a software token: nothing is attested" if report.is_software else "as the profile says, hardware"
    out.print(f"{escape(token.label)} · {escape(token.manufacturer)} {escape(token.model)} {token.firmware} · {kind}")
    for check in report.checks:
        mark = "[green]ok[/]  " if check.fault is None else "[red]FAIL[/]"
        out.print(f"  {mark} {escape(check.name)}" + (f": {escape(check.fault)}" if check.fault else ""))
    out.print(f"Trust mode {report.trust_mode}: who steals the PIN can still take KEKs out of the token.")
    out.print("The service can run on it." if report.ok else "[red]The service cannot run on it.[/]")


hsm = typer.Typer(no_args_is_help=True, help="Look at the token.")
hsm.command("probe")(probe)


def add_to(app: typer.Typer) -> None:
    """Add the operator's commands to the command line."""
    app.command()(serve)
    app.command()(migrate)
    app.add_typer(hsm, name="hsm")
    for hidden in (prepare, worker, steward):
        app.command(hidden=True)(hidden)
