"""The table of moves itself: what it allows, what it forbids, and what can be reached."""

from datetime import UTC, datetime, timedelta

import pytest

from server.domain.errors import IllegalTransitionError
from server.domain.ids import COMMON, ObjectId, OrganizationId
from server.domain.main_keys import COMMON_MOVES, MOVES, Action, MainKey, Origin, State, next_moves, transition

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def key(state: State, origin: Origin = Origin.UPLOADED, prior_state: State | None = None) -> MainKey:
    an_id = COMMON if origin is Origin.COMMON else ObjectId("1" * 32)
    return MainKey(
        OrganizationId("acme"), an_id, ObjectId("2" * 32), origin, state, prior_state, bytes(32), NOW, NOW, None
    )


def reachable(table, start: State, without: frozenset[Action] = frozenset()) -> set[State]:
    found, fresh = {start}, {start}
    while fresh:
        fresh = {to for (state, action), to in table.items() if state in fresh and action not in without} - found
        found |= fresh
    return found


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_a_move_is_possible_exactly_when_the_table_has_it(state, action):
    before = key(state, prior_state=State.REVOKED if state is State.DELETED else None)
    if (state, action) in MOVES:
        after = transition(before, action, now=LATER, in_charge=True)
        assert after.state is MOVES[state, action]
        assert after.state_time == LATER
    else:
        with pytest.raises(IllegalTransitionError) as refusal:
            transition(before, action, now=LATER, in_charge=True)
        assert refusal.value.state == state
        assert refusal.value.next_moves == next_moves(before, in_charge=True)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_the_common_key_follows_its_own_table(state, action):
    before = key(state, Origin.COMMON)
    if (state, action) in COMMON_MOVES:
        assert transition(before, action, now=LATER, in_charge=True).state is COMMON_MOVES[state, action]
    else:
        with pytest.raises(IllegalTransitionError):
            transition(before, action, now=LATER, in_charge=True)


def test_the_common_key_is_never_revoked_deleted_or_removed():
    assert reachable(COMMON_MOVES, State.ACTIVE) == {State.ACTIVE, State.ROTATING, State.RETIRED}


def test_no_path_leads_from_retired_to_active_but_recovery_of_the_key_in_charge():
    assert State.ACTIVE not in reachable(MOVES, State.RETIRED, without=frozenset({Action.RECOVER}))
    removed = key(State.REMOVED)
    with pytest.raises(IllegalTransitionError):
        transition(removed, Action.RECOVER, now=LATER, in_charge=False)
    assert transition(removed, Action.RECOVER, now=LATER, in_charge=True).state is State.ACTIVE


def test_nothing_becomes_pending_but_what_was():
    assert State.PENDING not in MOVES.values()


def test_every_state_is_reached_and_every_state_but_removed_is_left():
    assert reachable(MOVES, State.PENDING) == set(State)
    assert {state for state, action in MOVES if action is not Action.RECOVER} == set(State) - {State.REMOVED}


@pytest.mark.parametrize("prior", [State.PENDING, State.REVOKED])
def test_undelete_leads_back_to_the_state_before(prior):
    deleted = transition(key(prior), Action.DELETE, now=NOW, in_charge=True, purge_time=LATER)
    assert (deleted.state, deleted.prior_state, deleted.purge_time) == (State.DELETED, prior, LATER)
    back = transition(deleted, Action.UNDELETE, now=LATER, in_charge=True)
    assert (back.state, back.prior_state, back.purge_time) == (prior, None, None)


def test_people_are_offered_only_what_they_can_ask_for():
    assert next_moves(key(State.PENDING), in_charge=False) == (Action.ACTIVATE, Action.DELETE)
    assert next_moves(key(State.ROTATING), in_charge=False) == ()
    assert next_moves(key(State.REMOVED), in_charge=False) == ()
    assert next_moves(key(State.REMOVED), in_charge=True) == (Action.RECOVER,)
    assert next_moves(key(State.RETIRED, Origin.COMMON), in_charge=False) == ()
