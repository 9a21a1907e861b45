"""Move a main key by the hand of an administrator: activate, revoke, delete, undelete."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from server.domain.approvals import Act, ExactAct
from server.domain.errors import ConcurrentChangeError, InvalidFieldError, ResourceNotFoundError
from server.domain.etags import etag_of_main_key
from server.domain.ids import MainKeyName
from server.domain.main_keys import Action, MainKey, State
from server.domain.moves import Situation, next_moves, transition
from server.domain.ports import Transaction
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.activation import move_in_charge, put_in_charge, record_move
from server.use_cases.approvals import demand_approved
from server.use_cases.authority import Authority, lock_authority, situation
from server.use_cases.environment import Environment
from server.use_cases.terms import FREE, Terms
from server.use_cases.views import MainKeyView, RevokedMainKey, view_main_key

REVOKE_REASON_LIMIT = 200
"""Characters."""
TIMED_REVOCATION = (timedelta(minutes=1), timedelta(hours=24))
"""The shortest and the longest revocation that ends by itself."""

_Move = Callable[[MainKey, Situation, datetime], MainKey]


class MainKeyMoves:
    """The moves that administrators make.

    Each may raise, beside what it names:
        ForbiddenError: the caller does not administer the organisation.
        ResourceNotFoundError: there is no such key.
        StaleEtagError: the key was changed since the caller looked.
        RequestIdReusedError: the request's id was used for another one.
        IllegalTransitionError: the key's state does not allow it.
        StateDamagedError: the key does not stand as the audit log tells.
        ApprovalRequiredError: others have to approve it first; a revocation or a deletion.
        AnsweredBefore: this very request was carried out before.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env

    def activate(self, caller: Caller, name: MainKeyName, terms: Terms = FREE) -> MainKeyView:
        """Put a PENDING key in charge, or bring the key in charge back from REVOKED; return it, ACTIVE.

        Raises:
            OrganizationLockedError: another key is in charge, and REVOKED, DELETED or REMOVED.
            ByokDisabledError: BYOK is disabled.
            MainKeyNotTrustedError: it is PENDING, and the token's security officer has not marked it.
        """
        authorize(caller, Operation.ACTIVATE_MAIN_KEY, name.organization)
        # Before the transaction, which a token that does not answer must not hold up.
        may_be_pending = self._demand_trusted_if_pending(name)

        def move(key: MainKey, where: Situation, now: datetime) -> MainKey:
            if key.state is State.PENDING and not may_be_pending:
                raise ConcurrentChangeError
            return transition(key, Action.ACTIVATE, where, now=now)

        return self._asked(caller, Operation.ACTIVATE_MAIN_KEY, name, terms, move)

    def _demand_trusted_if_pending(self, name: MainKeyName) -> bool:
        """Return whether the key, if it is PENDING, was seen to be trusted or need not be."""
        if not self._env.custody.waits_for_officer:
            return True
        with self._env.storage.read() as tx:
            key = tx.main_keys.find(name.organization, name.id)
        if key is None or key.state is not State.PENDING:
            return False
        self._env.custody.demand_trusted(key.object_id)
        return True

    def revoke(
        self,
        caller: Caller,
        name: MainKeyName,
        terms: Terms = FREE,
        *,
        reason: str = "",
        reactivate_after: timedelta | None = None,
    ) -> RevokedMainKey:
        """Stop everything that needs the key in charge; return it, REVOKED.

        Args:
            caller: who asks.
            name: the key.
            terms: how it is asked for.
            reason: for people, at most 200 printable characters.
            reactivate_after: 1 minute to 24 hours, after which the key is activated again by itself; None for never.

        Raises:
            InvalidFieldError: the reason or the time is out of its limits.
        """
        if len(reason) > REVOKE_REASON_LIMIT or not reason.isprintable():
            raise InvalidFieldError("reason", f"at most {REVOKE_REASON_LIMIT} printable characters")
        shortest, longest = TIMED_REVOCATION
        if reactivate_after is not None and not shortest <= reactivate_after <= longest:
            raise InvalidFieldError("reactivate_after", "1 minute to 24 hours")

        def move(key: MainKey, where: Situation, now: datetime) -> MainKey:
            revoked = transition(key, Action.REVOKE, where, now=now)
            reactivate_time = None if reactivate_after is None else now + reactivate_after
            return replace(revoked, revoke_reason=reason, reactivate_time=reactivate_time)

        authorize(caller, Operation.REVOKE_MAIN_KEY, name.organization)
        with self._env.storage.write() as tx:
            moved, authority = self._move(tx, caller, name, terms, move, act=Act.REVOKE_MAIN_KEY)
            effective_time = moved.state_time + self._env.limits.revocation_bound
            revoked = RevokedMainKey(view_main_key(tx, authority, moved), effective_time)
            terms.keep(tx, caller, revoked, moved.state_time)
        return revoked

    def delete(self, caller: Caller, name: MainKeyName, terms: Terms = FREE) -> MainKeyView:
        """Set a REVOKED or a PENDING key to be removed from the token in 30 days; return it, DELETED.

        Raises:
            DeletedKeyExistsError: the key is PENDING, and another one that was PENDING is DELETED already.
        """
        lifetime = self._env.limits.deleted_lifetime

        def move(key: MainKey, where: Situation, now: datetime) -> MainKey:
            return transition(key, Action.DELETE, where, now=now, purge_time=now + lifetime)

        return self._asked(caller, Operation.DELETE_MAIN_KEY, name, terms, move, act=Act.DELETE_MAIN_KEY)

    def undelete(self, caller: Caller, name: MainKeyName, terms: Terms = FREE) -> MainKeyView:
        """Take a deletion back; return the key in the state that it had before.

        Raises:
            PendingKeyExistsError: it was PENDING, and another key is PENDING now.
        """
        return self._asked(caller, Operation.UNDELETE_MAIN_KEY, name, terms, _plain(Action.UNDELETE))

    def _asked(
        self,
        caller: Caller,
        operation: Operation,
        name: MainKeyName,
        terms: Terms,
        move: _Move,
        *,
        act: Act | None = None,
    ) -> MainKeyView:
        authorize(caller, operation, name.organization)
        with self._env.storage.write() as tx:
            moved, authority = self._move(tx, caller, name, terms, move, act=act)
            view = view_main_key(tx, authority, moved)
            terms.keep(tx, caller, view, moved.state_time)
        return view

    def _move(
        self, tx: Transaction, caller: Caller, name: MainKeyName, terms: Terms, move: _Move, *, act: Act | None
    ) -> tuple[MainKey, Authority]:
        """Make the move, if need be with others' approval; return the key after it, and the organisation then."""
        authority = lock_authority(tx, name.organization)
        now = self._env.clock()
        terms.demand_new(tx, caller, now)
        key = tx.main_keys.find(name.organization, name.id)
        if key is None:
            raise ResourceNotFoundError(str(name))
        where = situation(tx, authority)
        moves = ",".join(next_moves(key, where))
        terms.demand_seen(etag_of_main_key(key), {"state": key.state, "next_moves": moves})
        after = move(key, where, now)
        if act is not None:
            exact = ExactAct(act, str(name), etag_of_main_key(key))
            demand_approved(tx, caller, name.organization, exact, now)
        if where.leads(key):
            authority = move_in_charge(tx, authority, after, caller.identity)
        elif after.state is State.ACTIVE:
            authority = put_in_charge(tx, authority, after, before=key, actor=caller.identity, new_id=self._env.new_id)
        else:
            tx.main_keys.update(after)
            record_move(tx, key, after, caller.identity)
        return after, authority


def _plain(action: Action) -> _Move:
    return lambda key, where, now: transition(key, action, where, now=now)
