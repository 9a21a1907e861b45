"""The processes of the service, each with its faults told in one line and an exit status that says what helps.

Apart from commands.py, so that a client's command does not have to load the server.
"""

import faulthandler
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer

from hsm_adapter import CapabilityReport, HsmAuthenticationError, HsmError
from server import bootstrap
from server.bootstrap import UnfitTokenError
from server.domain.errors import KeysteadError
from server.grpc_api.policy import PolicyError
from server.grpc_api.server import ListenError
from server.observability import logging
from server.observability.tracing import TracingError
from server.open_files import allow_open_files
from server.private_memory import keep_memory_private
from server.settings import Settings, SettingsError, load_settings
from server.stop_signal import stop_signal
from server.storage import migrate as migrate_database
from server.supervisor import EX_CONFIG, EX_TEMPFAIL, await_release, die_with_supervisor, process_name
from server.use_cases.common_key import WrongTokenError

_OPERATOR_MUST_ACT = (
    HsmAuthenticationError,
    ListenError,
    PolicyError,
    SettingsError,
    TracingError,
    UnfitTokenError,
    WrongTokenError,
    OSError,
    ValueError,
)


def _fail(error: Exception, status: int) -> NoReturn:
    """End with one line that says what is wrong."""
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


def _child(name: str, config: Path, run: Callable[[Settings], None]) -> None:
    die_with_supervisor()
    keep_memory_private()
    allow_open_files()
    await_release()
    faulthandler.enable()  # If the token's library crashes, the log says in which call: names and places, no values.
    logging.configure(process_name(name))
    with _faults_told():
        run(load_settings(config))


def prepare(config: Path) -> None:
    """Make ready what the other processes need.

    SIGTERM ends it wherever it is, also in a call that hangs: what it does by halves is undone or finished later.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Of a terminal, which sends it to the supervisor too.
    _child("prepare", config, bootstrap.prepare)


def worker(config: Path) -> None:
    """Answer callers."""
    stopping = stop_signal()
    _child("worker", config, lambda settings: bootstrap.run_worker(settings, stopping))


def steward(config: Path) -> None:
    """Do what nobody waits for."""
    stopping = stop_signal()
    _child("steward", config, lambda settings: bootstrap.run_steward(settings, stopping))


def migrate(config: Path) -> None:
    """Bring the database's schema up to date."""
    with _faults_told():
        migrate_database(load_settings(config).database.url.get_secret_value())


def probe(config: Path, *, as_json: bool) -> None:
    """Print what the token can do."""
    keep_memory_private()
    with _faults_told():
        report = bootstrap.probe(load_settings(config))
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n")
    else:
        _print(report)
    raise typer.Exit(0 if report.ok else 1)


def reconcile(config: Path, *, as_json: bool) -> None:
    """Print what does not fit between token and database; exit status 1 if anything does not."""
    keep_memory_private()
    logging.silence()  # What would be logged is what is printed.
    with _faults_told():
        found = bootstrap.reconcile(load_settings(config))
    unknown = [{"role": role, "object_id": object_id} for role, object_id in found.unknown]
    missing = [str(name) for name in found.missing]
    damaged = [str(name) for name in found.damaged]
    if as_json:
        report = {
            "main_keys_checked": found.checked,
            "common_key_missing": found.common_key_is_missing,
            "main_keys_missing": missing,
            "states_damaged": damaged,
            "objects_unknown": unknown,
        }
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        sys.stdout.write(f"{found.checked} main keys looked for in the token, {found.missing_count} missing.\n")
        for name in ["the common key"] * found.common_key_is_missing + missing:
            sys.stdout.write(f"  missing: {name}. Restore the token from its backup; the row is kept.\n")
        sys.stdout.write(f"{len(damaged)} main keys with another state than the audit log tells.\n")
        for name in damaged:
            sys.stdout.write(f"  damaged: {name}. Restore the database; until then nothing is done with the key.\n")
        sys.stdout.write(f"{len(unknown)} keys in the token that no row knows.\n")
        for it in unknown:
            sys.stdout.write(
                f"  unknown: {it['role'] or 'not of Keystead'}, CKA_ID {it['object_id'] or 'empty'}. Kept.\n"
            )
    raise typer.Exit(1 if found.missing_count or damaged or unknown else 0)


def _print(report: CapabilityReport) -> None:
    token = report.token
    kind = "a software token: nothing is attested" if report.is_software else "as the profile says, hardware"
    lines = [f"{token.label} · {token.manufacturer} {token.model} {token.firmware} · {kind}"]
    lines += [
        f"  {'FAIL' if it.fault else 'ok  '} {it.name}" + f": {it.fault}" * bool(it.fault) for it in report.checks
    ]
    if report.signature_algorithm:
        lines.append(f"Audit keys sign with {report.signature_algorithm.value}.")
    lines.append(f"Trust mode {report.trust_mode}: who steals the PIN can still take KEKs out of the token.")
    lines.append("The service can run on it." if report.ok else "The service cannot run on it.")
    for line in lines:
        # The token's own words may not steer the terminal.
        sys.stdout.write("".join(it if it.isprintable() else ascii(it)[1:-1] for it in line) + "\n")
