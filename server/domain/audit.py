"""What is recorded of every change."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from server.domain.ids import ObjectId, OrganizationId


class AuditAction(StrEnum):
    """What happened."""

    ORGANIZATION_CREATED = "ORGANIZATION_CREATED"
    WRAPPING_KEY_CREATED = "WRAPPING_KEY_CREATED"
    WRAPPING_KEY_ENDED = "WRAPPING_KEY_ENDED"
    UPLOAD_REJECTED = "UPLOAD_REJECTED"
    MAIN_KEY_IMPORTED = "MAIN_KEY_IMPORTED"
    MAIN_KEY_MOVED = "MAIN_KEY_MOVED"
    MAIN_KEY_VERIFIED = "MAIN_KEY_VERIFIED"
    MAIN_KEY_MISSING = "MAIN_KEY_MISSING"
    MAIN_KEY_FOUND = "MAIN_KEY_FOUND"
    ROTATION_DUE = "ROTATION_DUE"
    BYOK_ENABLED = "BYOK_ENABLED"
    BYOK_DISABLED = "BYOK_DISABLED"
    ROTATION_PAUSED = "ROTATION_PAUSED"
    ROTATION_RESUMED = "ROTATION_RESUMED"
    KEK_CREATED = "KEK_CREATED"
    KEK_VERSION_CREATED = "KEK_VERSION_CREATED"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change, written in the transaction that makes it."""

    organization: OrganizationId
    time: datetime
    actor: str
    """The caller's identity, or "steward"."""
    action: AuditAction
    subject: ObjectId | None
    """The key that it happened to."""
    from_state: str | None = None
    to_state: str | None = None
