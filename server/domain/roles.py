"""Who may do what. What is not in the table is forbidden."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from server.domain.errors import ForbiddenError
from server.domain.ids import OrganizationId


class Role(StrEnum):
    """What a caller is."""

    OPERATOR = "operator"
    """Runs the platform: creates organisations, never touches keys."""
    ADMINISTRATOR = "administrator"
    """A full administrator of named organisations: manages their main keys."""
    AUDITOR = "auditor"
    """Sees what administrators of named organisations see, and changes nothing."""
    SERVICE = "service"
    """Uses KEKs and content keys of named organisations."""
    CONSOLE = "console"
    """Passes the calls of people on, each with the person's own bearer token: nothing by itself."""


class Operation(StrEnum):
    """What can be asked for; each is the name of an rpc."""

    CREATE_ORGANIZATION = "CreateOrganization"
    GET_ORGANIZATION = "GetOrganization"
    LIST_ORGANIZATIONS = "ListOrganizations"
    ENABLE_BYOK = "EnableByok"
    DISABLE_BYOK = "DisableByok"
    GET_WRAPPING_KEY = "GetWrappingKey"
    IMPORT_MAIN_KEY = "ImportMainKey"
    LIST_MAIN_KEYS = "ListMainKeys"
    GET_MAIN_KEY = "GetMainKey"
    ACTIVATE_MAIN_KEY = "ActivateMainKey"
    REVOKE_MAIN_KEY = "RevokeMainKey"
    DELETE_MAIN_KEY = "DeleteMainKey"
    UNDELETE_MAIN_KEY = "UndeleteMainKey"
    PREVIEW_CHANGE = "PreviewChange"
    VERIFY_MAIN_KEY_COPY = "VerifyMainKeyCopy"
    LIST_ROTATIONS = "ListRotations"
    GET_ROTATION = "GetRotation"
    WATCH_ROTATION = "WatchRotation"
    PAUSE_ROTATION = "PauseRotation"
    RESUME_ROTATION = "ResumeRotation"
    GET_APPROVAL_RULE = "GetApprovalRule"
    UPDATE_APPROVAL_RULE = "UpdateApprovalRule"
    APPROVE_CHANGE = "ApproveChange"
    LIST_APPROVALS = "ListApprovals"
    WITHDRAW_APPROVAL = "WithdrawApproval"
    CREATE_KEK = "CreateKek"
    GET_KEK = "GetKek"
    LIST_KEKS = "ListKeks"
    GENERATE_CONTENT_KEYS = "GenerateContentKeys"
    WRAP_CONTENT_KEYS = "WrapContentKeys"
    UNWRAP_CONTENT_KEYS = "UnwrapContentKeys"
    REWRAP_CONTENT_KEYS = "RewrapContentKeys"
    STREAM_CONTENT_KEYS = "StreamContentKeys"
    GET_AUTHORITY = "GetAuthority"
    WATCH_ORGANIZATION = "WatchOrganization"
    LIST_AUDIT_EVENTS = "ListAuditEvents"
    EXPORT_AUDIT_EVENTS = "ExportAuditEvents"
    GET_AUDIT_CHECKPOINT = "GetAuditCheckpoint"
    GET_INCLUSION_PROOF = "GetInclusionProof"
    GET_CONSISTENCY_PROOF = "GetConsistencyProof"
    GET_RECEIPT = "GetReceipt"


_O, _A, _R, _S = Role.OPERATOR, Role.ADMINISTRATOR, Role.AUDITOR, Role.SERVICE

