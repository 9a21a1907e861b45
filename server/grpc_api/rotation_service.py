"""RotationService."""

import grpc
from keystead.v1 import resources_pb2 as pb
from keystead.v1 import rotation_service_pb2 as messages
from keystead.v1.rotation_service_pb2_grpc import RotationServiceServicer
from typing_extensions import override

from server.domain.ids import OrganizationName, RotationName
from server.grpc_api import convert
from server.grpc_api.boundary import Boundary
from server.use_cases import PageRequest, UseCases


class RotationService(RotationServiceServicer):
    """Shows rotations."""

    def __init__(self, use_cases: UseCases, boundary: Boundary) -> None:
        self._do = use_cases
        self._boundary = boundary

    @override
    def ListRotations(
        self, request: messages.ListRotationsRequest, context: grpc.ServicerContext
    ) -> messages.ListRotationsResponse:
        page = self._boundary.answer(
            context,
            lambda caller: self._do.list_rotations(
                caller, OrganizationName.parse(request.parent).id, PageRequest(request.page_size, request.page_token)
            ),
        )
        return messages.ListRotationsResponse(
            rotations=map(convert.rotation, page.items), next_page_token=page.next_token
        )

    @override
    def GetRotation(self, request: messages.GetRotationRequest, context: grpc.ServicerContext) -> pb.Rotation:
        return self._boundary.answer(
            context, lambda caller: convert.rotation(self._do.get_rotation(caller, RotationName.parse(request.name)))
        )
