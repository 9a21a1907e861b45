"""keystead receipts."""

from pathlib import Path
from typing import Annotated

import typer
from keystead.v1 import audit_service_pb2 as messages
from keystead.v1.audit_service_pb2_grpc import AuditServiceStub

from server.cli import files, signed_files
from server.cli.connection import TIMEOUT, connected
from server.cli.failures import REFUSED, fail
from server.cli.names import Organization, organization_name
from server.cli.output import AsJson, print_json, say
from server.cli.signed_files import NotGenuineError, Object

app = typer.Typer(no_args_is_help=True, help="Signed statements about what was done to main keys.")

RECEIPT = "receipt"
_TYPE = "keystead.receipt.v1"
_LACKS = "The receipt lacks what it should say."


@app.command()
def get(
    organization: Organization,
    event: Annotated[int, typer.Argument(metavar="EVENT", min=1, help="The event's number, as `audit list` shows it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("receipt.json"),
    as_json: AsJson = False,
) -> None:
    """Get the receipt of an act on a main key.

    There is one of each import, activation, revocation, deletion, of the end of a rotation, and of a destruction.
    """
    request = messages.GetReceiptRequest(name=f"{organization_name(organization)}/auditEvents/{event}")
    with files.new_files((out, files.PUBLIC)) as new, connected(as_json=as_json) as channel:
        answer = AuditServiceStub(channel).GetReceipt(request, timeout=TIMEOUT)
        line = signed_files.signed_line(RECEIPT, answer)
        new.write(out, line + b"\n")
    statement = signed_files.object_of(line, 1)[RECEIPT]
    if as_json:
        print_json({"file": str(out), RECEIPT: statement})
        return
    say(f"{out}: {statement['act']} of {statement['main_key']}")
    say(f"To check it, with the key alone: keystead receipts verify {out} --key audit.pem")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The receipt.", show_default=False)],
    key_file: Annotated[Path, typer.Option("--key", help="The audit key's public half (PEM).")] = Path("audit.pem"),
    as_json: AsJson = False,
) -> None:
    """Check a receipt with the public key alone.

    Nobody is asked. Compare the fingerprint with that of your own copy of the main key.
    """
    try:
        signer = signed_files.public_key(files.read(key_file))
        statement = verified(files.read(file), signer)
        told = _told(statement)
    except NotGenuineError as error:
        fail(f"{file} is not genuine. {error}", REFUSED)
    if as_json:
        print_json(statement)
        return
    say(f"{file} is genuine: {told[0]}")
    for line in told[1:]:
        say(line)


def _told(statement: Object) -> list[str]:
    """Return what a receipt states, for people, a line each.

    Raises:
        NotGenuineError: it states too little.
    """
    try:
        token = statement["token"]
        lines = [
            f"{statement['act']} of {statement['main_key']}, signed at {statement['time']}.",
            f"Fingerprint of the main key: {statement['fingerprint']}",
        ]
        if "wrapping_key_sha256" in statement:
            lines.append(f"SHA-256 of the wrapping key that it came under: {statement['wrapping_key_sha256']}")
        said = ", ".join(f"{'' if it else 'not '}{name}" for name, it in statement.get("attributes", {}).items())
        lines += [
            f"In the token it is: {said}" if statement["in_token"] else "It is not in the token.",
            f"Token {token['serial']}, {token['manufacturer']} {token['model']} {token['firmware']}: "
            f"{statement['attestation']}",
            f"The event: {statement['event']}",
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise NotGenuineError(_LACKS) from error
    return lines


def verified(content: bytes, key: signed_files.PublicKey) -> Object:
    """Return what a receipt states, if it is genuine, and its event in the log that it names.

    Raises:
        NotGenuineError: it is not.
    """
    if not content.endswith(b"\n"):
        raise NotGenuineError("The file's line is not whole.")
    statement = signed_files.statement_of(content[:-1], RECEIPT, _TYPE, key)
    try:
        event = signed_files.object_of(statement["event"].encode(), "of the event")
        path = [bytes.fromhex(it) for it in statement["path"]]
        checkpoint = statement["checkpoint"]
        root = _root(statement["event"].encode(), event["sequence"] - 1, checkpoint["size"], path)
        fits = root == bytes.fromhex(checkpoint["root"]) and event["organization"] == statement["organization"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotGenuineError(_LACKS) from error
    if not fits:
        raise NotGenuineError("Its event is not in the log that it names.")
    return statement


def _root(event: bytes, place: int, size: int, path: list[bytes]) -> bytes | None:
    """Return the root that a path leads to from an event: RFC 9162, section 2.1.3.2."""
    here, last, found = place, size - 1, signed_files.leaf(event)
    if not 0 <= here <= last:
        return None
    for other in path:
        if last == 0:
            return None
        if here % 2 or here == last:
            found = signed_files.node(other, found)
            while here % 2 == 0 and here:
                here, last = here // 2, last // 2
        else:
            found = signed_files.node(found, other)
        here, last = here // 2, last // 2
    return found if last == 0 else None
