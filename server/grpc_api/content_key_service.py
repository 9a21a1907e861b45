"""ContentKeyService."""

from collections.abc import Iterator

import grpc
from google.rpc.status_pb2 import Status
from keystead.v1 import content_key_service_pb2 as messages
from keystead.v1 import resources_pb2 as pb
from keystead.v1.content_key_service_pb2_grpc import ContentKeyServiceServicer
from typing_extensions import override

from server.domain.ids import KekName, OrganizationName
from server.domain.ports import Wanted
from server.domain.roles import Caller, Operation, authorize
from server.grpc_api import convert
from server.grpc_api.admission import WaitingCaller
from server.grpc_api.boundary import Boundary, once
from server.grpc_api.content_key_batches import ContentKeyBatches
from server.grpc_api.conversations import Conversations
from server.grpc_api.terms import terms_of
from server.use_cases import PageRequest, UseCases


def _demand_stream(caller: Caller) -> None:
    # A stream is not about one organisation: each of its batches names its own.
    authorize(caller, Operation.STREAM_CONTENT_KEYS, None)


class ContentKeyService(ContentKeyServiceServicer):
    """Makes KEKs, and makes, wraps, unwraps and rewraps content keys."""

    def __init__(self, use_cases: UseCases, boundary: Boundary, sessions: int) -> None:
        """Serve content keys.

        Args:
            use_cases: what can be asked for.
            boundary: the edge of every call.
            sessions: how many calls may be in the token at a time; streams leave half of them to other calls.
        """
        self._do = use_cases
        self._batches = ContentKeyBatches(use_cases)
        self._boundary = boundary
        self._conversations = Conversations(boundary, at_once=sessions // 2)

    @override
    def CreateKek(self, request: messages.CreateKekRequest, context: grpc.ServicerContext) -> pb.Kek:
        return self._boundary.answer_in_turn(context, request, self._create_kek)

    def _create_kek(self, caller: Caller, request: messages.CreateKekRequest, _wanted: Wanted) -> pb.Kek:
        def work(caller: Caller) -> pb.Kek:
            parent = OrganizationName.parse(request.parent).id
            return convert.kek(self._do.create_kek(caller, parent, terms_of(request, convert.kek)))

        return once(pb.Kek, work)(caller)

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
        return self._boundary.answer_in_turn(context, request, self._batches.generate)

    @override
    def WrapContentKeys(
        self, request: messages.WrapContentKeysRequest, context: grpc.ServicerContext
    ) -> messages.WrapContentKeysResponse:
        return self._boundary.answer_in_turn(context, request, self._batches.wrap)

    @override
    def UnwrapContentKeys(
        self, request: messages.UnwrapContentKeysRequest, context: grpc.ServicerContext
    ) -> messages.UnwrapContentKeysResponse:
        return self._boundary.answer_in_turn(context, request, self._batches.unwrap)

    @override
    def RewrapContentKeys(
        self, request: messages.RewrapContentKeysRequest, context: grpc.ServicerContext
    ) -> messages.RewrapContentKeysResponse:
        return self._boundary.answer_in_turn(context, request, self._batches.rewrap)

    @override
    def StreamContentKeys(
        self, request_iterator: Iterator[messages.StreamContentKeysRequest], context: grpc.ServicerContext
    ) -> Iterator[messages.StreamContentKeysResponse]:
        waiting = WaitingCaller(context)

        def reply(request: messages.StreamContentKeysRequest) -> messages.StreamContentKeysResponse:
            outcome = self._boundary.outcome_in_turn(context, waiting, request, self._batches.any_of)
            if isinstance(outcome, Status):
                return messages.StreamContentKeysResponse(id=request.id, status=outcome)
            return outcome

        return self._conversations.hold(context, request_iterator, _demand_stream, reply)
