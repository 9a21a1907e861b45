"""keystead main-keys."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from keystead.v1 import main_key_service_pb2 as messages
from keystead.v1.main_key_service_pb2_grpc import MainKeyServiceStub

from server.cli import files, main_key_maker
from server.cli.connection import TIMEOUT, connected, fail
from server.cli.names import Organization, child_name, organization_name
from server.cli.output import AsJson, plain, print_json, say, show, show_page
from server.cli.pages import all_of

app = typer.Typer(no_args_is_help=True, help="The keys that an organization brings.")

MainKeyId = Annotated[str, typer.Argument(help="The main key's id or name.", show_default=False)]

_COLUMNS = ("name", "origin", "state", "kek_count", "fingerprint", "create_time", "purge_time", "next_moves")


class When(StrEnum):
    """When a main key is to be used."""

    NOW = "now"
    LATER = "later"


@app.command()
def prepare(
    public_key: Annotated[Path, typer.Option(help="The wrapping key, as downloaded.")] = Path("public.pem"),
    out: Annotated[Path, typer.Option(help="The new main key. Keep it safe: it is your backup.")] = Path(
        "main_key.bin"
    ),
    encrypted_out: Annotated[Path, typer.Option(help="The same, encrypted: upload this.")] = Path(
        "main_key_encrypted.bin"
    ),
    as_json: AsJson = False,
) -> None:
    """Make a main key on this machine and encrypt it, without OpenSSL. Nothing is sent anywhere."""
    files.demand_new(out, encrypted_out)
    made = main_key_maker.make(files.read(public_key))
    if made is None:
        fail(f"{public_key} is not the PEM of an RSA public key. Get one with: keystead wrapping-keys download", 2)
    files.write_new(out, made.value, files.SECRET)
    files.write_new(encrypted_out, made.encrypted, files.PUBLIC)
    if as_json:
        print_json({"main_key": str(out), "encrypted_key": str(encrypted_out), "fingerprint": made.fingerprint.hex()})
        return
    say(f"{out}: your main key. Keep it safe, and apart from Keystead: it is the only backup.")
    say(f"{encrypted_out}: upload it with: keystead main-keys import ORGANIZATION {encrypted_out}")
    say(f"fingerprint: {made.fingerprint.hex()}")


@app.command("import")
def import_key(
    organization: Organization,
    encrypted_key: Annotated[Path, typer.Argument(help="The encrypted main key.", show_default=False)],
    activate: Annotated[When, typer.Option(help="Use it now, or let it wait for `activate`.")] = When.LATER,
    wrapping_key: Annotated[
        str, typer.Option(help="Id or name of the wrapping key; default: the organization's present one.")
    ] = "",
    expected_fingerprint: Annotated[str, typer.Option(help="Refuse a key of another fingerprint (hex).")] = "",
    as_json: AsJson = False,
) -> None:
    """Bring a main key: the HSM decrypts it inside the token."""
    encrypted = files.read(encrypted_key)
    try:
        fingerprint = bytes.fromhex(expected_fingerprint)
    except ValueError:
        fail("--expected-fingerprint must be 64 hexadecimal digits.", 2)
    parent = organization_name(organization)
    with connected(as_json=as_json) as channel:
        stub = MainKeyServiceStub(channel)
        if wrapping_key:
            wrapping_key = child_name(organization, "wrappingKeys", wrapping_key)
        else:
            wrapping_key = stub.GetWrappingKey(messages.GetWrappingKeyRequest(parent=parent), timeout=TIMEOUT).name
        answer = stub.ImportMainKey(
            messages.ImportMainKeyRequest(
                parent=parent,
                wrapping_key=wrapping_key,
                encrypted_key=encrypted,
                activation=messages.NOW if activate is When.NOW else messages.LATER,
                expected_fingerprint=fingerprint,
            ),
            timeout=TIMEOUT,
        )
    if as_json:
        print_json(plain(answer))
        return
    show(answer.main_key, as_json=False)
    say(f"\nActive main key: {answer.active_main_key}")


@app.command("list")
def list_all(
    organization: Organization,
    show_removed: Annotated[bool, typer.Option("--all", help="Also those that are REMOVED.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the organization's main keys, newest first."""
    parent = organization_name(organization)
    with connected(as_json=as_json) as channel:
        stub = MainKeyServiceStub(channel)
        found = all_of(
            lambda token: stub.ListMainKeys(
                messages.ListMainKeysRequest(
                    parent=parent, page_size=1000, page_token=token, show_removed=show_removed
                ),
                timeout=TIMEOUT,
            ),
            "main_keys",
        )
    show_page("main_keys", found, _COLUMNS, as_json=as_json)


@app.command()
def get(organization: Organization, main_key: MainKeyId, as_json: AsJson = False) -> None:
    """Show one main key."""
    request = messages.GetMainKeyRequest(name=child_name(organization, "mainKeys", main_key))
    with connected(as_json=as_json) as channel:
        answer = MainKeyServiceStub(channel).GetMainKey(request, timeout=TIMEOUT)
    show(answer, as_json=as_json)


@app.command()
def activate(organization: Organization, main_key: MainKeyId, as_json: AsJson = False) -> None:
    """Put a PENDING main key in charge; the one before it rotates out."""
    request = messages.ActivateMainKeyRequest(name=child_name(organization, "mainKeys", main_key))
    with connected(as_json=as_json) as channel:
        answer = MainKeyServiceStub(channel).ActivateMainKey(request, timeout=TIMEOUT)
    show(answer, as_json=as_json)
