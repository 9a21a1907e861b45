"""AuditService."""

from collections.abc import Iterator
from datetime import UTC, datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from keystead.v1 import audit_service_pb2 as messages
from keystead.v1 import resources_pb2 as pb
from keystead.v1.audit_service_pb2_grpc import AuditServiceServicer
from typing_extensions import override

from server.domain.audit import AuditAction, AuditFilter
from server.domain.errors import InvalidFieldError, ServiceStoppingError
from server.domain.ids import AuditEventName, OrganizationName
from server.domain.roles import Caller
from server.grpc_api import convert_audit as convert
from server.grpc_api.boundary import Boundary
from server.use_cases import PageRequest, UseCases

_ACTIONS_LIMIT = 32


class AuditService(AuditServiceServicer):
    """Shows and proves the audit log."""

    def __init__(self, use_cases: UseCases, boundary: Boundary) -> None:
        self._do = use_cases.read_audit
        self._get_receipt = use_cases.get_receipt
        self._boundary = boundary

    @override
    def ListAuditEvents(
        self, request: messages.ListAuditEventsRequest, context: grpc.ServicerContext
    ) -> messages.ListAuditEventsResponse:
        page = self._boundary.answer(
            context,
            lambda caller: self._do.list_events(
                caller,
                OrganizationName.parse(request.parent).id,
                PageRequest(request.page_size, request.page_token),
                _filter(request),
            ),
        )
        return messages.ListAuditEventsResponse(
            audit_events=map(convert.audit_event, page.items), next_page_token=page.next_token
        )

    @override
    def ExportAuditEvents(
        self, request: messages.ExportAuditEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[messages.ExportAuditEventsResponse]:
        def begin(caller: Caller) -> int:
            if not request.last_sequence >= 0 or 0 < request.last_sequence < first:
                raise InvalidFieldError("last_sequence", "not before first_sequence")
            # What is added from now on is not waited for.
            size = self._do.size(caller, OrganizationName.parse(request.parent).id)
            return min(request.last_sequence, size) if request.last_sequence else size

        def part(caller: Caller) -> list[bytes]:
            return self._do.export(caller, OrganizationName.parse(request.parent).id, first, last)

        with self._boundary.place(context):
            first = request.first_sequence or 1
            last = self._boundary.answer(context, begin)
            while first <= last:
                if self._boundary.is_stopping:
                    self._boundary.refuse(context, ServiceStoppingError())
                events = self._boundary.answer(context, part)
                yield messages.ExportAuditEventsResponse(first_sequence=first, events=events)
                first += len(events)

    @override
    def GetAuditCheckpoint(
        self, request: messages.GetAuditCheckpointRequest, context: grpc.ServicerContext
    ) -> messages.AuditCheckpoint:
        return self._boundary.answer(
            context,
            lambda caller: convert.checkpoint(
                self._do.checkpoint(caller, OrganizationName.parse(request.organization).id)
            ),
        )

    @override
    def GetInclusionProof(
        self, request: messages.GetInclusionProofRequest, context: grpc.ServicerContext
    ) -> messages.InclusionProof:
        return self._boundary.answer(
            context,
            lambda caller: convert.inclusion(
                self._do.prove_event(caller, AuditEventName.parse(request.name), request.tree_size or None)
            ),
        )

    @override
    def GetConsistencyProof(
        self, request: messages.GetConsistencyProofRequest, context: grpc.ServicerContext
    ) -> messages.ConsistencyProof:
        return self._boundary.answer(
            context,
            lambda caller: convert.consistency(
                self._do.prove_growth(
                    caller,
                    OrganizationName.parse(request.organization).id,
                    request.old_size,
                    request.new_size or None,
                )
            ),
        )

    @override
    def GetReceipt(self, request: messages.GetReceiptRequest, context: grpc.ServicerContext) -> messages.Receipt:
        return self._boundary.answer(
            context,
            lambda caller: convert.receipt(*self._get_receipt(caller, AuditEventName.parse(request.name))),
        )


def _filter(request: messages.ListAuditEventsRequest) -> AuditFilter:
    if len(request.actions) > _ACTIONS_LIMIT:
        raise InvalidFieldError("actions", f"at most {_ACTIONS_LIMIT}")
    try:
        actions = frozenset(AuditAction(pb.AuditEvent.Action.Name(it)) for it in request.actions)
    except ValueError as error:
        raise InvalidFieldError("actions", "what an event's action can be") from error
    return AuditFilter(
        since=_moment(request.start_time, "start_time") if request.HasField("start_time") else None,
        before=_moment(request.end_time, "end_time") if request.HasField("end_time") else None,
        actions=actions or None,
        actor=request.actor or None,
    )


def _moment(time: Timestamp, field: str) -> datetime:
    try:
        return time.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidFieldError(field, "a time from the year 1 to the year 9999") from error
