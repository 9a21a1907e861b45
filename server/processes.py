"""The processes of the service, each with its faults told in one line and an exit status that says what helps.

Apart from commands.py, so that a client's command does not have to load the server.
"""

import faulthandler
import gc
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from getpass import getpass
from pathlib import Path
from typing import NoReturn

import typer

from hsm_adapter import (
    CapabilityReport,
    Check,
    HsmAuthenticationError,
    HsmError,
    HsmPolicyError,
    ObjectMissingError,
    PinFile,
)
from server import bootstrap
from server.bootstrap import UnfitTokenError
from server.domain.errors import KeysteadError, MalformedNameError, ResourceNotFoundError
from server.domain.ids import MainKeyName
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
from server.use_cases.trust_main_key import WrongKeyError

_OPERATOR_MUST_ACT = (
    HsmAuthenticationError,
    ListenError,
    PolicyError,
    SettingsError,
    TracingError,
    UnfitTokenError,
    WrongKeyError,
    WrongTokenError,
    OSError,
    ValueError,
)


_NOT_FOR_LATER = (HsmPolicyError, MalformedNameError, ObjectMissingError, ResourceNotFoundError)
"""What else no waiting mends, when somebody has named a key."""
REFUSED = 1
"""The answer is no; the exit status of a command that looked and did nothing."""


def _fail(error: Exception, status: int) -> NoReturn:
    """End with one line that says what is wrong."""
    sys.stderr.write(f"keystead: {error}\n")
    raise typer.Exit(status) from error


@contextmanager
def _faults_told(*more: type[Exception]) -> Iterator[None]:
    """Tell the faults of a block; those that no waiting mends, and `more`, with a status of their own."""
    try:
        yield
    except _OPERATOR_MUST_ACT as error:
        _fail(error, EX_CONFIG)
    except more as error:
        _fail(error, EX_CONFIG)
    except (HsmError, KeysteadError) as error:
        _fail(error, EX_TEMPFAIL)


def _child(name: str, config: Path, run: Callable[[Settings], None]) -> None:
    gc.freeze()  # Everything is loaded: see __main__.py.
    gc.enable()
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


def trust(
    config: Path,
    organization: str | None,
    main_key: str | None,
    so_pin_file: Path | None,
    fingerprint: str | None,
    *,
    as_json: bool,
) -> None:
    """Have the token's security officer mark a main key, the common key by default, after a look at its fingerprint."""
    keep_memory_private()
    with _faults_told(*_NOT_FOR_LATER), bootstrap.opened_for_officer(load_settings(config)) as officer:
        named = organization and MainKeyName.parse(f"organizations/{organization}/mainKeys/{main_key}")
        key = officer.look(named or None)
        name, found = str(named or "the common key"), key.fingerprint.hex()
        if fingerprint is None:
            sys.stderr.write(f"In the token, {name} has the fingerprint\n  {found}\n")
            if not typer.confirm("Has its owner told you the same?", err=True):
                _fail(WrongKeyError("Nothing was marked."), REFUSED)
        elif fingerprint.lower() != found:
            _fail(WrongKeyError(f"Nothing was marked: the key in the token has the fingerprint {found}."), REFUSED)
        if not key.is_trusted:
            officer.mark(key, PinFile(so_pin_file).pin if so_pin_file else _asked_pin)
    if as_json:
        report = {"main_key": name, "fingerprint": found, "was_trusted": key.is_trusted, "trusted": True}
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        was = "was marked as trusted before" if key.is_trusted else "is marked as trusted now"
        sys.stdout.write(f"{name} {was}: it may wrap KEKs.\n")


@contextmanager
def _asked_pin() -> Iterator[bytearray]:
    """Ask for the security officer's PIN at the terminal."""
    pin = bytearray(getpass("PIN of the security officer: ").encode())
    try:
        yield pin
    finally:
        pin[:] = bytes(len(pin))


_LIMITS = {
    "flags": "who steals the PIN can still take KEKs out of the token.",
    "trusted": "KEKs are wrapped under main keys alone that the security officer has marked.",
}
"""What a trust mode means, in a line."""


def _line(check: Check) -> str:
    return f"  {'FAIL' if check.fault else 'ok  '} {check.name}" + f": {check.fault}" * bool(check.fault)


def _print(report: CapabilityReport) -> None:
    token = report.token
    kind = "a software token: nothing is attested" if report.is_software else "as the profile says, hardware"
    lines = [f"{token.label} · {token.manufacturer} {token.model} {token.firmware} · {kind}"]
    lines += [_line(it) for it in report.checks]
    lines.append("For the trust mode trusted:")
    lines += [_line(it) for it in report.trust_checks]
    if report.signature_algorithm:
        lines.append(f"Audit keys sign with {report.signature_algorithm.value}.")
    lines.append(f"Trust mode {report.trust_mode}: {_LIMITS[report.trust_mode]}")
    lines.append("The service can run on it." if report.ok else "The service cannot run on it.")
    for line in lines:
        # The token's own words may not steer the terminal.
        sys.stdout.write("".join(it if it.isprintable() else ascii(it)[1:-1] for it in line) + "\n")
