"""keystead organizations."""

from typing import Annotated

import typer
from keystead.v1 import organization_service_pb2 as messages
from keystead.v1.organization_service_pb2_grpc import OrganizationServiceStub
from keystead.v1.resources_pb2 import Organization as OrganizationMessage

from server.cli.connection import TIMEOUT, connected
from server.cli.names import Organization, organization_name
from server.cli.output import AsJson, show, show_page
from server.cli.pages import all_of

app = typer.Typer(no_args_is_help=True, help="Customer organizations.")

_COLUMNS = ("name", "display_name", "main_key", "epoch", "kek_count")


@app.command()
def create(
    organization: Organization,
    display_name: Annotated[str, typer.Option(help="Name for people.")] = "",
    as_json: AsJson = False,
) -> None:
    """Create an organization, on the common key (operators)."""
    request = messages.CreateOrganizationRequest(
        organization_id=organization, organization=OrganizationMessage(display_name=display_name)
    )
    with connected(as_json=as_json) as channel:
        answer = OrganizationServiceStub(channel).CreateOrganization(request, timeout=TIMEOUT)
    show(answer, as_json=as_json)


@app.command()
def get(organization: Organization, as_json: AsJson = False) -> None:
    """Show one organization."""
    request = messages.GetOrganizationRequest(name=organization_name(organization))
    with connected(as_json=as_json) as channel:
        answer = OrganizationServiceStub(channel).GetOrganization(request, timeout=TIMEOUT)
    show(answer, as_json=as_json)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the organizations that you may see."""
    with connected(as_json=as_json) as channel:
        stub = OrganizationServiceStub(channel)
        found = all_of(
            lambda token: stub.ListOrganizations(
                messages.ListOrganizationsRequest(page_size=1000, page_token=token), timeout=TIMEOUT
            ),
            "organizations",
        )
    show_page("organizations", found, _COLUMNS, as_json=as_json)
