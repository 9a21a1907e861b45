"""Random moves, passing time, steps of the steward and crashes: what must hold, holds after every step.

The token is real. A crash is had after a random step of a change (tests/support/steps.py): nothing of the process
remains but rows and objects.
"""

import os
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import keywrap
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from server.domain.errors import (
    DuplicateKeyError,
    KeysteadError,
    OrganizationLockedError,
    PendingKeyExistsError,
    RecoveryKeyRequiredError,
)
from server.domain.ids import COMMON, KekName, MainKeyName
from server.domain.main_keys import LOCKING_STATES, Action, Origin, State
from server.use_cases import Import
from tests.support.pooled import PooledCustody
from tests.support.steps import Crash
from tests.support.world import opened

crashes = st.one_of(st.none(), st.none(), st.integers(1, 8))
"""After which step of a change the process is gone; mostly it is not."""
choices = st.integers(0, 9)
"""Which of the main keys, counted from the newest."""


class Life(RuleBasedStateMachine):
    """The life of one organisation."""

    def __init__(self, world) -> None:
        super().__init__()
        world.steps.begin()
        self.world = world
        self.org = world.new_organization()
        self.admin = world.admin(self.org)
        self.values: dict[bytes, bytes] = {}
        """Of the main keys that were brought, by fingerprint."""
        self.content: list[tuple[bytes, bytes]] = []
        """Content keys, wrapped and in clear."""

    # How a change is made.

    def change(self, crash_after, work):
        """Make a change that may be killed; return what came of it: its result, its error, or None for a crash."""
        self.world.steps.begin(crash_after)
        try:
            return work()
        except Crash:
            self.world.restart()
            return None
        except KeysteadError as error:
            return error
        finally:
            self.world.steps.begin()

    def chosen(self, choice):
        keys = sorted(self.world.keys(self.org).values(), key=lambda key: (key.create_time, key.id), reverse=True)
        return keys[choice % len(keys)]

    def move(self, choice, crash_after, action, make):
        """Ask for a move: it is made if it was offered, and refused if it was not."""
        key = self.chosen(choice)
        name = MainKeyName(self.org, key.id)
        offered = action in self.world.do.get_main_key(self.admin, name).next_moves
        before = self.world.keys(self.org), self.world.epoch(self.org)
        outcome = self.change(crash_after, lambda: make(name))
        if isinstance(outcome, KeysteadError):
            assert not offered
            assert (self.world.keys(self.org), self.world.epoch(self.org)) == before
        elif outcome is not None:
            assert offered

    # Bringing keys.

    @rule(activate_now=st.booleans(), crash_after=crashes)
    def bring(self, activate_now, crash_after):
        value = os.urandom(32)
        locked = self.world.in_charge(self.org).state
        outcome = self.import_key(value, activate_now, crash_after)
        if locked is State.REMOVED:
            assert outcome is None or isinstance(outcome, RecoveryKeyRequiredError)
        elif locked in LOCKING_STATES:
            assert outcome is None or isinstance(outcome, OrganizationLockedError)

    @precondition(lambda self: self.values)
    @rule(choice=choices, activate_now=st.booleans(), crash_after=crashes)
    def bring_again(self, choice, activate_now, crash_after):
        value = list(self.values.values())[choice % len(self.values)]
        leading = self.world.in_charge(self.org)
        outcome = self.import_key(value, activate_now, crash_after)
        if outcome is None:
            return
        if leading.state is not State.REMOVED:
            assert isinstance(outcome, DuplicateKeyError | OrganizationLockedError | PendingKeyExistsError)
        elif self.values[leading.fingerprint] == value:
            assert outcome.main_key.key.id == leading.id
            assert outcome.main_key.key.state is State.ACTIVE
        else:
            assert isinstance(outcome, RecoveryKeyRequiredError)

    def import_key(self, value, activate_now, crash_after):
        upload = self.world.upload(self.org, value)
        wanted = Import(upload, activate_now)
        outcome = self.change(crash_after, lambda: self.world.do.import_main_key(self.admin, wanted))
        for key in self.world.keys(self.org).values():
            if key.origin is Origin.UPLOADED and key.fingerprint not in self.values:
                self.values[key.fingerprint] = value
        return outcome

    # Moves.

    @rule(choice=choices, crash_after=crashes)
    def activate(self, choice, crash_after):
        self.move(choice, crash_after, Action.ACTIVATE, lambda name: self.moves.activate(self.admin, name))

    @rule(choice=choices, crash_after=crashes, timed=st.booleans())
    def revoke(self, choice, crash_after, timed):
        after = timedelta(hours=1) if timed else None
        self.move(
            choice,
            crash_after,
            Action.REVOKE,
            lambda name: self.moves.revoke(self.admin, name, reactivate_after=after),
        )

    @rule(choice=choices, crash_after=crashes)
    def delete(self, choice, crash_after):
        self.move(choice, crash_after, Action.DELETE, lambda name: self.moves.delete(self.admin, name))

    @rule(choice=choices, crash_after=crashes)
    def undelete(self, choice, crash_after):
        self.move(choice, crash_after, Action.UNDELETE, lambda name: self.moves.undelete(self.admin, name))

    @property
    def moves(self):
        return self.world.do.main_key_moves

    @rule(crash_after=crashes)
    def disable_byok(self, crash_after):
        locked = self.world.in_charge(self.org).state in LOCKING_STATES
        outcome = self.change(crash_after, lambda: self.world.do.byok.disable(self.admin, self.org))
        assert isinstance(outcome, OrganizationLockedError) == locked
        if not locked:
            assert self.world.in_charge(self.org).id == COMMON

    @rule()
    def enable_byok(self):
        before = self.world.keys(self.org)
        self.world.do.byok.enable(self.admin, self.org)
        assert self.world.keys(self.org) == before

    # KEKs, time, and the steward.

    @rule(crash_after=crashes)
    def create_kek(self, crash_after):
        user = self.world.user(self.org)
        locked = self.world.in_charge(self.org).state in LOCKING_STATES
        kek = self.change(crash_after, lambda: self.world.do.create_kek(user, self.org))
        if kek is None:
            return
        assert isinstance(kek, OrganizationLockedError) == locked
        if not locked:
            name = KekName(self.org, kek.id)
            (made,) = self.world.do.generate_content_keys(user, name, count=1, size=32, context={})
            self.content.append((made.wrapped, made.plaintext))

    @rule(span=st.sampled_from([timedelta(minutes=2), timedelta(hours=2), timedelta(days=8), timedelta(days=31)]))
    def pass_time(self, span):
        self.world.pass_time(span)

    @rule(data=st.data(), crash_after=crashes)
    def chore(self, data, crash_after):
        name = data.draw(st.sampled_from(sorted(self.world.chores)))
        outcome = self.change(crash_after, self.world.chores[name])
        assert not isinstance(outcome, KeysteadError)

    @rule()
    def steward(self):
        self.world.steward()

    # What always holds.

    @invariant()
    def the_counts_hold(self):
        keys = list(self.world.keys(self.org).values())
        leading = self.world.in_charge(self.org)
        of = {state: [key for key in keys if key.state is state] for state in State}
        assert len(of[State.PENDING]) <= 1
        assert leading.state in {State.ACTIVE, *LOCKING_STATES}
        in_charge = of[State.ACTIVE] + of[State.REVOKED]
        in_charge += [key for key in of[State.DELETED] if key.prior_state is State.REVOKED]
        assert in_charge == ([] if leading.state is State.REMOVED else [leading])
        assert sum(key.prior_state is State.PENDING for key in of[State.DELETED]) <= 1

    @invariant()
    def every_kek_unwraps_under_the_one_main_key_that_it_names(self):
        keys = self.world.keys(self.org)
        leading = self.world.in_charge(self.org)
        for kek in self.world.keks(self.org):
            key = keys[kek.main_key]
            assert key.state is State.ROTATING or key.id == leading.id
            if key.origin is Origin.UPLOADED:
                keywrap.aes_key_unwrap(self.values[key.fingerprint], kek.key.wrapped)

    @invariant()
    def content_keys_unwrap_exactly_when_their_organisation_may(self):
        if not self.content:
            return
        may = self.world.in_charge(self.org).state is State.ACTIVE
        items = [(wrapped, {}) for wrapped, _ in self.content]
        try:
            results = self.world.do.unwrap_content_keys(self.world.user(self.org), self.org, items)
        except OrganizationLockedError:
            assert not may
            return
        assert may
        assert [result.plaintext for result in results] == [plaintext for _, plaintext in self.content]

    def teardown(self):
        """Let everything come to its end: nothing is left over in the token, and nothing is missing."""
        self.world.pass_time(self.world.limits.intent_age + timedelta(seconds=1))
        self.world.restart()
        self.world.steward()
        found = self.world.reconcile()
        assert (found.unknown, found.missing) == ((), ())
        states = {key.state for key in self.world.keys(self.org).values()}
        assert self.world.in_charge(self.org).state is not State.ACTIVE or State.ROTATING not in states


@pytest.mark.slow
def test_whatever_happens_in_whatever_order(database_url, tmp_path):
    few = settings(
        max_examples=20,
        stateful_step_count=30,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),  # To make a failure smaller takes minutes.
        suppress_health_check=[HealthCheck.too_slow],
    )
    with opened(tmp_path, url=database_url, custody=PooledCustody) as world:
        run_state_machine_as_test(lambda: Life(world), settings=few)
