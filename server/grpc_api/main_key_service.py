"""MainKeyService."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

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
from server.grpc_api.checksums import demand_intact, has_checksum
from server.grpc_api.terms import terms_of
from server.use_cases import Change, Import, MainKeyView, PageRequest, Terms, Upload, UseCases


def _algorithm(request: messages.GetWrappingKeyRequest) -> Algorithm | None:
    try:
        return convert.algorithm(request.algorithm)
    except KeyError as error:
        raise InvalidFieldError("algorithm", "one of " + ", ".join(Algorithm)) from error


def _import(request: messages.ImportMainKeyRequest) -> Import:
    if request.activation not in {messages.NOW, messages.LATER}:
        raise InvalidFieldError("activation", "NOW or LATER")
    demand_intact(request, "encrypted_key")
    parent, wrapping_key = OrganizationName.parse(request.parent).id, WrappingKeyName.parse(request.wrapping_key)
    return Import(
        upload=Upload(parent, wrapping_key, request.encrypted_key),
        activate_now=request.activation == messages.NOW,
        expected_fingerprint=request.expected_fingerprint or None,
    )


def _change(request: messages.PreviewChangeRequest) -> Change:
    known = {messages.Change.Value(change): change for change in Change}
    if request.change not in known:
        raise InvalidFieldError("change", "one of " + ", ".join(Change))
    return known[request.change]


def _reactivate_after(request: messages.RevokeMainKeyRequest) -> timedelta | None:
    if not request.HasField("reactivate_after"):
        return None
    try:
        return request.reactivate_after.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidFieldError("reactivate_after", "1 minute to 24 hours") from error


class MainKeyService(MainKeyServiceServicer):
    """Brings, moves and shows main keys."""

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
            pack = partial(convert.imported, verified=has_checksum(request, "encrypted_key"))
            return pack(self._do.import_main_key(caller, _import(request), terms_of(request, pack)))

        return self._boundary.answer_once(context, messages.ImportMainKeyResponse, work)

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
        return self._moved(request, context, self._do.main_key_moves.activate)

    @override
    def RevokeMainKey(
        self, request: messages.RevokeMainKeyRequest, context: grpc.ServicerContext
    ) -> messages.RevokeMainKeyResponse:
        def work(caller: Caller) -> messages.RevokeMainKeyResponse:
            revoked = self._do.main_key_moves.revoke(
                caller,
                MainKeyName.parse(request.name),
                terms_of(request, convert.revoked),
                reason=request.reason,
                reactivate_after=_reactivate_after(request),
            )
            self._do.authorities.settle()
            return convert.revoked(revoked)

        return self._boundary.answer_once(context, messages.RevokeMainKeyResponse, work)

    @override
    def DeleteMainKey(self, request: messages.DeleteMainKeyRequest, context: grpc.ServicerContext) -> pb.MainKey:
        return self._moved(request, context, self._do.main_key_moves.delete)

    @override
    def UndeleteMainKey(self, request: messages.UndeleteMainKeyRequest, context: grpc.ServicerContext) -> pb.MainKey:
        return self._moved(request, context, self._do.main_key_moves.undelete)

    def _moved(
        self,
        request: messages.ActivateMainKeyRequest | messages.DeleteMainKeyRequest | messages.UndeleteMainKeyRequest,
        context: grpc.ServicerContext,
        move: Callable[[Caller, MainKeyName, Terms], MainKeyView],
    ) -> pb.MainKey:
        def work(caller: Caller) -> pb.MainKey:
            return convert.main_key(move(caller, MainKeyName.parse(request.name), terms_of(request, convert.main_key)))

        return self._boundary.answer_once(context, pb.MainKey, work)

    @override
    def PreviewChange(
        self, request: messages.PreviewChangeRequest, context: grpc.ServicerContext
    ) -> messages.PreviewChangeResponse:
        def work(caller: Caller) -> messages.PreviewChangeResponse:
            name = MainKeyName.parse(request.name)
            return convert.preview(self._do.preview_change(caller, name, _change(request)))

        return self._boundary.answer(context, work)

    @override
    def VerifyMainKeyCopy(
        self, request: messages.VerifyMainKeyCopyRequest, context: grpc.ServicerContext
    ) -> messages.VerifyMainKeyCopyResponse:
        def work(caller: Caller) -> messages.VerifyMainKeyCopyResponse:
            name, wrapping_key = MainKeyName.parse(request.name), WrappingKeyName.parse(request.wrapping_key)
            demand_intact(request, "encrypted_key")
            upload = Upload(name.organization, wrapping_key, request.encrypted_key)
            compared = self._do.verify_main_key_copy(caller, name, upload)
            return convert.compared(compared, verified=has_checksum(request, "encrypted_key"))

        return self._boundary.answer(context, work)
