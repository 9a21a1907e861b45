"""ContentKeyService."""

import grpc
from keystead.v1 import content_key_service_pb2 as messages
from keystead.v1 import resources_pb2 as pb
from keystead.v1.content_key_service_pb2_grpc import ContentKeyServiceServicer
from typing_extensions import override

from server.domain.errors import KeysteadError
from server.domain.ids import KekName, OrganizationName
from server.domain.ports import Wanted
from server.domain.roles import Caller
from server.grpc_api import convert
from server.grpc_api.boundary import Boundary, once
from server.grpc_api.errors import to_status
from server.grpc_api.terms import terms_of
from server.use_cases import PageRequest, UnwrappedContentKey, UseCases

_DEFAULT_SIZE = 32
"""Bytes of a generated content key."""


def _wrap_result(result: bytes | KeysteadError) -> messages.WrapContentKeysResult:
    if isinstance(result, KeysteadError):
        return messages.WrapContentKeysResult(status=to_status(result))
    return messages.WrapContentKeysResult(wrapped=result)


def _unwrap_result(result: UnwrappedContentKey | KeysteadError) -> messages.UnwrapContentKeysResult:
    if isinstance(result, KeysteadError):
        return messages.UnwrapContentKeysResult(status=to_status(result))
    return messages.UnwrapContentKeysResult(plaintext=result.plaintext, kek=str(result.kek))


class ContentKeyService(ContentKeyServiceServicer):
    """Makes KEKs, and makes, wraps and unwraps content keys."""

    def __init__(self, use_cases: UseCases, boundary: Boundary) -> None:
        self._do = use_cases
        self._boundary = boundary

    @override
    def CreateKek(self, request: messages.CreateKekRequest, context: grpc.ServicerContext) -> pb.Kek:
        def work(caller: Caller) -> pb.Kek:
            parent = OrganizationName.parse(request.parent).id
            return convert.kek(self._do.create_kek(caller, parent, terms_of(request, convert.kek)))

        return self._boundary.answer_in_turn(context, lambda caller, _: once(pb.Kek, work)(caller))

    @override
    def GetKek(self, request: messages.GetKekRequest, context: grpc.ServicerContext) -> pb.Kek:
        return self._boundary.answer(
            context, lambda caller: convert.kek(self._do.get_kek(caller, KekName.parse(request.name)))
        )

    @override
    def ListKeks(self, request: messages.ListKeksRequest, context: grpc.ServicerContext) -> messages.ListKeksResponse:
        page = self._boundary.answer(
            context,
            lambda caller: self._do.list_keks(
                caller, OrganizationName.parse(request.parent).id, PageRequest(request.page_size, request.page_token)
            ),
        )
        return messages.ListKeksResponse(keks=map(convert.kek, page.items), next_page_token=page.next_token)

    @override
    def GenerateContentKeys(
        self, request: messages.GenerateContentKeysRequest, context: grpc.ServicerContext
    ) -> messages.GenerateContentKeysResponse:
        made = self._boundary.answer_in_turn(
            context,
            lambda caller, wanted: self._do.generate_content_keys(
                caller,
                KekName.parse(request.kek),
                count=request.count or 1,
                size=request.size_bytes or _DEFAULT_SIZE,
                context=request.context,
                wanted=wanted,
            ),
        )
        return messages.GenerateContentKeysResponse(
            content_keys=[messages.GeneratedContentKey(plaintext=key.plaintext, wrapped=key.wrapped) for key in made]
        )

    @override
    def WrapContentKeys(
        self, request: messages.WrapContentKeysRequest, context: grpc.ServicerContext
    ) -> messages.WrapContentKeysResponse:
        def work(caller: Caller, wanted: Wanted) -> list[bytes | KeysteadError]:
            items = [(item.plaintext, item.context) for item in request.items]
            return self._do.wrap_content_keys(caller, KekName.parse(request.kek), items, wanted)

        results = self._boundary.answer_in_turn(context, work)
        return messages.WrapContentKeysResponse(results=map(_wrap_result, results))

    @override
    def UnwrapContentKeys(
        self, request: messages.UnwrapContentKeysRequest, context: grpc.ServicerContext
    ) -> messages.UnwrapContentKeysResponse:
        def work(caller: Caller, wanted: Wanted) -> list[UnwrappedContentKey | KeysteadError]:
            items = [(item.wrapped, item.context) for item in request.items]
            return self._do.unwrap_content_keys(caller, OrganizationName.parse(request.parent).id, items, wanted)

        results = self._boundary.answer_in_turn(context, work)
        return messages.UnwrapContentKeysResponse(results=map(_unwrap_result, results))
