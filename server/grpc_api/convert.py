"""Between the domain's objects and the contract's messages."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from google.protobuf.timestamp_pb2 import Timestamp
from keystead.v1 import main_key_service_pb2 as messages
from keystead.v1 import resources_pb2 as pb
from keystead.v1.authority_service_pb2 import Authority

from server.domain.approvals import Approval, ApprovalRule, rule_of
from server.domain.authority import AuthoritySnapshot
from server.domain.etags import etag_of_approval_rule, etag_of_main_key, etag_of_organization, etag_of_rotation
from server.domain.ids import (
    ApprovalName,
    ApprovalRuleName,
    KekName,
    MainKeyName,
    OrganizationName,
    RotationName,
    WrappingKeyName,
)
from server.domain.keks import WRAPPING_ALGORITHM, Kek
from server.domain.main_keys import Action, MainKey
from server.domain.moves import ADMINISTRATORS_ACTIONS
from server.domain.wrapping_keys import FAILED_UPLOADS_LIMIT, Algorithm, WrappingKey
from server.use_cases import (
    ChangePreview,
    ImportedMainKey,
    MainKeyView,
    OrganizationView,
    RevokedMainKey,
    RotationView,
    VerifiedCopy,
)

OPENSSL_COMMANDS = (
    "openssl rand -out main_key.bin 32",
    "openssl pkeyutl -encrypt -pubin -inkey public.pem -in main_key.bin -out main_key_encrypted.bin "
    "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256",
    "head -c 32 /dev/zero | openssl enc -id-aes256-wrap -K $(xxd -p -c 64 main_key.bin) -iv A6A6A6A6A6A6A6A6 "
    "| openssl sha256",
)
"""What a customer runs: make a main key, encrypt it, and print its fingerprint."""

_MOVES: Mapping[Action, "pb.MainKey.Move.ValueType"] = MappingProxyType(
    {action: pb.MainKey.Move.Value(action) for action in ADMINISTRATORS_ACTIONS}
)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return a moment's message, or None."""
    if moment is None:
        return None
    told = Timestamp()
    told.FromDatetime(moment)
    return told


def organization(view: OrganizationView) -> pb.Organization:
    """Return an organisation's message."""
    it = view.organization
    return pb.Organization(
        name=str(OrganizationName(it.id)),
        display_name=it.display_name,
        main_key=str(MainKeyName(it.id, it.main_key)),
        epoch=it.epoch,
        kek_count=view.kek_count,
        create_time=timestamp(it.create_time),
        byok_enabled=it.byok_enabled,
        main_key_state=pb.MainKey.State.Value(view.main_key.state),
        rotation_due_time=timestamp(view.main_key.rotation_due_time),
        verify_time=timestamp(view.main_key.verify_time),
        etag=etag_of_organization(it),
    )


def wrapping_key(key: WrappingKey) -> pb.WrappingKey:
    """Return a wrapping key's message."""
    public_key = load_der_public_key(key.public_key)
    return pb.WrappingKey(
        name=str(WrappingKeyName(key.organization, key.id)),
        public_key_pem=public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        algorithm=pb.WrappingKey.Algorithm.Value(key.algorithm),
        public_key_sha256=hashlib.sha256(key.public_key).digest(),
        expire_time=timestamp(key.expire_time),
        remaining_attempts=FAILED_UPLOADS_LIMIT - key.failed_uploads,
        openssl_commands=OPENSSL_COMMANDS,
        create_time=timestamp(key.create_time),
    )


def algorithm(value: "pb.WrappingKey.Algorithm.ValueType") -> Algorithm | None:
    """Return the algorithm that a request names, or None if it leaves the choice to us.

    Raises:
        KeyError: there is no such algorithm.
    """
    if value == pb.WrappingKey.ALGORITHM_UNSPECIFIED:
        return None
    known = {pb.WrappingKey.Algorithm.Value(it): it for it in Algorithm}
    return known[value]


def authority(it: AuthoritySnapshot) -> Authority:
    """Return the message of what is known of an organisation, without a lease."""
    return Authority(
        organization=str(OrganizationName(it.organization)),
        main_key=str(MainKeyName(it.organization, it.main_key)),
        state=pb.MainKey.State.Value(it.state),
        epoch=it.epoch,
    )


def main_key(view: MainKeyView) -> pb.MainKey:
    """Return a main key's message."""
    key = view.key
    return pb.MainKey(
        name=str(MainKeyName(key.organization, key.id)),
        origin=pb.MainKey.Origin.Value(key.origin),
        state=pb.MainKey.State.Value(key.state),
        fingerprint=key.fingerprint,
        kek_count=view.kek_count,
        next_moves=[_MOVES[action] for action in view.next_moves],
        create_time=timestamp(key.create_time),
        state_time=timestamp(key.state_time),
        purge_time=timestamp(key.purge_time),
        revocation=_revocation(key),
        activate_time=timestamp(key.activate_time),
        rotation_due_time=timestamp(key.rotation_due_time),
        verify_time=timestamp(key.verify_time),
        missing_time=timestamp(key.missing_time),
        etag=etag_of_main_key(key),
    )


