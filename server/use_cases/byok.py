"""Enable BYOK for an organisation, and disable it again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from server.domain.approvals import Act, ExactAct
from server.domain.audit import AuditAction, AuditEvent
from server.domain.etags import etag_of_organization
from server.domain.ids import COMMON, OrganizationId, OrganizationName
from server.domain.main_keys import Action, Origin
from server.domain.moves import name_of, transition
from server.domain.organizations import Organization
from server.domain.ports import Transaction
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.activation import put_in_charge
from server.use_cases.approvals import demand_approved
from server.use_cases.authority import Authority, BrokenRowsError, lock_authority, situation
from server.use_cases.environment import Environment
from server.use_cases.terms import FREE, Terms
from server.use_cases.views import OrganizationView, view_organization


class Byok:
    """Whether an organisation may have a main key of its own in charge.

    Each method may raise:
        ForbiddenError: the caller does not administer the organisation.
        ResourceNotFoundError: there is no such organisation.
        StaleEtagError: the organisation was changed since the caller looked.
        RequestIdReusedError: the request's id was used for another one.
        AnsweredBefore: this very request was carried out before.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env

    def enable(self, caller: Caller, organization: OrganizationId, terms: Terms = FREE) -> OrganizationView:
        """Return the organisation with BYOK enabled; that changes no key."""

        def change(tx: Transaction, authority: Authority, now: datetime) -> Authority:
            return enabled(tx, authority, caller, now)

        return self._changed(caller, Operation.ENABLE_BYOK, organization, terms, change)

    def disable(self, caller: Caller, organization: OrganizationId, terms: Terms = FREE) -> OrganizationView:
        """Return the organisation with BYOK disabled: the common key is in charge, and every KEK moves to it.

        Raises:
            OrganizationLockedError: the main key in charge is REVOKED, DELETED or REMOVED.
            ApprovalRequiredError: others have to approve it first.
        """

        def change(tx: Transaction, authority: Authority, now: datetime) -> Authority:
            authority.demand_unlocked()
            name, etag = str(OrganizationName(organization)), etag_of_organization(authority.organization)
            demand_approved(tx, caller, organization, ExactAct(Act.DISABLE_BYOK, name, etag), now)
            if authority.organization.byok_enabled:
                authority = _flagged(tx, authority, caller, now, byok_enabled=False)
            if authority.main_key.origin is Origin.COMMON:
                return authority
            common = tx.main_keys.find(organization, COMMON)
            if common is None:
                raise BrokenRowsError(organization)
            taking_over = transition(common, Action.TAKE_OVER, situation(tx, authority), now=now)
            return put_in_charge(
                tx, authority, taking_over, before=common, actor=caller.identity, new_id=self._env.new_id
            )

        return self._changed(caller, Operation.DISABLE_BYOK, organization, terms, change)

    def _changed(
        self,
        caller: Caller,
        operation: Operation,
        organization: OrganizationId,
        terms: Terms,
        change: Callable[[Transaction, Authority, datetime], Authority],
    ) -> OrganizationView:
        authorize(caller, operation, organization)
        with self._env.storage.write() as tx:
            authority = lock_authority(tx, organization)
            now = self._env.clock()
            terms.demand_new(tx, caller, now)
            terms.demand_seen(etag_of_organization(authority.organization), present(authority))
            view = view_organization(tx, change(tx, authority, now))
            terms.keep(tx, caller, view, now)
        return view


def enabled(tx: Transaction, authority: Authority, caller: Caller, now: datetime) -> Authority:
    """Return the organisation with BYOK enabled, and keep it so."""
    if authority.organization.byok_enabled:
        return authority
    return _flagged(tx, authority, caller, now, byok_enabled=True)


def _flagged(tx: Transaction, authority: Authority, caller: Caller, now: datetime, *, byok_enabled: bool) -> Authority:
    organization: Organization = replace(authority.organization, byok_enabled=byok_enabled)
    tx.organizations.update(organization)
    action = AuditAction.BYOK_ENABLED if byok_enabled else AuditAction.BYOK_DISABLED
    tx.audit.append(AuditEvent(organization.id, now, caller.identity, action, subject=None))
    return Authority(organization, authority.main_key)


def present(authority: Authority) -> dict[str, str]:
    """Return what a caller whose etag is stale is told of the organisation."""
    key = authority.main_key
    return {"main_key": name_of(key), "state": key.state, "epoch": str(authority.organization.epoch)}
