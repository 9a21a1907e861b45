"""The rule of two persons, and the approvals that it asks for."""

from dataclasses import replace
from datetime import datetime, timedelta

from server.domain.approvals import (
    DEFAULT_LIFETIME,
    LIFETIMES,
    Act,
    Approval,
    ApprovalRule,
    ExactAct,
)
from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import (
    ApprovalRequiredError,
    InvalidFieldError,
    MalformedNameError,
    ResourceNotFoundError,
    StaleEtagError,
    StateDamagedError,
)
from server.domain.etags import etag_of_approval_rule, etag_of_main_key, etag_of_organization
from server.domain.ids import ApprovalName, ApprovalRuleName, MainKeyName, ObjectId, OrganizationId, OrganizationName
from server.domain.ports import Transaction
from server.domain.roles import Caller, Operation, authorize
from server.domain.standing import is_approval_recorded, is_rule_recorded
from server.use_cases.authority import Authority, lock_authority, read_authority
from server.use_cases.environment import Environment
from server.use_cases.paging import Page, PageRequest, cut
from server.use_cases.terms import FREE, Terms


def demand_approved(
    tx: Transaction, caller: Caller, organization: OrganizationId, exact: ExactAct, now: datetime
) -> None:
    """Return if the organisation's rule lets the caller do this, having used up the approvals that it took.

    Args:
        tx: the transaction of the act, which has locked the organisation.
        caller: who acts.
        organization: whose rule it is.
        exact: the very act.
        now: the present moment.

    Raises:
        ApprovalRequiredError: others have to approve it first.
        StateDamagedError: the audit log does not tell of the rule, or of an approval, as it is stored.
    """
    rule = tx.approvals.rule(organization)
    if not is_rule_recorded(rule, tx.audit.standing(organization, None)):
        raise StateDamagedError(str(ApprovalRuleName(organization)))
    if not rule.binds(exact.act):
        return
    given = [it for it in tx.approvals.matching(organization, exact, now) if it.hand != caller.hand]
    for it in given:
        if not is_approval_recorded(it, tx.audit.standing(organization, it.id)):
            raise StateDamagedError(str(ApprovalName(organization, it.id)))
    missing = rule.required_approvals - len({it.hand for it in given})
    if missing > 0:
        raise ApprovalRequiredError(exact.act, exact.target, exact.etag, missing)
    for approval in given:
        tx.approvals.remove(organization, approval.id)
        tx.audit.append(_event(caller, AuditAction.APPROVAL_USED, approval, now))