ALLOWED: Mapping[Operation, frozenset[Role]] = MappingProxyType(
    {
        Operation.CREATE_ORGANIZATION: frozenset({_O}),
        Operation.GET_ORGANIZATION: frozenset({_O, _A, _R, _S}),
        Operation.LIST_ORGANIZATIONS: frozenset({_O, _A, _R, _S}),
        Operation.ENABLE_BYOK: frozenset({_A}),
        Operation.DISABLE_BYOK: frozenset({_A}),
        Operation.GET_WRAPPING_KEY: frozenset({_A}),
        Operation.IMPORT_MAIN_KEY: frozenset({_A}),
        Operation.LIST_MAIN_KEYS: frozenset({_A, _R}),
        Operation.GET_MAIN_KEY: frozenset({_A, _R}),
        Operation.ACTIVATE_MAIN_KEY: frozenset({_A}),
        Operation.REVOKE_MAIN_KEY: frozenset({_A}),
        Operation.DELETE_MAIN_KEY: frozenset({_A}),
        Operation.UNDELETE_MAIN_KEY: frozenset({_A}),
        Operation.PREVIEW_CHANGE: frozenset({_A}),
        Operation.VERIFY_MAIN_KEY_COPY: frozenset({_A}),
        Operation.LIST_ROTATIONS: frozenset({_A, _R}),
        Operation.GET_ROTATION: frozenset({_A, _R}),
        Operation.WATCH_ROTATION: frozenset({_A, _R}),
        Operation.PAUSE_ROTATION: frozenset({_A}),
        Operation.RESUME_ROTATION: frozenset({_A}),
        Operation.GET_APPROVAL_RULE: frozenset({_A, _R}),
        Operation.UPDATE_APPROVAL_RULE: frozenset({_A}),
        Operation.APPROVE_CHANGE: frozenset({_A}),
        Operation.LIST_APPROVALS: frozenset({_A, _R}),
        Operation.WITHDRAW_APPROVAL: frozenset({_A}),
        Operation.CREATE_KEK: frozenset({_S}),
        Operation.GET_KEK: frozenset({_A, _R, _S}),
        Operation.LIST_KEKS: frozenset({_A, _R, _S}),
        Operation.GENERATE_CONTENT_KEYS: frozenset({_S}),
        Operation.WRAP_CONTENT_KEYS: frozenset({_S}),
        Operation.UNWRAP_CONTENT_KEYS: frozenset({_S}),
        Operation.REWRAP_CONTENT_KEYS: frozenset({_S}),
        Operation.STREAM_CONTENT_KEYS: frozenset({_S}),
        Operation.GET_AUTHORITY: frozenset({_S}),
        Operation.WATCH_ORGANIZATION: frozenset({_S}),
        Operation.LIST_AUDIT_EVENTS: frozenset({_A, _R}),
        Operation.EXPORT_AUDIT_EVENTS: frozenset({_A, _R}),
        Operation.GET_AUDIT_CHECKPOINT: frozenset({_A, _R}),
        Operation.GET_INCLUSION_PROOF: frozenset({_A, _R}),
        Operation.GET_CONSISTENCY_PROOF: frozenset({_A, _R}),
        Operation.GET_RECEIPT: frozenset({_A, _R}),
    }
)


UNBOUND_ROLES = frozenset({Role.OPERATOR, Role.CONSOLE})
"""Roles that name no organisations: an operator's holds for all, a console's for none."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, and the organisations it holds for; those of `UNBOUND_ROLES` name none."""

    role: Role
    organizations: frozenset[OrganizationId]

    def covers(self, organization: OrganizationId) -> bool:
        """Return whether it holds for this organisation."""
        return self.role is Role.OPERATOR or organization in self.organizations


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, proven by the transport, and what the policy grants it.

    Attributes:
        identity: its name, in the record of changes and the log.
        grants: what it may do.
        person: the identity of the person that the policy says it is; empty if it says nothing.
    """

    identity: str
    grants: tuple[Grant, ...]
    person: str = ""

    @property
    def hand(self) -> str:
        """Return by whose hand the caller acts: two identities that are known to be one person are one hand."""
        return self.person or self.identity


def authorize(caller: Caller, operation: Operation, organization: OrganizationId | None) -> None:
    """Return if `caller` may do this.

    Args:
        caller: who asks.
        operation: what it asks for.
        organization: what it asks it of; None when the operation is not about one organisation.

    Raises:
        ForbiddenError: no grant allows it.
    """
    for grant in caller.grants:
        if grant.role in ALLOWED[operation] and (organization is None or grant.covers(organization)):
            return
    raise ForbiddenError
