"""keystead keks."""

from typing import Annotated

import typer
from keystead.v1 import content_key_service_pb2 as messages
from keystead.v1.content_key_service_pb2_grpc import ContentKeyServiceStub

from server.cli.changes import RequestId, Terms, carried_out
from server.cli.connection import TIMEOUT, connected
from server.cli.names import Organization, child_name, organization_name
from server.cli.output import AsJson, show, show_page
from server.cli.pages import all_of

app = typer.Typer(no_args_is_help=True, help="Key-encryption keys: they encrypt content keys.")

_COLUMNS = ("name", "main_key", "remaining_encryptions", "create_time", "rewrap_time")


@app.command()
def create(organization: Organization, request_id: RequestId = None, as_json: AsJson = False) -> None:
    """Make a KEK in the token, under the active main key."""
    request = messages.CreateKekRequest(parent=organization_name(organization))
    with connected(as_json=as_json) as channel:
        answer = carried_out(ContentKeyServiceStub(channel).CreateKek, request, Terms(request_id))
    show(answer, as_json=as_json)


@app.command()
def get(
    organization: Organization,
    kek: Annotated[str, typer.Argument(metavar="KEK", help="The KEK's id or name.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show one KEK."""
    request = messages.GetKekRequest(name=child_name(organization, "keks", kek))
    with connected(as_json=as_json) as channel:
        answer = ContentKeyServiceStub(channel).GetKek(request, timeout=TIMEOUT)
    show(answer, as_json=as_json)


@app.command("list")
def list_all(organization: Organization, as_json: AsJson = False) -> None:
    """List the organization's KEKs."""
    parent = organization_name(organization)
    with connected(as_json=as_json) as channel:
        stub = ContentKeyServiceStub(channel)
        found = all_of(
            lambda token: stub.ListKeks(
                messages.ListKeksRequest(parent=parent, page_size=1000, page_token=token), timeout=TIMEOUT
            ),
            "keks",
        )
    show_page("keks", found, _COLUMNS, as_json=as_json)
