"""An event that has everything, so that nothing is forgotten."""

from datetime import timedelta

from server.domain.audit import AuditAction, AuditEvent, RecordedEvent
from server.domain.audit_encoding import encoded
from tests.support.factories import ACME, NOW

KEY = "ab" * 16
FULL = AuditEvent(
    ACME,
    NOW,
    'spiffe://test/"é"\n\x7f\u2028',
    AuditAction.MAIN_KEY_MOVED,
    KEY,
    from_state="ACTIVE",
    to_state="REVOKED",
    main_key="common",
    wrapping_key="cd" * 16,
    kek_count=12,
    operation="RevokeMainKey",
    reason="NONE",
    due_time=NOW + timedelta(hours=1),
    resource="organizations/acme",
    note="stolen",
    count=3,
    since=NOW - timedelta(milliseconds=200),
    request_id="0b3f9a4e-7e1b-4a53-9c55-1f0f6a2f3a10",
    call_id="0123-1",
)


def recorded(event: AuditEvent) -> bytes:
    """The bytes of an event that are hashed, as the seventh of its log."""
    return encoded(RecordedEvent(7, event))
