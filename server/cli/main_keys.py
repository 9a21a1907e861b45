"""keystead main-keys."""

import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from keystead.v1 import main_key_service_pb2 as messages
from keystead.v1.main_key_service_pb2_grpc import MainKeyServiceStub
from keystead.v1.resources_pb2 import MainKey

from server.cli import files, main_key_maker, main_key_moves
from server.cli.advice import words_of
from server.cli.changes import Etag, RequestId, Terms, carried_out
from server.cli.checksums import crc32c, tell_if_unverified
from server.cli.connection import TIMEOUT, connected
from server.cli.failures import fail
from server.cli.names import MainKeyId, Organization, child_name, organization_name
from server.cli.output import AsJson, plain, print_json, say, show, show_page
from server.cli.pages import all_of
from server.cli.reminders import remind_of_main_keys

app = typer.Typer(no_args_is_help=True, help="The keys that an organization brings.")

_COLUMNS = (
    "name",
    "origin",
    "state",
    "kek_count",
    "next_moves",
    "activate_time",
    "rotation_due_time",
    "purge_time",
    "fingerprint",
)


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
    """Make a main key on this machine and encrypt it.

    The same as with OpenSSL, without it. Nothing is sent anywhere.
    """
    made = main_key_maker.make(files.read(public_key))
    if made is None:
        fail(f"{public_key} is not the PEM of an RSA public key. Get one with: keystead wrapping-keys download")
    with files.new_files((out, files.SECRET), (encrypted_out, files.PUBLIC)) as new:
        new.write(out, made.value)
        new.write(encrypted_out, made.encrypted)
    if as_json:
        print_json({"main_key": str(out), "encrypted_key": str(encrypted_out), "fingerprint": made.fingerprint.hex()})
        return
    say(f"{out}: your main key. Keep it safe, and apart from Keystead: it is the only backup.")
    say(f"{encrypted_out}: upload it with: keystead main-keys import ORGANIZATION {shlex.quote(str(encrypted_out))}")
    say(f"fingerprint: {made.fingerprint.hex()}")


@app.command("import")
def import_key(
    organization: Organization,
    encrypted_key: Annotated[
        Path, typer.Argument(metavar="ENCRYPTED_KEY", help="The file of the encrypted main key.", show_default=False)
    ],
    activate: Annotated[When, typer.Option(help="Use it now, or let it wait for `activate`.")] = When.LATER,
    wrapping_key: Annotated[
        str | None,
        typer.Option(
            help="Id or name of the wrapping key it is encrypted under; default: the organization's present one."
        ),
    ] = None,
    expected_fingerprint: Annotated[
        str | None, typer.Option(help="Refuse a key of another fingerprint: 64 hexadecimal digits.")
    ] = None,
    request_id: RequestId = None,
    etag: Etag = None,
    as_json: AsJson = False,
) -> None:
    """Bring a main key: the HSM decrypts it inside the token.

    The etag, if any, is that of the organization.
    """
    encrypted = files.read_encrypted_key(encrypted_key)
    request = messages.ImportMainKeyRequest(
        parent=organization_name(organization),
        encrypted_key=encrypted,
        encrypted_key_crc32c=crc32c(encrypted),
        activation=messages.NOW if activate is When.NOW else messages.LATER,
        etag=etag or "",
    )
    if request_id is not None and wrapping_key is None:
        fail("--request-id needs --wrapping-key: a repeat must name the wrapping key of the first time.")
    if expected_fingerprint is not None:
        request.expected_fingerprint = _fingerprint(expected_fingerprint)
    if wrapping_key is not None:
        request.wrapping_key = child_name(organization, "wrappingKeys", wrapping_key)
    with connected(as_json=as_json) as channel:
        stub = MainKeyServiceStub(channel)
        if not request.wrapping_key:
            present = stub.GetWrappingKey(messages.GetWrappingKeyRequest(parent=request.parent), timeout=TIMEOUT)
            request.wrapping_key = present.name
        terms = Terms(request_id, etag, repeated_with=f"--wrapping-key {request.wrapping_key}")
        answer = carried_out(stub.ImportMainKey, request, terms)
    tell_if_unverified(verified=answer.verified_encrypted_key_crc32c)
    if as_json:
        print_json(plain(answer))
        return
    key = answer.main_key
    show(key, as_json=False)
    say(f"\nActive main key: {answer.active_main_key}")
    if key.state == MainKey.PENDING:
        say(f"To put the new one in charge: keystead main-keys activate {words_of(key.name)}")
    elif key.state_time == key.activate_time:
        say(f"The KEKs are being re-wrapped under it: keystead rotations watch {words_of(request.parent)}")
    else:
        say("It is back in its old place, and everything works again.")


def _fingerprint(digits: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digits):
        fail("--expected-fingerprint must be 64 hexadecimal digits, as openssl sha256 prints them.")
    return bytes.fromhex(digits)


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
    if not as_json:
        remind_of_main_keys(found)


@app.command()
def get(organization: Organization, main_key: MainKeyId, as_json: AsJson = False) -> None:
    """Show one main key."""
    request = messages.GetMainKeyRequest(name=child_name(organization, "mainKeys", main_key))
    with connected(as_json=as_json) as channel:
        answer = MainKeyServiceStub(channel).GetMainKey(request, timeout=TIMEOUT)
    show(answer, as_json=as_json)
    if not as_json:
        remind_of_main_keys([answer])


app.add_typer(main_key_moves.app)
