"""keystead audit."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import grpc
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from keystead.v1 import audit_service_pb2 as messages
from keystead.v1.audit_service_pb2_grpc import AuditServiceStub
from keystead.v1.resources_pb2 import AuditEvent

from server.cli import audit_file, files, signed_files
from server.cli.connection import TIMEOUT, connected
from server.cli.failures import REFUSED, fail, pause_before_repeat
from server.cli.names import Organization, organization_name
from server.cli.output import AsJson, print_json, say, show_page

app = typer.Typer(no_args_is_help=True, help="What has happened in an organization, and the proof of it.")

_COLUMNS = (
    "sequence",
    "time",
    "action",
    "subject",
    "from_state",
    "to_state",
    "operation",
    "reason",
    "count",
    "kek_count",
    "actor",
)
_PAGE = 1000
_TRIES = 10
"""How often in a row a stream may break without having told anything."""

_ACTIONS = frozenset(name for name, number in AuditEvent.Action.items() if number)


def _known(actions: list[str] | None) -> list[str] | None:
    for action in actions or ():
        if action not in _ACTIONS:
            raise typer.BadParameter(f"{action} is none of {', '.join(sorted(_ACTIONS))}.")
    return actions


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("a time as in 2026-11-25 or 2026-11-25T09:00:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_Moment = Annotated[
    datetime | None,
    typer.Option(parser=_moment, metavar="TIME", help="Such as 2026-11-25 or 2026-11-25T09:00:00Z; UTC if not said."),
]


@app.command("list")
def list_some(
    organization: Organization,
    since: _Moment = None,
    before: _Moment = None,
    action: Annotated[
        list[str] | None,
        typer.Option(callback=_known, metavar="ACTION", help="Only these; may be repeated."),
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Only by this identity, or steward.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what has happened, newest first.

    What content keys are used for is most of it: choose with --action.
    """
    request = messages.ListAuditEventsRequest(
        parent=organization_name(organization),
        start_time=_timestamp(since),
        end_time=_timestamp(before),
        actions=[AuditEvent.Action.Value(it) for it in action or ()],
        actor=actor or "",
    )
    found: list[AuditEvent] = []
    with connected(as_json=as_json) as channel:
        stub = AuditServiceStub(channel)
        while True:
            request.page_size = min(_PAGE, limit - len(found))
            page = stub.ListAuditEvents(request, timeout=TIMEOUT)
            found += page.audit_events
            request.page_token = page.next_page_token
            if len(found) >= limit or not page.next_page_token:
                break
    show_page("audit_events", found, _COLUMNS, as_json=as_json)


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    told = Timestamp()
    told.FromDatetime(moment)
    return told


@app.command()
def key(
    organization: Organization,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("audit.pem"),
    as_json: AsJson = False,
) -> None:
    """Get the public key that verifies exports.

    Once, and keep it: compare its SHA-256 with the one that the operator tells you.
    """
    with files.new_files((out, files.PUBLIC)) as new, connected(as_json=as_json) as channel:
        answer = _checkpoint(AuditServiceStub(channel), organization_name(organization))
        new.write(out, answer.public_key_pem.encode())
    told = answer.public_key_sha256.hex()
    if as_json:
        algorithm = messages.AuditCheckpoint.Algorithm.Name(answer.algorithm)
        print_json({"file": str(out), "algorithm": algorithm, "public_key_sha256": told})
        return
    say(f"{out}: the audit key of the service.")
    say(f"SHA-256 of the public key, to compare over a second channel: {told}")


@app.command()
def export(
    organization: Organization,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("audit.jsonl"),
    as_json: AsJson = False,
) -> None:
    """Write the whole log to a file, with its signature.

    JSON lines: the events exactly as they are hashed, and last the checkpoint.
    """
    parent = organization_name(organization)
    with files.new_files((out, files.PUBLIC)) as new, connected(as_json=as_json) as channel:
        stub = AuditServiceStub(channel)
        checkpoint = _checkpoint(stub, parent)
        new.write_all(out, _lines(stub, parent, checkpoint))
    if as_json:
        print_json({"file": str(out), "tree_size": checkpoint.tree_size, "root_hash": checkpoint.root_hash.hex()})
        return
    say(f"{out}: {checkpoint.tree_size} events of {parent}, and a checkpoint of them.")
    say(f"To check it, with the key alone: keystead audit verify {out} --key audit.pem")


def _checkpoint(stub: AuditServiceStub, organization: str) -> messages.AuditCheckpoint:
    return stub.GetAuditCheckpoint(messages.GetAuditCheckpointRequest(organization=organization), timeout=TIMEOUT)


def _lines(stub: AuditServiceStub, parent: str, checkpoint: messages.AuditCheckpoint) -> Iterator[bytes]:
    """Yield the lines of an export, over streams that may break: each lasts a minute at most."""
    first, failures = 1, 0
    while first <= checkpoint.tree_size:
        request = messages.ExportAuditEventsRequest(
            parent=parent, first_sequence=first, last_sequence=checkpoint.tree_size
        )
        try:
            for part in stub.ExportAuditEvents(request, timeout=TIMEOUT):
                for event in part.events:
                    yield event + b"\n"
                first, failures = first + len(part.events), 0
        except grpc.RpcError as error:
            failures += 1
            pause = 0.0 if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else pause_before_repeat(error)
            if pause is None or failures > _TRIES:
                raise
            time.sleep(pause)
    yield signed_files.signed_line(audit_file.CHECKPOINT, checkpoint) + b"\n"


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The export.", show_default=False)],
    key_file: Annotated[Path, typer.Option("--key", help="The audit key's public half (PEM).")] = Path("audit.pem"),
    extends: Annotated[
        Path | None, typer.Option(help="An earlier export of the same log, which this one must begin with.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an export with the public key alone.

    Nobody is asked. Any event that was changed, left out, added or put elsewhere is found.
    """
    try:
        signer = signed_files.public_key(files.read(key_file))
        older = None if extends is None else audit_file.verified(extends, signer)
        found = audit_file.verified(file, signer, older)
    except signed_files.NotGenuineError as error:
        fail(f"{file} is not genuine. {error}", REFUSED)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}.")
    if as_json:
        print_json(
            {
                "organization": found.organization,
                "tree_size": found.size,
                "root_hash": found.root.hex(),
                "time": found.time,
                "public_key_sha256": found.key_sha256,
            }
        )
        return
    say(f"{file} is genuine: all {found.size} events of {found.organization}, as signed at {found.time}.")
    say(f"SHA-256 of the key that has signed it: {found.key_sha256}")
