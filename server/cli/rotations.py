"""keystead rotations."""

from typing import Annotated

import typer
from keystead.v1 import rotation_service_pb2 as messages
from keystead.v1.rotation_service_pb2_grpc import RotationServiceStub

from server.cli.connection import TIMEOUT, connected
from server.cli.names import Organization, child_name, organization_name
from server.cli.output import AsJson, show, show_page
from server.cli.pages import all_of

app = typer.Typer(no_args_is_help=True, help="Re-wrapping of KEKs after a change of main key.")

_COLUMNS = ("name", "state", "done_count", "failed_count", "total_count", "start_time", "end_time")


@app.command()
def get(
    organization: Organization,
    rotation: Annotated[str, typer.Argument(metavar="ROTATION", help="The rotation's id or name.", show_default=False)],
    as_json: AsJson = False,
) -> None:
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
        stub = RotationServiceStub(channel)
        found = all_of(
            lambda token: stub.ListRotations(
                messages.ListRotationsRequest(parent=parent, page_size=1000, page_token=token), timeout=TIMEOUT
            ),
            "rotations",
        )
    show_page("rotations", found, _COLUMNS, as_json=as_json)
