"""ApprovalService."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

import grpc
from keystead.v1 import approval_service_pb2 as messages
from keystead.v1 import resources_pb2 as pb
from keystead.v1.approval_service_pb2_grpc import ApprovalServiceServicer
from typing_extensions import override

from server.domain.approvals import Act, ApprovalRule, ExactAct, checked_rule
from server.domain.errors import InvalidFieldError
from server.domain.ids import ApprovalName, ApprovalRuleName, OrganizationId, OrganizationName
from server.domain.roles import Caller
from server.grpc_api import convert
from server.grpc_api.boundary import Boundary
from server.grpc_api.terms import terms_of
from server.use_cases import PageRequest, UseCases

_ACTS: Mapping[int, Act] = MappingProxyType({pb.Approval.Action.Value(act): act for act in Act})


def _exact(organization: OrganizationId, request: messages.ApproveChangeRequest) -> ExactAct:
    if request.action not in _ACTS:
        raise InvalidFieldError("action", "one of " + ", ".join(Act))
    new_rule = _rule(organization, request.new_rule).words if request.HasField("new_rule") else ""
    return ExactAct(_ACTS[request.action], request.target, request.etag, new_rule)


def _rule(
    organization: OrganizationId, asked: messages.UpdateApprovalRuleRequest | pb.ApprovalRule.Terms
) -> ApprovalRule:
    return checked_rule(
        organization,
        enabled=asked.enabled,
        required_approvals=asked.required_approvals,
        revoke_alone=asked.revoke_alone,
    )


def _lifetime(request: messages.ApproveChangeRequest) -> timedelta | None:
    if not request.HasField("lifetime"):
        return None
    try:
        return request.lifetime.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidFieldError("lifetime", "1 minute to 24 hours") from error


class ApprovalService(ApprovalServiceServicer):
    """Keeps the rule of two persons, and approvals."""

    def __init__(self, use_cases: UseCases, boundary: Boundary) -> None:
        self._do = use_cases.approvals
        self._boundary = boundary

    @override
    def GetApprovalRule(
        self, request: messages.GetApprovalRuleRequest, context: grpc.ServicerContext
    ) -> pb.ApprovalRule:
        return self._boundary.answer(
            context,
            lambda caller: convert.approval_rule(
                self._do.rule(caller, ApprovalRuleName.parse(request.name).organization)
            ),
        )

    @override
    def UpdateApprovalRule(
        self, request: messages.UpdateApprovalRuleRequest, context: grpc.ServicerContext
    ) -> pb.ApprovalRule:
        def work(caller: Caller) -> pb.ApprovalRule:
            organization = ApprovalRuleName.parse(request.name).organization
            terms = terms_of(request, convert.approval_rule)
            return convert.approval_rule(self._do.update_rule(caller, _rule(organization, request), terms))

        return self._boundary.answer_once(context, pb.ApprovalRule, work)

    @override
    def ApproveChange(self, request: messages.ApproveChangeRequest, context: grpc.ServicerContext) -> pb.Approval:
        def work(caller: Caller) -> pb.Approval:
            organization = OrganizationName.parse(request.parent).id
            terms = terms_of(request, convert.approval)
            exact = _exact(organization, request)
            return convert.approval(self._do.approve(caller, organization, exact, _lifetime(request), terms))

        return self._boundary.answer_once(context, pb.Approval, work)

    @override
    def ListApprovals(
        self, request: messages.ListApprovalsRequest, context: grpc.ServicerContext
    ) -> messages.ListApprovalsResponse:
        page = self._boundary.answer(
            context,
            lambda caller: self._do.list(
                caller, OrganizationName.parse(request.parent).id, PageRequest(request.page_size, request.page_token)
            ),
        )
        return messages.ListApprovalsResponse(
            approvals=map(convert.approval, page.items), next_page_token=page.next_token
        )

    @override
    def WithdrawApproval(self, request: messages.WithdrawApprovalRequest, context: grpc.ServicerContext) -> pb.Approval:
        def work(caller: Caller) -> pb.Approval:
            return convert.approval(
                self._do.withdraw(caller, ApprovalName.parse(request.name), terms_of(request, convert.approval))
            )

        return self._boundary.answer_once(context, pb.Approval, work)
