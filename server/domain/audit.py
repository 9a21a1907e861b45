"""What is recorded: every change, every refusal, and the use of content keys.

An event is written once and never changed. In each organisation events are numbered from 1, without gaps, and are the
leaves of a Merkle tree (merkle.py), whose root is signed in the token (checkpoints.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from server.domain.ids import MainKeyName, ObjectId, OrganizationId, WrappingKeyName

STEWARD = "steward"
"""The actor of what Keystead does by itself."""

OFFICER = "security-officer"
"""The actor of what the token's security officer does, at the machine of the service."""


class AuditAction(StrEnum):
    """What happened."""

    ORGANIZATION_CREATED = "ORGANIZATION_CREATED"
    WRAPPING_KEY_CREATED = "WRAPPING_KEY_CREATED"
    WRAPPING_KEY_ENDED = "WRAPPING_KEY_ENDED"
    UPLOAD_REJECTED = "UPLOAD_REJECTED"
    MAIN_KEY_IMPORTED = "MAIN_KEY_IMPORTED"
    MAIN_KEY_MOVED = "MAIN_KEY_MOVED"
    MAIN_KEY_VERIFIED = "MAIN_KEY_VERIFIED"
    MAIN_KEY_TRUSTED = "MAIN_KEY_TRUSTED"
    MAIN_KEY_MISSING = "MAIN_KEY_MISSING"
    MAIN_KEY_FOUND = "MAIN_KEY_FOUND"
    MAIN_KEY_DESTROYED = "MAIN_KEY_DESTROYED"
    ROTATION_DUE = "ROTATION_DUE"
    BYOK_ENABLED = "BYOK_ENABLED"
    BYOK_DISABLED = "BYOK_DISABLED"
    ROTATION_STARTED = "ROTATION_STARTED"
    ROTATION_ENDED = "ROTATION_ENDED"
    ROTATION_PAUSED = "ROTATION_PAUSED"
    ROTATION_RESUMED = "ROTATION_RESUMED"
    APPROVAL_RULE_CHANGED = "APPROVAL_RULE_CHANGED"
    CHANGE_APPROVED = "CHANGE_APPROVED"
    APPROVAL_USED = "APPROVAL_USED"
    APPROVAL_WITHDRAWN = "APPROVAL_WITHDRAWN"
    KEK_CREATED = "KEK_CREATED"
    KEK_VERSION_CREATED = "KEK_VERSION_CREATED"
    CONTENT_KEYS_USED = "CONTENT_KEYS_USED"
    """Content keys were made, wrapped, unwrapped or rewrapped, or that was refused: counted over a moment."""
    RECORDS_LOST = "RECORDS_LOST"
    """Content keys were used whose records could not be kept: the operator's settings let them be used all the same."""
    REFUSED = "REFUSED"
    """A request was refused."""


COUNTED = frozenset({AuditAction.CONTENT_KEYS_USED, AuditAction.RECORDS_LOST, AuditAction.REFUSED})
"""What is collected by a process for a moment before it is written, so that its time may be a little behind."""

_COLLECTIONS: Mapping[AuditAction, str] = MappingProxyType(
    {
        AuditAction.WRAPPING_KEY_CREATED: "wrappingKeys",
        AuditAction.WRAPPING_KEY_ENDED: "wrappingKeys",
        AuditAction.UPLOAD_REJECTED: "wrappingKeys",
        AuditAction.MAIN_KEY_IMPORTED: "mainKeys",
        AuditAction.MAIN_KEY_MOVED: "mainKeys",
        AuditAction.MAIN_KEY_VERIFIED: "mainKeys",
        AuditAction.MAIN_KEY_TRUSTED: "mainKeys",
        AuditAction.MAIN_KEY_MISSING: "mainKeys",
        AuditAction.MAIN_KEY_FOUND: "mainKeys",
        AuditAction.MAIN_KEY_DESTROYED: "mainKeys",
        AuditAction.ROTATION_DUE: "mainKeys",
        AuditAction.ROTATION_STARTED: "rotations",
        AuditAction.ROTATION_ENDED: "rotations",
        AuditAction.ROTATION_PAUSED: "rotations",
        AuditAction.ROTATION_RESUMED: "rotations",
        AuditAction.CHANGE_APPROVED: "approvals",
        AuditAction.APPROVAL_USED: "approvals",
        AuditAction.APPROVAL_WITHDRAWN: "approvals",
        AuditAction.KEK_CREATED: "keks",
        AuditAction.KEK_VERSION_CREATED: "keks",
        AuditAction.CONTENT_KEYS_USED: "keks",
    }
)
"""Where the subject of an event is to be found; what is not here has none."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that happened in an organisation."""

    organization: OrganizationId
    time: datetime
    """When; of what was counted over a moment, its end."""
    actor: str
    """The caller's identity, or STEWARD; "*" for many callers together."""
    action: AuditAction
    subject: ObjectId | None
    """The key, rotation or approval that it happened to."""
    from_state: str | None = None
    to_state: str | None = None
    main_key: ObjectId | None = None
    """The main key that it was under."""
    wrapping_key: ObjectId | None = None
    """The wrapping key that it came under."""
    kek_count: int | None = None
    """KEKs under the main key of a move, or re-wrapped by a rotation."""
    operation: str | None = None
    """What was asked for, by the name of its rpc."""
    reason: str | None = None
    """Why it was refused, as the caller was told; None if it was not."""
    resource: str | None = None
    """What a refused request named."""
    due_time: datetime | None = None
    """When it ends by itself: a revocation, an approval; or is removed: a key that was deleted or is RETIRED."""
    note: str | None = None
    """What a person wrote to it; of an approval, what was approved."""
    count: int | None = None
    """Content keys, or refused requests."""
    since: datetime | None = None
    """When that began to be counted."""
    request_id: str | None = None
    """The change's own id, if its caller gave it one."""
    call_id: str | None = None
    """Under which the log tells of the call; of several, the last."""

    @property
    def subject_name(self) -> str | None:
        """Return the resource name of what it is about."""
        if self.subject is None:
            return self.resource
        return f"organizations/{self.organization}/{_COLLECTIONS[self.action]}/{self.subject}"

    @property
    def main_key_name(self) -> str | None:
        """Return the resource name of the main key."""
        return None if self.main_key is None else str(MainKeyName(self.organization, self.main_key))

    @property
    def wrapping_key_name(self) -> str | None:
        """Return the resource name of the wrapping key."""
        return None if self.wrapping_key is None else str(WrappingKeyName(self.organization, self.wrapping_key))


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event in its place."""

    sequence: int
    event: AuditEvent


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events are looked for; None is any."""

    since: datetime | None = None
    before: datetime | None = None
    actions: frozenset[AuditAction] | None = None
    actor: str | None = None
