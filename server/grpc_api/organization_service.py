"""OrganizationService."""

import grpc
from keystead.v1 import organization_service_pb2 as messages
from keystead.v1 import resources_pb2 as pb
from keystead.v1.organization_service_pb2_grpc import OrganizationServiceServicer
from typing_extensions import override

from server.domain.ids import OrganizationName, organization_id
from server.domain.roles import Caller
from server.grpc_api import convert
from server.grpc_api.boundary import Boundary
from server.grpc_api.terms import terms_of
from server.use_cases import PageRequest, UseCases


class OrganizationService(OrganizationServiceServicer):
    """Creates and shows organisations, and enables and disables BYOK."""

    def __init__(self, use_cases: UseCases, boundary: Boundary) -> None:
        self._do = use_cases
        self._boundary = boundary

    @override
    def CreateOrganization(
        self, request: messages.CreateOrganizationRequest, context: grpc.ServicerContext
    ) -> pb.Organization:
        def work(caller: Caller) -> pb.Organization:
            named = organization_id(request.organization_id)
            terms = terms_of(request, convert.organization)
            made = self._do.create_organization(caller, named, request.organization.display_name, terms)
            return convert.organization(made)

        return self._boundary.answer_once(context, pb.Organization, work)

    @override
    def GetOrganization(
        self, request: messages.GetOrganizationRequest, context: grpc.ServicerContext
    ) -> pb.Organization:
        return self._boundary.answer(
            context,
            lambda caller: convert.organization(
                self._do.get_organization(caller, OrganizationName.parse(request.name).id)
            ),
        )

    @override
    def ListOrganizations(
        self, request: messages.ListOrganizationsRequest, context: grpc.ServicerContext
    ) -> messages.ListOrganizationsResponse:
        page = self._boundary.answer(
            context,
            lambda caller: self._do.list_organizations(caller, PageRequest(request.page_size, request.page_token)),
        )
        return messages.ListOrganizationsResponse(
            organizations=map(convert.organization, page.items), next_page_token=page.next_token
        )

    @override
    def EnableByok(self, request: messages.EnableByokRequest, context: grpc.ServicerContext) -> pb.Organization:
        def work(caller: Caller) -> pb.Organization:
            named = OrganizationName.parse(request.name).id
            return convert.organization(self._do.byok.enable(caller, named, terms_of(request, convert.organization)))

        return self._boundary.answer_once(context, pb.Organization, work)

    @override
    def DisableByok(self, request: messages.DisableByokRequest, context: grpc.ServicerContext) -> pb.Organization:
        def work(caller: Caller) -> pb.Organization:
            named = OrganizationName.parse(request.name).id
            return convert.organization(self._do.byok.disable(caller, named, terms_of(request, convert.organization)))

        return self._boundary.answer_once(context, pb.Organization, work)