def _revocation(key: MainKey) -> pb.MainKey.Revocation | None:
    if key.revoke_time is None:
        return None
    return pb.MainKey.Revocation(
        cause=pb.MainKey.Revocation.LOCAL,
        reason=key.revoke_reason,
        revoke_time=timestamp(key.revoke_time),
        reactivate_time=timestamp(key.reactivate_time),
    )


def imported(answer: ImportedMainKey, *, verified: bool) -> messages.ImportMainKeyResponse:
    """Return the message of a main key that has arrived; `verified` says whether its checksum was compared."""
    return messages.ImportMainKeyResponse(
        main_key=main_key(answer.main_key),
        active_main_key=str(answer.active),
        verified_encrypted_key_crc32c=verified,
    )


def revoked(answer: RevokedMainKey) -> messages.RevokeMainKeyResponse:
    """Return the message of a main key that was revoked."""
    return messages.RevokeMainKeyResponse(
        main_key=main_key(answer.main_key), effective_time=timestamp(answer.effective_time)
    )


def preview(it: ChangePreview) -> messages.PreviewChangeResponse:
    """Return the message of what a change would do."""
    return messages.PreviewChangeResponse(
        obstacle=it.obstacle,
        kek_count=it.kek_count,
        stops_content_keys=it.stops_content_keys,
        content_keys_last_day=it.usage.last_day,
        content_keys_last_30_days=it.usage.last_30_days,
        last_use_time=timestamp(it.usage.last_use_time),
        effects=it.effects,
    )


def compared(it: VerifiedCopy, *, verified: bool) -> messages.VerifyMainKeyCopyResponse:
    """Return the message of a copy that was compared with a main key; `verified` is as in `imported`."""
    return messages.VerifyMainKeyCopyResponse(
        matches=it.fingerprint == it.main_key.key.fingerprint,
        main_key=main_key(it.main_key),
        copy_fingerprint=it.fingerprint,
        matching_main_key="" if it.matching is None else str(it.matching),
        verified_encrypted_key_crc32c=verified,
    )


def kek(it: Kek) -> pb.Kek:
    """Return a KEK's message."""
    return pb.Kek(
        name=str(KekName(it.organization, it.kek)),
        version=it.version,
        main_key=str(MainKeyName(it.organization, it.main_key)),
        wrapping_algorithm=WRAPPING_ALGORITHM,
        remaining_encryptions=it.remaining_encryptions,
        create_time=timestamp(it.create_time),
        rewrap_time=timestamp(it.rewrap_time),
    )


def rotation(view: RotationView) -> pb.Rotation:
    """Return a rotation's message."""
    it = view.rotation
    return pb.Rotation(
        name=str(RotationName(it.organization, it.id)),
        from_main_key=str(MainKeyName(it.organization, it.from_main_key)),
        to_main_key=str(MainKeyName(it.organization, it.to_main_key)),
        state=pb.Rotation.State.Value(it.state),
        total_count=it.total,
        done_count=it.done,
        failed_count=it.failed,
        start_time=timestamp(it.start_time),
        end_time=timestamp(it.end_time),
        progress_time=timestamp(it.progress_time),
        keks_per_second=it.rate,
        estimated_end_time=timestamp(it.estimated_end_time),
        failed_keks=map(str, view.failed_keks),
        etag=etag_of_rotation(it),
    )


def approval_rule(it: ApprovalRule) -> pb.ApprovalRule:
    """Return the message of a rule of two persons."""
    return pb.ApprovalRule(
        name=str(ApprovalRuleName(it.organization)),
        enabled=it.enabled,
        required_approvals=it.required_approvals,
        revoke_alone=it.revoke_alone,
        etag=etag_of_approval_rule(it),
    )


def approval(it: Approval) -> pb.Approval:
    """Return an approval's message."""
    return pb.Approval(
        name=str(ApprovalName(it.organization, it.id)),
        action=pb.Approval.Action.Value(it.act),
        target=it.target,
        etag=it.etag,
        new_rule=_new_rule(it) if it.new_rule else None,
        approver=it.approver,
        create_time=timestamp(it.create_time),
        expire_time=timestamp(it.expire_time),
    )


def _new_rule(it: Approval) -> pb.ApprovalRule.Terms:
    rule = rule_of(it.organization, it.new_rule)
    return pb.ApprovalRule.Terms(
        enabled=rule.enabled, required_approvals=rule.required_approvals, revoke_alone=rule.revoke_alone
    )
