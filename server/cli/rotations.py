"""keystead rotations."""

from typing import Annotated

import typer
from keystead.v1 import rotation_service_pb2 as messages
from keystead.v1.resources_pb2 import Rotation
from keystead.v1.rotation_service_pb2_grpc import RotationServiceStub

from server.cli.changes import Etag, RequestId, Terms, carried_out
from server.cli.connection import TIMEOUT, connected
from server.cli.names import Organization, RotationId, child_name, organization_name
from server.cli.output import AsJson, show, show_page, tell
from server.cli.pages import all_of

app = typer.Typer(no_args_is_help=True, help="Re-wrapping of KEKs after a change of main key.")

_COLUMNS = ("name", "state", "to_main_key", "done_count", "failed_count", "total_count", "start_time", "end_time")

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


@app.command()
def get(organization: Organization, rotation: RotationId, as_json: AsJson = False) -> None:
    """Show one rotation."""
    request = messages.GetRotationRequest(name=child_name(organization, "rotations", rotation))
    with connected(as_json=as_json) as channel:
        answer = RotationServiceStub(channel).GetRotation(request, timeout=TIMEOUT)
    show(answer, as_json=as_json)


@app.command("list")
def list_all(organization: Organization, as_json: AsJson = False) -> None:
    """List the organization's rotations, newest first."""
    parent = organization_name(organization)
    with connected(as_json=as_json) as channel:
        found = _all(RotationServiceStub(channel), parent)
    show_page("rotations", found, _COLUMNS, as_json=as_json)


def _all(stub: RotationServiceStub, parent: str) -> list[Rotation]:
    return all_of(
        lambda token: stub.ListRotations(
            messages.ListRotationsRequest(parent=parent, page_size=1000, page_token=token), timeout=TIMEOUT
        ),
        "rotations",
    )


@app.command()
def watch(
    organization: Organization,
    rotation: Annotated[
        str | None,
        typer.Argument(
            metavar="[ROTATION]",
            help="The rotation's id or name; default: the newest under way.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, at least each second.")
    ] = False,
) -> None:
    """Show how a rotation goes on until it ends.

    A bar on a terminal, otherwise a line at each change.
    """
    # Here, since rich takes a while to load, and no other command needs it.
    from server.cli import progress, watching  # noqa: PLC0415

    name = None if rotation is None else child_name(organization, "rotations", rotation)
    parent = organization_name(organization)
    with connected(as_json=as_json) as channel:
        stub = RotationServiceStub(channel)
        if name is None:
            newest = _all(stub, parent)
            under_way = [it for it in newest if not it.HasField("end_time")]
            if not under_way:
                tell("No rotation is under way." + " This is the newest:" * bool(newest))
            if not newest:
                return
            name = (under_way or newest)[0].name
        try:
            progress.show(watching.watched(stub, name), as_json=as_json)
        except KeyboardInterrupt:
            tell("The rotation goes on; nobody is watching any more.")
            raise typer.Exit(INTERRUPTED) from None


@app.command()
def pause(
    organization: Organization,
    rotation: RotationId,
    request_id: RequestId = None,
    etag: Etag = None,
    as_json: AsJson = False,
) -> None:
    """Hold a rotation.

    The replaced key stays in the HSM meanwhile; everything works.
    """
    request = messages.PauseRotationRequest(name=child_name(organization, "rotations", rotation), etag=etag or "")
    with connected(as_json=as_json) as channel:
        answer = carried_out(RotationServiceStub(channel).PauseRotation, request, Terms(request_id, etag))
    show(answer, as_json=as_json)


@app.command()
def resume(
    organization: Organization,
    rotation: RotationId,
    request_id: RequestId = None,
    etag: Etag = None,
    as_json: AsJson = False,
) -> None:
    """Let a rotation go on."""
    request = messages.ResumeRotationRequest(name=child_name(organization, "rotations", rotation), etag=etag or "")
    with connected(as_json=as_json) as channel:
        answer = carried_out(RotationServiceStub(channel).ResumeRotation, request, Terms(request_id, etag))
    show(answer, as_json=as_json)
