"""Between the audit log's objects and the contract's messages."""

import hashlib

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from keystead.v1 import audit_service_pb2 as messages
from keystead.v1 import resources_pb2 as pb

from server.domain.audit import RecordedEvent
from server.domain.checkpoints import AuditKey
from server.domain.ids import AuditEventName, OrganizationName
from server.domain.receipts import Receipt
from server.grpc_api.convert import timestamp
from server.use_cases import ProvenEvent, ProvenGrowth, SignedCheckpoint


def audit_event(recorded: RecordedEvent) -> pb.AuditEvent:
    """Return an event's message."""
    it = recorded.event
    return pb.AuditEvent(
        name=str(AuditEventName(it.organization, recorded.sequence)),
        sequence=recorded.sequence,
        time=timestamp(it.time),
        since=timestamp(it.since),
        actor=it.actor,
        action=pb.AuditEvent.Action.Value(it.action),
        subject=it.subject_name or "",
        from_state=it.from_state or "",
        to_state=it.to_state or "",
        main_key=it.main_key_name or "",
        kek_count=it.kek_count,
        operation=it.operation or "",
        reason=it.reason or "",
        note=it.note or "",
        count=it.count,
        request_id=it.request_id or "",
        call_id=it.call_id or "",
        wrapping_key=it.wrapping_key_name or "",
        due_time=timestamp(it.due_time),
    )


def checkpoint(signed: SignedCheckpoint) -> messages.AuditCheckpoint:
    """Return a checkpoint's message."""
    head, key = signed.checkpoint.head, signed.key
    return messages.AuditCheckpoint(
        organization=str(OrganizationName(head.organization)),
        tree_size=head.size,
        root_hash=head.root,
        time=timestamp(head.time),
        signed_bytes=head.signed_bytes,
        algorithm=messages.AuditCheckpoint.Algorithm.Value(key.algorithm),
        signature=signed.checkpoint.signature,
        public_key_pem=_pem(key),
        public_key_sha256=hashlib.sha256(key.public_key).digest(),
    )


def receipt(it: Receipt, key: AuditKey) -> messages.Receipt:
    """Return a receipt's message, signed by this key."""
    return messages.Receipt(
        name=str(AuditEventName(it.organization, it.sequence)),
        signed_bytes=it.statement,
        algorithm=messages.AuditCheckpoint.Algorithm.Value(key.algorithm),
        signature=it.signature,
        public_key_pem=_pem(key),
        public_key_sha256=it.key_fingerprint,
    )


def _pem(key: AuditKey) -> str:
    return load_der_public_key(key.public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def inclusion(it: ProvenEvent) -> messages.InclusionProof:
    """Return the message of an event that is in the log."""
    return messages.InclusionProof(
        event=it.event, leaf_index=it.leaf_index, tree_size=it.tree_size, path=it.path, root_hash=it.root
    )


def consistency(it: ProvenGrowth) -> messages.ConsistencyProof:
    """Return the message of a log that has only grown."""
    return messages.ConsistencyProof(
        old_size=it.old_size,
        new_size=it.new_size,
        path=it.path,
        old_root_hash=it.old_root,
        new_root_hash=it.new_root,
    )
