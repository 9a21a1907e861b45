"""AuthorityService."""

from collections.abc import Iterator

import grpc
from keystead.v1 import authority_service_pb2 as messages
from keystead.v1.authority_service_pb2_grpc import AuthorityServiceServicer
from typing_extensions import override

from server.domain.authority import AuthoritySnapshot
from server.domain.errors import KeysteadError
from server.domain.ids import OrganizationName
from server.domain.roles import Caller
from server.grpc_api import convert
from server.grpc_api.boundary import Boundary
from server.grpc_api.errors import to_status
from server.use_cases import UseCases


class AuthorityService(AuthorityServiceServicer):
    """Tells services whether their organisations may work."""

    def __init__(self, use_cases: UseCases, boundary: Boundary) -> None:
        self._do = use_cases
        self._boundary = boundary

    @override
    def GetAuthority(
        self, request: messages.GetAuthorityRequest, context: grpc.ServicerContext
    ) -> messages.GetAuthorityResponse:
        answer = messages.GetAuthorityResponse()
        for told in self._boundary.answer(
            context, lambda caller: self._do.get_authority(caller, request.organizations)
        ):
            result = answer.results.add()
            if isinstance(told, KeysteadError):
                result.status.CopyFrom(to_status(told))
                continue
            snapshot, lease = told
            result.authority.CopyFrom(convert.authority(snapshot))
            result.authority.lease.FromTimedelta(lease)
        return answer

    @override
    def WatchOrganization(
        self, request: messages.WatchOrganizationRequest, context: grpc.ServicerContext
    ) -> Iterator[messages.Authority]:
        seen: list[AuthoritySnapshot] = []

        def look(caller: Caller) -> messages.Authority:
            seen[:] = [self._do.watch_organization.look(caller, OrganizationName.parse(request.name).id)]
            return convert.authority(seen[0])

        def wait(seconds: float) -> None:
            self._do.watch_organization.wait(seen[0].organization, seen[0].epoch, seconds)

        return self._boundary.stream(context, look, is_last=lambda _: False, wait=wait)
