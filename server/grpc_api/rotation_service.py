"""RotationService."""

from collections.abc import Iterator

import grpc
from keystead.v1 import resources_pb2 as pb
from keystead.v1 import rotation_service_pb2 as messages
from keystead.v1.rotation_service_pb2_grpc import RotationServiceServicer
from typing_extensions import override

from server.domain.ids import OrganizationName, RotationName
from server.domain.roles import Caller, Operation
from server.grpc_api import convert
from server.grpc_api.boundary import Boundary
from server.grpc_api.terms import terms_of
from server.use_cases import PageRequest, UseCases


class RotationService(RotationServiceServicer):
    """Shows and holds rotations."""

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

    @override
    def WatchRotation(
        self, request: messages.WatchRotationRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.Rotation]:
        def look(caller: Caller) -> pb.Rotation:
            name = RotationName.parse(request.name)
            return convert.rotation(self._do.get_rotation(caller, name, Operation.WATCH_ROTATION))

        return self._boundary.stream(context, look, is_last=lambda seen: seen.HasField("end_time"))

    @override
    def PauseRotation(self, request: messages.PauseRotationRequest, context: grpc.ServicerContext) -> pb.Rotation:
        def work(caller: Caller) -> pb.Rotation:
            name, terms = RotationName.parse(request.name), terms_of(request, convert.rotation)
            return convert.rotation(self._do.rotation_control.pause(caller, name, terms))

        return self._boundary.answer_once(context, pb.Rotation, work)

    @override
    def ResumeRotation(self, request: messages.ResumeRotationRequest, context: grpc.ServicerContext) -> pb.Rotation:
        def work(caller: Caller) -> pb.Rotation:
            name, terms = RotationName.parse(request.name), terms_of(request, convert.rotation)
            return convert.rotation(self._do.rotation_control.resume(caller, name, terms))

        return self._boundary.answer_once(context, pb.Rotation, work)
