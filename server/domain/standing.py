"""How a thing stands by the audit log, to be compared with what its row says.

Whoever can write to the database can give a row another state. What he cannot do without leaving a trace for ever is to
make the log tell of it: so a row that says something else than the last event about its subject is not believed.
"""

from server.domain.approvals import Approval, ApprovalRule
from server.domain.audit import AuditAction, AuditEvent
from server.domain.main_keys import MainKey, Origin, State

STANDING = frozenset(
    {
        AuditAction.MAIN_KEY_IMPORTED,
        AuditAction.MAIN_KEY_MOVED,
        AuditAction.APPROVAL_RULE_CHANGED,
        AuditAction.CHANGE_APPROVED,
        AuditAction.APPROVAL_USED,
        AuditAction.APPROVAL_WITHDRAWN,
    }
)
"""The events that tell how their subject stands from then on. The rule's have none, and are alone in that."""


def is_main_key_recorded(key: MainKey, last: AuditEvent | None) -> bool:
    """Return whether a main key stands as its last event tells: in which state, and until when."""
    if last is None:  # Every organisation begins with the common key, ACTIVE, and that is no move.
        return key.origin is Origin.COMMON and key.state is State.ACTIVE
    prior_state = last.from_state if last.to_state == State.DELETED else None
    return (key.state, key.prior_state, key.due_time) == (last.to_state, prior_state, last.due_time)


def is_rule_recorded(rule: ApprovalRule, last: AuditEvent | None) -> bool:
    """Return whether a rule of two persons is the one that its last event tells of."""
    told = ApprovalRule(rule.organization).words if last is None else last.to_state
    return rule.words == told


def is_approval_recorded(approval: Approval, last: AuditEvent | None) -> bool:
    """Return whether an approval was given, by whom it says and for what it says, and not used or withdrawn."""
    if last is None or last.action is not AuditAction.CHANGE_APPROVED:
        return False
    told = (last.actor, last.note, last.time, last.due_time)
    return (approval.approver, approval.words, approval.create_time, approval.expire_time) == told
