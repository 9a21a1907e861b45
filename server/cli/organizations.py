"""keystead organizations."""

from typing import Annotated

import typer
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as messages
from keystead.v1.main_key_service_pb2_grpc import MainKeyServiceStub
from keystead.v1.organization_service_pb2_grpc import OrganizationServiceStub
from keystead.v1.resources_pb2 import Organization as OrganizationMessage

from server.cli.changes import Etag, RequestId, Terms, carried_out
from server.cli.connection import TIMEOUT, connected
from server.cli.consent import Yes, demand_somebody_to_ask, etag_by_consent
from server.cli.names import Organization, organization_name
from server.cli.output import AsJson, show, show_page
from server.cli.pages import all_of
from server.cli.reminders import remind_of_organizations

app = typer.Typer(no_args_is_help=True, help="Customer organizations.")

_COLUMNS = (
    "name",
    "display_name",
    "byok_enabled",
    "main_key",
    "main_key_state",
    "kek_count",
    "rotation_due_time",
)


@app.command()
def create(
    organization: Organization,
    display_name: Annotated[str, typer.Option(help="Name for people.")] = "",
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Create an organization, on the common key (operators)."""
    request = messages.CreateOrganizationRequest(
        organization_id=organization, organization=OrganizationMessage(display_name=display_name)
    )
    with connected(as_json=as_json) as channel:
        answer = carried_out(OrganizationServiceStub(channel).CreateOrganization, request, Terms(request_id))
    show(answer, as_json=as_json)


@app.command()
def get(organization: Organization, as_json: AsJson = False) -> None:
    """Show one organization."""
    request = messages.GetOrganizationRequest(name=organization_name(organization))
    with connected(as_json=as_json) as channel:
        answer = OrganizationServiceStub(channel).GetOrganization(request, timeout=TIMEOUT)
    show(answer, as_json=as_json)
    if not as_json:
        remind_of_organizations([answer])


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the organizations that you may see."""
    with connected(as_json=as_json) as channel:
        stub = OrganizationServiceStub(channel)
        found: list[OrganizationMessage] = all_of(
            lambda token: stub.ListOrganizations(
                messages.ListOrganizationsRequest(page_size=1000, page_token=token), timeout=TIMEOUT
            ),
            "organizations",
        )
    show_page("organizations", found, _COLUMNS, as_json=as_json)
    if not as_json:
        remind_of_organizations(found)


@app.command()
def enable_byok(
    organization: Organization, request_id: RequestId = None, etag: Etag = None, as_json: AsJson = False
) -> None:
    """Allow main keys of the organization's own.

    It changes no key; importing a main key does the same on its way.
    """
    request = messages.EnableByokRequest(name=organization_name(organization), etag=etag or "")
    with connected(as_json=as_json) as channel:
        answer = carried_out(OrganizationServiceStub(channel).EnableByok, request, Terms(request_id, etag))
    show(answer, as_json=as_json)


@app.command()
def disable_byok(
    organization: Organization,
    yes: Yes = False,
    request_id: RequestId = None,
    etag: Etag = None,
    as_json: AsJson = False,
) -> None:
    """Put the common key in charge again.

    The organization's own main key rotates out, and every KEK is re-wrapped. Content keys work throughout.
    """
    request = messages.DisableByokRequest(name=organization_name(organization))
    demand_somebody_to_ask(yes=yes)
    terms = Terms(request_id, etag)
    with connected(as_json=as_json) as channel:
        stub = OrganizationServiceStub(channel)

        def look() -> OrganizationMessage:
            return stub.GetOrganization(messages.GetOrganizationRequest(name=request.name), timeout=TIMEOUT)

        preview = MainKeyServiceStub(channel)
        request.etag = etag_by_consent(preview, main_keys.DISABLE_BYOK, look, terms, yes=yes, as_json=as_json)
        answer = carried_out(stub.DisableByok, request, terms)
    show(answer, as_json=as_json)
