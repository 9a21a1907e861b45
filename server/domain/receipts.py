"""Receipts: what was done to a main key, and what the token says of it, signed for its owner to keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from server.domain.audit import AuditAction, AuditEvent
from server.domain.ids import OrganizationId
from server.domain.main_keys import State
from server.domain.rotations import RotationState

RECEIPT = "keystead.receipt.v1"
"""What the signed bytes are."""


class Act(StrEnum):
    """What there is a receipt of."""

    IMPORT = "IMPORT"
    ACTIVATION = "ACTIVATION"
    ROTATION = "ROTATION"
    REVOCATION = "REVOCATION"
    DELETION = "DELETION"
    UNDELETION = "UNDELETION"
    DESTRUCTION = "DESTRUCTION"


_BY_STATE: Mapping[str, Act] = MappingProxyType(
    {State.ACTIVE: Act.ACTIVATION, State.REVOKED: Act.REVOCATION, State.DELETED: Act.DELETION}
)


def act_of(event: AuditEvent) -> Act | None:
    """Return what an event is a receipt of, or None if there is none of it."""
    match event.action:
        case AuditAction.MAIN_KEY_IMPORTED:
            return Act.IMPORT
        case AuditAction.MAIN_KEY_DESTROYED:
            return Act.DESTRUCTION
        case AuditAction.ROTATION_ENDED if event.to_state == RotationState.DONE:
            return Act.ROTATION
        case AuditAction.MAIN_KEY_MOVED if event.from_state == State.DELETED and event.to_state != State.REMOVED:
            return Act.UNDELETION
        case AuditAction.MAIN_KEY_MOVED:
            return _BY_STATE.get(event.to_state or "")
    return None


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What the token says of a main key, at the moment that it is asked."""

    attributes: Mapping[str, bool]
    """Each CKA_* that is a yes or a no."""
    mechanisms: tuple[str, ...]
    """The CKM_* that it may be used with."""


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What the token says of itself."""

    manufacturer: str
    model: str
    serial: str
    firmware: str
    is_software: bool

    @property
    def attestation(self) -> str:
        """Return what stands behind what it says."""
        return "software token, not attested" if self.is_software else "not attested"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A signed statement about an event."""

    organization: OrganizationId
    sequence: int
    """Of the event."""
    statement: bytes
    """What is signed: canonical JSON."""
    key_fingerprint: bytes
    signature: bytes
