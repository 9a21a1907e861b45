"""The table of moves itself: what it allows, what it forbids, what can be reached, and what the other keys forbid."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from server.domain.errors import (
    ByokDisabledError,
    DeletedKeyExistsError,
    IllegalTransitionError,
    OrganizationLockedError,
    PendingKeyExistsError,
)
from server.domain.ids import COMMON, ObjectId, OrganizationId
from server.domain.main_keys import COMMON_MOVES, MOVES, ROTATION_PERIOD, Action, MainKey, Origin, State
from server.domain.moves import Situation, next_moves, transition

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def key(state: State, origin: Origin = Origin.UPLOADED, prior_state: State | None = None, digit: str = "1") -> MainKey:
    an_id = COMMON if origin is Origin.COMMON else ObjectId(digit * 32)
    if state is State.DELETED and prior_state is None:
        prior_state = State.REVOKED
    return MainKey(
        OrganizationId("acme"), an_id, ObjectId("2" * 32), origin, state, prior_state, bytes(32), NOW, NOW, None
    )


OTHER = key(State.ACTIVE, digit="3")


def alone(leading: MainKey, *, byok_enabled: bool = True) -> Situation:
    return Situation(leading, byok_enabled=byok_enabled, pending=None, deleted_pending=None)


def reachable(table, start: State, without: frozenset[Action] = frozenset()) -> set[State]:
    found, fresh = {start}, {start}
    while fresh:
        fresh = {to for (state, action), to in table.items() if state in fresh and action not in without} - found
        found |= fresh
    return found


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_a_move_is_possible_exactly_when_the_table_has_it(state, action):
    before = key(state)
    where = alone(before)
    if state is State.PENDING:
        where = alone(OTHER)
    if (state, action) in MOVES:
        after = transition(before, action, where, now=LATER)
        assert after.state is MOVES[state, action]
        assert after.state_time == LATER
    else:
        with pytest.raises(IllegalTransitionError) as refusal:
            transition(before, action, where, now=LATER)
        assert refusal.value.state == state
        assert refusal.value.next_moves == next_moves(before, where)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_the_common_key_follows_its_own_table(state, action):
    before = key(state, Origin.COMMON)
    if (state, action) in COMMON_MOVES:
        assert transition(before, action, alone(before), now=LATER).state is COMMON_MOVES[state, action]
    else:
        with pytest.raises(IllegalTransitionError):
            transition(before, action, alone(before), now=LATER)


def test_the_common_key_is_never_revoked_deleted_or_removed():
    assert reachable(COMMON_MOVES, State.ACTIVE) == {State.ACTIVE, State.ROTATING, State.RETIRED}


def test_no_path_leads_from_retired_to_active_but_recovery_of_the_key_in_charge():
    assert State.ACTIVE not in reachable(MOVES, State.RETIRED, without=frozenset({Action.RECOVER}))
    removed = key(State.REMOVED)
    with pytest.raises(IllegalTransitionError):
        transition(removed, Action.RECOVER, alone(OTHER), now=LATER)
    assert transition(removed, Action.RECOVER, alone(removed), now=LATER).state is State.ACTIVE


def test_nothing_becomes_pending_but_what_was():
    assert State.PENDING not in MOVES.values()


def test_every_state_is_reached_and_every_state_but_removed_is_left():
    assert reachable(MOVES, State.PENDING) == set(State)
    assert {state for state, action in MOVES if action is not Action.RECOVER} == set(State) - {State.REMOVED}


@pytest.mark.parametrize("prior", [State.PENDING, State.REVOKED])
def test_undelete_leads_back_to_the_state_before(prior):
    before = key(prior)
    where = alone(OTHER if prior is State.PENDING else before)
    deleted = transition(before, Action.DELETE, where, now=NOW, purge_time=LATER)
    assert (deleted.state, deleted.prior_state, deleted.purge_time) == (State.DELETED, prior, LATER)
    back = transition(deleted, Action.UNDELETE, where, now=LATER)
    assert (back.state, back.prior_state, back.purge_time) == (prior, None, None)


def test_a_revocation_is_remembered_until_the_key_is_active_again():
    active = replace(key(State.ACTIVE), activate_time=NOW - timedelta(days=9))
    revoked = transition(active, Action.REVOKE, alone(active), now=NOW)
    revoked = replace(revoked, revoke_reason="lost laptop", reactivate_time=LATER)
    deleted = transition(revoked, Action.DELETE, alone(revoked), now=LATER, purge_time=LATER)
    assert (deleted.revoke_time, deleted.revoke_reason, deleted.reactivate_time) == (NOW, "lost laptop", None)
    back = transition(deleted, Action.UNDELETE, alone(deleted), now=LATER)
    assert back.revoke_time == NOW
    again = transition(back, Action.ACTIVATE, alone(back), now=LATER)
    assert (again.revoke_time, again.revoke_reason) == (None, "")
    # It is as old as it was: the reminder to replace it does not start anew.
    assert again.activate_time == active.activate_time
    assert again.rotation_due_time == active.activate_time + ROTATION_PERIOD


def test_a_key_is_to_be_replaced_a_year_after_it_was_put_in_charge():
    pending = key(State.PENDING)
    assert pending.rotation_due_time is None
    assert transition(pending, Action.ACTIVATE, alone(OTHER), now=NOW).rotation_due_time == NOW + ROTATION_PERIOD
    assert replace(key(State.ACTIVE, Origin.COMMON), activate_time=NOW).rotation_due_time is None


# What the other keys of an organisation forbid.


@pytest.mark.parametrize("state", [State.REVOKED, State.DELETED, State.REMOVED])
def test_no_other_key_is_activated_while_the_one_in_charge_locks_the_organisation(state):
    locking = key(state, digit="3")
    with pytest.raises(OrganizationLockedError):
        transition(key(State.PENDING), Action.ACTIVATE, alone(locking), now=NOW)


def test_no_key_is_activated_while_byok_is_disabled():
    common = key(State.ACTIVE, Origin.COMMON)
    with pytest.raises(ByokDisabledError):
        transition(key(State.PENDING), Action.ACTIVATE, alone(common, byok_enabled=False), now=NOW)


def test_of_two_pending_keys_one_is_deleted_at_a_time():
    waiting = Situation(
        OTHER, byok_enabled=True, pending=None, deleted_pending=key(State.DELETED, prior_state=State.PENDING, digit="4")
    )
    with pytest.raises(DeletedKeyExistsError):
        transition(key(State.PENDING), Action.DELETE, waiting, now=NOW, purge_time=LATER)


def test_a_deleted_key_does_not_become_the_second_that_is_pending():
    deleted = key(State.DELETED, prior_state=State.PENDING)
    where = Situation(OTHER, byok_enabled=True, pending=key(State.PENDING, digit="4"), deleted_pending=deleted)
    with pytest.raises(PendingKeyExistsError):
        transition(deleted, Action.UNDELETE, where, now=NOW)


def test_people_are_offered_only_what_they_can_ask_for():
    active = key(State.ACTIVE)
    assert next_moves(active, alone(active)) == (Action.REVOKE,)
    assert next_moves(key(State.PENDING), alone(OTHER)) == (Action.ACTIVATE, Action.DELETE)
    assert next_moves(key(State.PENDING), alone(key(State.REVOKED, digit="3"))) == (Action.DELETE,)
    assert next_moves(key(State.PENDING), alone(OTHER, byok_enabled=False)) == (Action.DELETE,)
    revoked = key(State.REVOKED)
    assert next_moves(revoked, alone(revoked)) == (Action.ACTIVATE, Action.DELETE)
    removed = key(State.REMOVED)
    assert next_moves(removed, alone(OTHER)) == ()
    assert next_moves(removed, alone(removed)) == (Action.RECOVER,)
    for state in (State.ROTATING, State.RETIRED):
        assert next_moves(key(state), alone(OTHER)) == ()
        assert next_moves(key(state, Origin.COMMON), alone(OTHER)) == ()
