"""keystead dev: a development set-up on one machine. Nothing of it belongs into production."""

import fcntl
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from server.cli.dev_pki import DevelopmentCa, write_whole
from server.cli.failures import fail
from server.cli.output import say

app = typer.Typer(no_args_is_help=True, help="A development set-up on this machine.")

Folder = Annotated[
    Path, typer.Option(envvar="KEYSTEAD_DEV_FOLDER", help="Where the development set-up is.", show_default=True)
]
_FOLDER = Path(".keystead")
_TRUST_DOMAIN = "spiffe://keystead.dev"
_WHO = re.compile(r"(operator)|(?:(admin|service):([a-z][a-z0-9-]{1,61}[a-z0-9]))")
_ROLES = {"admin": "administrator", "service": "service"}

_SETTINGS = """\
# The settings of a development set-up, made by `keystead dev init`. docs/hsm.md tells how to use another token.

[server]
address = {address}
workers = 2

[tls]
certificate = "pki/server.pem"
key = "pki/server.key"
client_ca = "pki/ca.pem"

[policy]
file = "policy.toml"

[database]
url = {database}

[hsm]
module = {module}
token_label = "keystead"
pin_file = "token/pin"
profile = "softhsm"
softhsm2_conf = "token/softhsm2.conf"
"""
_POLICY = "# Who may do what. Made by `keystead dev`; read again whenever it changes.\n"


@app.command()
def init(
    module: Annotated[Path, typer.Option(help="The PKCS#11 library of SoftHSM2.")],
    folder: Folder = _FOLDER,
    address: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1:7443",
    database: Annotated[str, typer.Option(help="Where to keep rows.")] = "sqlite:///keystead.db",
) -> None:
    """Make what is missing of a development set-up.

    A CA, the server's certificate, a policy without grants, and the settings.
    """
    policy, settings = folder / "policy.toml", folder / "keystead.toml"
    with _changing(folder):
        DevelopmentCa(folder / "pki").ensure()
        if not policy.exists():
            write_whole(policy, _POLICY.encode(), 0o644)
        if not settings.exists():
            text = _SETTINGS.format(address=_toml(address), database=_toml(database), module=_toml(str(module)))
            write_whole(settings, text.encode(), 0o644)


@app.command()
def env(
    who: Annotated[str, typer.Option("--as", help="operator, admin:ORGANIZATION or service:ORGANIZATION.")],
    folder: Folder = _FOLDER,
) -> None:
    """Print shell assignments that make any client this caller.

    Use: eval "$(keystead dev env --as operator)"
    """
    match = _WHO.fullmatch(who)
    if match is None:
        fail(
            f"--as {who}: it must be operator, admin:ORGANIZATION or service:ORGANIZATION; "
            "an organization's id is 3 to 63 of a-z, 0-9 and hyphens, from a letter to a letter or digit."
        )
    settings = folder / "keystead.toml"
    if not settings.exists():
        fail(f"{settings} is missing. Run scripts/run first, or give --folder.")
    _, kind, organization = match.groups()
    role = _ROLES[kind] if kind else "operator"
    identity = "/".join(part for part in (_TRUST_DOMAIN, role, organization) if part)
    with _changing(folder):
        name = "-".join(part for part in (role, organization) if part)
        certificate, key = DevelopmentCa(folder / "pki").issue_client(name, identity)
        _grant(folder / "policy.toml", identity, role, organization)
        address = _read(settings)["server"]["address"]
    for variable, value in (
        ("KEYSTEAD_ADDRESS", address),
        ("KEYSTEAD_CA", (folder / "pki" / "ca.pem").resolve()),
        ("KEYSTEAD_CERT", certificate.resolve()),
        ("KEYSTEAD_KEY", key.resolve()),
    ):
        say(f"{variable}={shlex.quote(str(value))}")
    say("export KEYSTEAD_ADDRESS KEYSTEAD_CA KEYSTEAD_CERT KEYSTEAD_KEY")


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Have the folder for oneself during a block, in which what is wrong with its files ends the program."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "dev.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror}.")
    except (ValueError, KeyError, TypeError) as error:
        fail(f"The development set-up in {folder} is damaged: {error}. Mend it, or make another with --folder.")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _grant(policy: Path, identity: str, role: str, organization: str | None) -> None:
    if any(grant["identity"] == identity for grant in _read(policy).get("grants", [])):
        return
    organizations = f"organizations = [{_toml(organization)}]\n" if organization else ""
    new = f"\n[[grants]]\nidentity = {_toml(identity)}\nrole = {_toml(role)}\n{organizations}"
    write_whole(policy, (policy.read_text() + new).encode(), 0o644)


def _toml(text: str) -> str:
    """Return a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
