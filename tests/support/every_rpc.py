"""Every rpc of the contract, asked of a running service: how it ends, down to the last byte."""

from dataclasses import dataclass

import grpc
from google.api.resource_pb2 import resource_reference
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import Default

from server.grpc_api.server import SERVICES
from tests.support.service import Client, Refusal, refusal_of, refusal_told

METHODS = {method.name: method for name in SERVICES for method in Default().FindServiceByName(name).methods}
NAMES = {
    "keystead.dev/Organization": "",
    "keystead.dev/WrappingKey": f"/wrappingKeys/{'0' * 32}",
    "keystead.dev/MainKey": "/mainKeys/common",
    "keystead.dev/Kek": f"/keks/{'0' * 32}",
    "keystead.dev/Rotation": f"/rotations/{'0' * 32}",
    "keystead.dev/AuditEvent": "/auditEvents/1",
    "keystead.dev/ApprovalRule": "/approvalRule",
    "keystead.dev/Approval": f"/approvals/{'0' * 32}",
}
"""What a field names that refers to one of these, below the organisation."""
UNBOUND = {"ListOrganizations"}
"""Methods that name no organisation: each caller gets what is its own."""
CALL_ID = (("x-request-id", "roles"),)
"""The same for every call, so that answers can be compared byte for byte."""


@dataclass(frozen=True)
class Outcome:
    """How a call ended: the refusal, if it was one, and every byte of it."""

    refusal: Refusal | None
    told: bytes = b""

    @property
    def is_forbidden(self) -> bool:
        refusal = self.refusal
        return refusal is not None and (refusal.code.name, refusal.reason) == ("PERMISSION_DENIED", "FORBIDDEN")


def request_for(kind, organization):
    """A request to this organisation, well-formed where the contract says that a field names something."""
    name = f"organizations/{organization}"
    request = message_factory.GetMessageClass(kind)()
    for field in kind.fields:
        refers_to = field.GetOptions().Extensions[resource_reference]
        if refers_to.child_type:
            setattr(request, field.name, name)
        elif refers_to.type and field.is_repeated:
            getattr(request, field.name).append(name + NAMES[refers_to.type])
        elif refers_to.type:
            setattr(request, field.name, name + NAMES[refers_to.type])
        elif field.name == "organization_id":
            request.organization_id = organization
        elif field.enum_type is not None and not field.is_repeated:
            setattr(request, field.name, 1)
    for choice in kind.oneofs:
        # A message that carries one of several others; those that are optional fields have a oneof of their own.
        field = choice.fields[0]
        if field.message_type is not None:
            getattr(request, field.name).CopyFrom(request_for(field.message_type, organization))
    return request


def outcome(client: Client, method, organization) -> Outcome:
    """Return how a call ended; of a stream, or of a call of several items, how the first of it did."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    answer = message_factory.GetMessageClass(method.output_type).FromString
    shape = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(client.channel, shape)(path, lambda request: request.SerializeToString(), answer)
    request = request_for(method.input_type, organization)
    try:
        answers = call(iter([request]) if method.client_streaming else request, timeout=20, metadata=CALL_ID)
        if method.server_streaming:
            first = next(answers)
            answers.cancel()
            return outcome_of_item(first)
        return outcome_of_item(answers.results[0]) if method.name == "GetAuthority" else Outcome(None)
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        assert refusal.reason != "MALFORMED_NAME", "the request does not get as far as to be forbidden"
        trailing = {key: value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"}
        return Outcome(refusal, trailing.get("grpc-status-details-bin", b""))


def outcome_of_item(item) -> Outcome:
    if "status" not in {field.name for field, _ in item.ListFields()}:
        return Outcome(None)
    return Outcome(refusal_told(item.status), item.status.SerializeToString(deterministic=True))
