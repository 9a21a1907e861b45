"""keystead approvals: the rule of two persons, and what administrators approve for each other."""

from enum import StrEnum
from typing import Annotated

import typer
from keystead.v1 import approval_service_pb2 as messages
from keystead.v1.approval_service_pb2_grpc import ApprovalServiceStub
from keystead.v1.resources_pb2 import Approval, ApprovalRule

from server.cli.changes import Etag, RequestId, Terms, carried_out
from server.cli.connection import TIMEOUT, connected
from server.cli.failures import fail
from server.cli.names import Organization, child_name, organization_name
from server.cli.output import AsJson, show, show_page
from server.cli.pages import all_of

app = typer.Typer(no_args_is_help=True, help="Acts that two administrators must want.")

_COLUMNS = ("name", "action", "target", "approver", "expire_time")


class Action(StrEnum):
    """What can be approved, beside changes of the rule."""

    REVOKE = "revoke"
    DELETE = "delete"
    DISABLE_BYOK = "disable-byok"


_ACTIONS = {
    Action.REVOKE: Approval.REVOKE_MAIN_KEY,
    Action.DELETE: Approval.DELETE_MAIN_KEY,
    Action.DISABLE_BYOK: Approval.DISABLE_BYOK,
}

Required = Annotated[int, typer.Argument(min=1, max=10, help="How many others must approve, 1 to 10.")]
RevokeAlone = Annotated[bool, typer.Option(help="Let one administrator revoke without approval.")]
SeenEtag = Annotated[str, typer.Option("--etag", help="The etag of what it is about, as you have seen it.")]


@app.command()
def rule(organization: Organization, as_json: AsJson = False) -> None:
    """Show the organization's rule."""
    request = messages.GetApprovalRuleRequest(name=_rule_name(organization))
    with connected(as_json=as_json) as channel:
        answer = ApprovalServiceStub(channel).GetApprovalRule(request, timeout=TIMEOUT)
    show(answer, as_json=as_json)


@app.command()
def set_rule(
    organization: Organization,
    required: Required,
    revoke_alone: RevokeAlone = False,
    request_id: RequestId = None,
    etag: Etag = None,
    as_json: AsJson = False,
) -> None:
    """Switch the rule on, or change it.

    Revoking, deleting, disabling BYOK and changing the rule then need others' approval.
    """
    request = messages.UpdateApprovalRuleRequest(
        name=_rule_name(organization), enabled=True, required_approvals=required, revoke_alone=revoke_alone
    )
    _update(request, Terms(request_id, etag), as_json=as_json)


@app.command()
def end_rule(
    organization: Organization, request_id: RequestId = None, etag: Etag = None, as_json: AsJson = False
) -> None:
    """Switch the rule off."""
    request = messages.UpdateApprovalRuleRequest(name=_rule_name(organization), enabled=False)
    _update(request, Terms(request_id, etag), as_json=as_json)


def _update(request: messages.UpdateApprovalRuleRequest, terms: Terms, *, as_json: bool) -> None:
    request.etag = terms.etag or ""
    with connected(as_json=as_json) as channel:
        answer = carried_out(ApprovalServiceStub(channel).UpdateApprovalRule, request, terms)
    show(answer, as_json=as_json)


@app.command()
def give(
    organization: Organization,
    action: Annotated[Action, typer.Argument(help="What another administrator may do.")],
    etag: SeenEtag,
    main_key: Annotated[str | None, typer.Argument(metavar="MAIN_KEY", help="The main key's id or name.")] = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Approve one act of another administrator.

    Look at what it is about first. The approval is good for one hour, and for what still has that etag.
    """
    if (main_key is None) != (action is Action.DISABLE_BYOK):
        fail("Name the main key to revoke or delete; to disable BYOK, name none.")
    parent = organization_name(organization)
    target = parent if main_key is None else child_name(organization, "mainKeys", main_key)
    request = messages.ApproveChangeRequest(parent=parent, action=_ACTIONS[action], target=target, etag=etag)
    _give(request, request_id, as_json=as_json)


@app.command()
def give_rule(
    organization: Organization,
    etag: SeenEtag,
    required: Annotated[
        int, typer.Argument(min=0, max=10, help="How many others it may ask for; 0: it may be switched off.")
    ],
    revoke_alone: RevokeAlone = False,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Approve that another administrator changes the rule so."""
    request = messages.ApproveChangeRequest(
        parent=organization_name(organization),
        action=Approval.UPDATE_APPROVAL_RULE,
        target=_rule_name(organization),
        etag=etag,
        new_rule=ApprovalRule.Terms(enabled=required > 0, required_approvals=required, revoke_alone=revoke_alone),
    )
    _give(request, request_id, as_json=as_json)


def _give(request: messages.ApproveChangeRequest, request_id: str | None, *, as_json: bool) -> None:
    with connected(as_json=as_json) as channel:
        answer = carried_out(ApprovalServiceStub(channel).ApproveChange, request, Terms(request_id))
    show(answer, as_json=as_json)


@app.command("list")
def list_all(organization: Organization, as_json: AsJson = False) -> None:
    """List the approvals that are good now."""
    parent = organization_name(organization)
    with connected(as_json=as_json) as channel:
        stub = ApprovalServiceStub(channel)
        found = all_of(
            lambda token: stub.ListApprovals(
                messages.ListApprovalsRequest(parent=parent, page_size=1000, page_token=token), timeout=TIMEOUT
            ),
            "approvals",
        )
    show_page("approvals", found, _COLUMNS, as_json=as_json)


@app.command()
def withdraw(
    organization: Organization,
    approval: Annotated[str, typer.Argument(metavar="APPROVAL", help="The approval's id or name.")],
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Take an approval back, your own or another's."""
    request = messages.WithdrawApprovalRequest(name=child_name(organization, "approvals", approval))
    with connected(as_json=as_json) as channel:
        answer = carried_out(ApprovalServiceStub(channel).WithdrawApproval, request, Terms(request_id))
    show(answer, as_json=as_json)


def _rule_name(organization: str) -> str:
    return f"{organization_name(organization)}/approvalRule"
