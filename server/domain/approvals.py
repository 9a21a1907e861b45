"""The rule of two persons: acts that other administrators must approve, each approval for one very act.

- It is off until an organisation's administrators switch it on.
- An approval is bound to organisation, act, target, the target's etag and, for the rule itself, what it becomes; and to
  a time. What is done uses it up.
- Nobody approves an act of their own: who approves and who acts must be different hands (`Caller.hand`).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from server.domain.errors import InvalidFieldError
from server.domain.ids import ObjectId, OrganizationId

APPROVALS_LIMIT = 10
"""Approvals that a rule may ask for."""
LIFETIMES = (timedelta(minutes=1), timedelta(hours=24))
"""The shortest and the longest time for which an approval is good."""
DEFAULT_LIFETIME = timedelta(hours=1)


class Act(StrEnum):
    """What needs approval while the rule is on; each is the name of an operation."""

    REVOKE_MAIN_KEY = "REVOKE_MAIN_KEY"
    DELETE_MAIN_KEY = "DELETE_MAIN_KEY"
    DISABLE_BYOK = "DISABLE_BYOK"
    UPDATE_APPROVAL_RULE = "UPDATE_APPROVAL_RULE"


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """An organisation's rule.

    Attributes:
        organization: whose it is.
        required_approvals: how many others must approve; 0: the rule is off.
        revoke_alone: whether one may revoke without approval.
        change_time: when it became so; None if it never was on.
    """

    organization: OrganizationId
    required_approvals: int = 0
    revoke_alone: bool = False
    change_time: datetime | None = field(default=None, compare=False)

    @property
    def enabled(self) -> bool:
        """Return whether it is on."""
        return self.required_approvals > 0

    @property
    def words(self) -> str:
        """Return what it says in a few words, the same for the same rule."""
        if not self.enabled:
            return "OFF"
        return f"{self.required_approvals}_APPROVALS" + "_REVOKE_ALONE" * self.revoke_alone

    def binds(self, act: Act) -> bool:
        """Return whether an act needs approval."""
        return self.enabled and not (act is Act.REVOKE_MAIN_KEY and self.revoke_alone)


def checked_rule(
    organization: OrganizationId, *, enabled: bool, required_approvals: int, revoke_alone: bool
) -> ApprovalRule:
    """Return the rule of these terms.

    Raises:
        InvalidFieldError: it would be on without approvals, or off with some.
    """
    fits = 1 <= required_approvals <= APPROVALS_LIMIT if enabled else required_approvals == 0
    if not fits:
        raise InvalidFieldError("required_approvals", f"1 to {APPROVALS_LIMIT} if the rule is on, 0 if it is off")
    if revoke_alone and not enabled:
        raise InvalidFieldError("revoke_alone", "only if the rule is on")
    return ApprovalRule(organization, required_approvals, revoke_alone)


def rule_of(organization: OrganizationId, words: str) -> ApprovalRule:
    """Return the rule that has these words."""
    number, _, _ = words.partition("_")
    return (
        ApprovalRule(organization)
        if words == "OFF"
        else ApprovalRule(organization, int(number), revoke_alone=words.endswith("_REVOKE_ALONE"))
    )


@dataclass(frozen=True, slots=True)
class ExactAct:
    """One very act.

    Attributes:
        act: what is done.
        target: resource name of what it is done to.
        etag: of the target before it.
        new_rule: for UPDATE_APPROVAL_RULE what the rule becomes, in its words; else empty.
    """

    act: Act
    target: str
    etag: str
    new_rule: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """An administrator's approval of one very act of another.

    Attributes:
        organization: whose it is.
        id: its id.
        act, target, etag, new_rule: as in ExactAct.
        approver: the identity of who approves.
        hand: by whose hand, as in Caller.
        create_time: when it was given.
        expire_time: until when it is good.
    """

    organization: OrganizationId
    id: ObjectId
    act: Act
    target: str
    etag: str
    new_rule: str
    approver: str
    hand: str
    create_time: datetime
    expire_time: datetime

    @property
    def words(self) -> str:
        """Return what it is for, for the record of changes: at most 200 characters."""
        return " ".join(filter(None, (self.act, self.target, self.etag, self.new_rule)))
