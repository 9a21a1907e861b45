"""MainKeyService."""

import grpc
from keystead.v1 import main_key_service_pb2 as messages
from keystead.v1 import resources_pb2 as pb
from keystead.v1.main_key_service_pb2_grpc import MainKeyServiceServicer
from typing_extensions import override

from server.domain.errors import InvalidFieldError
from server.domain.ids import MainKeyName, OrganizationName, WrappingKeyName
from server.domain.roles import Caller
from server.domain.wrapping_keys import Algorithm
from server.grpc_api import convert
from server.grpc_api.boundary import Boundary
from server.use_cases import PageRequest, Upload, UseCases


def _algorithm(request: messages.GetWrappingKeyRequest) -> Algorithm | None:
    try:
        return convert.algorithm(request.algorithm)
    except KeyError as error:
        raise InvalidFieldError("algorithm", "one of " + ", ".join(Algorithm)) from error


def _upload(request: messages.ImportMainKeyRequest) -> Upload:
    if request.activation not in {messages.NOW, messages.LATER}:
        raise InvalidFieldError("activation", "NOW or LATER")
    return Upload(
        organization=OrganizationName.parse(request.parent).id,
        wrapping_key=WrappingKeyName.parse(request.wrapping_key),
        encrypted=request.encrypted_key,
        activate_now=request.activation == messages.NOW,
        expected_fingerprint=request.expected_fingerprint or None,
    )


class MainKeyService(MainKeyServiceServicer):
    """Brings, activates and shows main keys."""

    def __init__(self, use_cases: UseCases, boundary: Boundary) -> None:
        self._do = use_cases
        self._boundary = boundary

    @override
    def GetWrappingKey(self, request: messages.GetWrappingKeyRequest, context: grpc.ServicerContext) -> pb.WrappingKey:
        return self._boundary.answer(
            context,
            lambda caller: convert.wrapping_key(
                self._do.get_wrapping_key(caller, OrganizationName.parse(request.parent).id, _algorithm(request))
            ),
        )

    @override
    def ImportMainKey(
        self, request: messages.ImportMainKeyRequest, context: grpc.ServicerContext
    ) -> messages.ImportMainKeyResponse:
        def work(caller: Caller) -> messages.ImportMainKeyResponse:
            imported = self._do.import_main_key(caller, _upload(request))
            return messages.ImportMainKeyResponse(
                main_key=convert.main_key(imported.main_key), active_main_key=str(imported.active)
            )

        return self._boundary.answer(context, work)

    @override
    def ListMainKeys(
        self, request: messages.ListMainKeysRequest, context: grpc.ServicerContext
    ) -> messages.ListMainKeysResponse:
        page = self._boundary.answer(
            context,
            lambda caller: self._do.list_main_keys(
                caller,
                OrganizationName.parse(request.parent).id,
                PageRequest(request.page_size, request.page_token),
                show_removed=request.show_removed,
            ),
        )
        return messages.ListMainKeysResponse(
            main_keys=map(convert.main_key, page.items), next_page_token=page.next_token
        )

    @override
    def GetMainKey(self, request: messages.GetMainKeyRequest, context: grpc.ServicerContext) -> pb.MainKey:
        return self._boundary.answer(
            context, lambda caller: convert.main_key(self._do.get_main_key(caller, MainKeyName.parse(request.name)))
        )

    @override
    def ActivateMainKey(self, request: messages.ActivateMainKeyRequest, context: grpc.ServicerContext) -> pb.MainKey:
        return self._boundary.answer(
            context,
            lambda caller: convert.main_key(self._do.activate_main_key(caller, MainKeyName.parse(request.name))),
        )
