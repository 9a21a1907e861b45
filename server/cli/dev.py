"""keystead dev: a development set-up on one machine. Nothing of it belongs into production."""

import fcntl
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from server.cli.connection import fail
from server.cli.dev_pki import DevelopmentCa
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
    """Make what is missing: a CA, the server's certificate, a policy without grants, and the settings."""
    DevelopmentCa(folder / "pki").ensure()
    policy, settings = folder / "policy.toml", folder / "keystead.toml"
    if not policy.exists():
        policy.write_text(_POLICY)
    if not settings.exists():
        settings.write_text(
            _SETTINGS.format(address=_toml(address), database=_toml(database), module=_toml(str(module)))
        )


@app.command()
def env(
    who: Annotated[str, typer.Option("--as", help="operator, admin:ORGANIZATION or service:ORGANIZATION.")],
    folder: Folder = _FOLDER,
) -> None:
    """Print shell assignments that make any client this caller: eval "$(keystead dev env --as operator)"."""
    match = _WHO.fullmatch(who)
    if match is None:
        fail("--as must be operator, admin:ORGANIZATION or service:ORGANIZATION.", 2)
    settings = folder / "keystead.toml"
    if not settings.exists():
        fail(f"{settings} is missing. Run scripts/run first, or give --folder.", 2)
    _, kind, organization = match.groups()
    role = _ROLES[kind] if kind else "operator"
    identity = "/".join(part for part in (_TRUST_DOMAIN, role, organization) if part)
    with _locked(folder):
        name = "-".join(part for part in (role, organization) if part)
        certificate, key = DevelopmentCa(folder / "pki").issue_client(name, identity)
        _grant(folder / "policy.toml", identity, role, organization)
    address = tomllib.loads(settings.read_text())["server"]["address"]
    for variable, value in (
        ("KEYSTEAD_ADDRESS", address),
        ("KEYSTEAD_CA", (folder / "pki" / "ca.pem").resolve()),
        ("KEYSTEAD_CERT", certificate.resolve()),
        ("KEYSTEAD_KEY", key.resolve()),
    ):
        say(f"{variable}={shlex.quote(str(value))}")
    say("export KEYSTEAD_ADDRESS KEYSTEAD_CA KEYSTEAD_CERT KEYSTEAD_KEY")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "dev.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _grant(policy: Path, identity: str, role: str, organization: str | None) -> None:
    text = policy.read_text()
    grants = tomllib.loads(text).get("grants", [])
    if any(grant["identity"] == identity for grant in grants):
        return
    organizations = f"organizations = [{_toml(organization)}]\n" if organization else ""
    new = policy.with_name(".policy.toml.new")
    new.write_text(f"{text}\n[[grants]]\nidentity = {_toml(identity)}\nrole = {_toml(role)}\n{organizations}")
    new.replace(policy)


def _toml(text: str) -> str:
    """Return a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