class Approvals:
    """What administrators do about approvals.

    Each method may raise, beside what it names:
        ForbiddenError: the caller may not do this to the organisation.
        ResourceNotFoundError: there is no such organisation.
        RequestIdReusedError: the request's id was used for another one.
        AnsweredBefore: this very request was carried out before.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env

    def rule(self, caller: Caller, organization: OrganizationId) -> ApprovalRule:
        """Return the organisation's rule."""
        authorize(caller, Operation.GET_APPROVAL_RULE, organization)
        with self._env.storage.read() as tx:
            read_authority(tx, organization)
            return tx.approvals.rule(organization)

    def update_rule(self, caller: Caller, rule: ApprovalRule, terms: Terms = FREE) -> ApprovalRule:
        """Return the rule, which is now this one.

        Raises:
            ApprovalRequiredError: the present rule asks for approval first.
            StaleEtagError: it was changed since the caller looked.
        """
        organization = rule.organization
        authorize(caller, Operation.UPDATE_APPROVAL_RULE, organization)
        with self._env.storage.write() as tx:
            lock_authority(tx, organization)
            now = self._env.clock()
            terms.demand_new(tx, caller, now)
            present = tx.approvals.rule(organization)
            etag = etag_of_approval_rule(present)
            terms.demand_seen(etag, {"state": present.words})
            if rule == present:
                rule = present
            else:
                name = str(ApprovalRuleName(organization))
                demand_approved(
                    tx, caller, organization, ExactAct(Act.UPDATE_APPROVAL_RULE, name, etag, rule.words), now
                )
                rule = replace(rule, change_time=now)
                tx.approvals.set_rule(rule)
                changed = AuditAction.APPROVAL_RULE_CHANGED
                tx.audit.append(
                    AuditEvent(organization, now, caller.identity, changed, None, present.words, rule.words)
                )
            terms.keep(tx, caller, rule, now)
        return rule

    def approve(
        self,
        caller: Caller,
        organization: OrganizationId,
        exact: ExactAct,
        lifetime: timedelta | None = None,
        terms: Terms = FREE,
    ) -> Approval:
        """Return the caller's approval of an act of somebody else.

        Raises:
            InvalidFieldError: the target is none of this act's, the new rule is missing or too much, the etag is
                missing, or the lifetime is out of its limits.
            ResourceNotFoundError: there is no such target.
            StaleEtagError: the target was changed since the caller looked.
        """
        authorize(caller, Operation.APPROVE_CHANGE, organization)
        shortest, longest = LIFETIMES
        lifetime = DEFAULT_LIFETIME if lifetime is None else lifetime
        if not shortest <= lifetime <= longest:
            raise InvalidFieldError("lifetime", "1 minute to 24 hours")
        if not exact.etag:
            raise InvalidFieldError("etag", "that of the target as you have seen it")
        if (exact.act is Act.UPDATE_APPROVAL_RULE) != bool(exact.new_rule):
            raise InvalidFieldError("new_rule", "for UPDATE_APPROVAL_RULE, and for nothing else")
        with self._env.storage.write() as tx:
            authority = lock_authority(tx, organization)
            now = self._env.clock()
            terms.demand_new(tx, caller, now)
            _demand_present(tx, authority, exact)
            approval = Approval(
                organization=organization,
                id=self._env.new_id(),
                act=exact.act,
                target=exact.target,
                etag=exact.etag,
                new_rule=exact.new_rule,
                approver=caller.identity,
                hand=caller.hand,
                create_time=now,
                expire_time=now + lifetime,
            )
            for earlier in tx.approvals.matching(organization, exact, now):
                if earlier.hand == caller.hand:
                    # Of one hand one approval counts: this one takes its place.
                    _withdraw(tx, caller, earlier, now)
            tx.approvals.add(approval)
            tx.audit.append(_event(caller, AuditAction.CHANGE_APPROVED, approval, now))
            terms.keep(tx, caller, approval, now)
        return approval

    def list(self, caller: Caller, organization: OrganizationId, page: PageRequest) -> Page[Approval]:
        """Return the approvals that are good now, newest first.

        Raises:
            InvalidFieldError: the page asked for cannot be.
        """
        authorize(caller, Operation.LIST_APPROVALS, organization)
        before = ObjectId(page.last_id) if page.last_id else None
        with self._env.storage.read() as tx:
            read_authority(tx, organization)
            found = tx.approvals.page(organization, before, page.limit + 1, self._env.clock())
            return cut(found, page.limit, lambda it: it.id)

    def withdraw(self, caller: Caller, name: ApprovalName, terms: Terms = FREE) -> Approval:
        """Return the approval, which is for nothing from now on.

        Raises:
            ResourceNotFoundError: there is none that is good now.
        """
        authorize(caller, Operation.WITHDRAW_APPROVAL, name.organization)
        with self._env.storage.write() as tx:
            lock_authority(tx, name.organization)
            now = self._env.clock()
            terms.demand_new(tx, caller, now)
            approval = tx.approvals.find(name.organization, name.id)
            if approval is None or approval.expire_time <= now:
                raise ResourceNotFoundError(str(name))
            _withdraw(tx, caller, approval, now)
            terms.keep(tx, caller, approval, now)
        return approval


def _event(caller: Caller, action: AuditAction, approval: Approval, now: datetime) -> AuditEvent:
    due, what = approval.expire_time, approval.words
    return AuditEvent(approval.organization, now, caller.identity, action, approval.id, due_time=due, note=what)


def _withdraw(tx: Transaction, caller: Caller, approval: Approval, now: datetime) -> None:
    tx.approvals.remove(approval.organization, approval.id)
    tx.audit.append(_event(caller, AuditAction.APPROVAL_WITHDRAWN, approval, now))


def _demand_present(tx: Transaction, authority: Authority, exact: ExactAct) -> None:
    """Return if the act's target is there, and as the approver has seen it."""
    etag, present = _present(tx, authority, exact)
    if etag != exact.etag:
        raise StaleEtagError({"state": present, "etag": etag})


def _present(tx: Transaction, authority: Authority, exact: ExactAct) -> tuple[str, str]:
    organization = authority.organization
    names = {
        Act.DISABLE_BYOK: str(OrganizationName(organization.id)),
        Act.UPDATE_APPROVAL_RULE: str(ApprovalRuleName(organization.id)),
    }
    if exact.act in names:
        if exact.target != names[exact.act]:
            raise InvalidFieldError("target", f"for {exact.act} it is {names[exact.act]}")
        if exact.act is Act.DISABLE_BYOK:
            return etag_of_organization(organization), authority.main_key.state
        rule = tx.approvals.rule(organization.id)
        return etag_of_approval_rule(rule), rule.words
    try:
        name = MainKeyName.parse(exact.target)
    except MalformedNameError as error:
        raise InvalidFieldError("target", f"for {exact.act} it is a main key's name") from error
    if name.organization != organization.id:
        raise InvalidFieldError("target", "a main key of this organization")
    key = tx.main_keys.find(name.organization, name.id)
    if key is None:
        raise ResourceNotFoundError(str(name))
    return etag_of_main_key(key), key.state
