"""docs/lifecycle.md says what the tables, the database and the use cases do."""

import os
import re
from datetime import timedelta

import pytest

from server.domain import errors
from server.domain.audit import AuditAction
from server.domain.change_requests import REMEMBERED
from server.domain.errors import ConcurrentChangeError, OrganizationLockedError
from server.domain.ids import KekName, MainKeyName
from server.domain.main_keys import IN_TOKEN_STATES, LOCKING_STATES, ROTATION_PERIOD, Action, State
from server.domain.roles import Operation
from server.steward.chores import RECONCILE_INTERVAL
from server.steward.clock_guard import LEAP
from server.storage import SqlStorage, migrate
from server.use_cases import Import, Limits, move_main_key, tidy
from tests.docs.diagram import COMMON, OWN, WORDS
from tests.docs.errors import REASONS, leaves
from tests.docs.pages import blocks, page, prose, table, words
from tests.support.factories import main_key, put
from tests.support.pooled import PooledCustody
from tests.support.world import opened

PAGE = page("docs/lifecycle.md")
TEXT = " ".join(prose(PAGE).split())
LIMITS = Limits()
STATES = {State(state): rest for state, *rest in table(PAGE, "States", "state")}
DONE = {tuple(done.replace("`", "").split(", ")): rest for done, *rest in table(PAGE, "Moves", "what is done")}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("world"), custody=PooledCustody) as world:
        yield world


# States.


def test_the_diagrams_are_those_of_the_tables():
    shown = [block.text for block in blocks(PAGE, "mermaid")]
    assert shown == [OWN, COMMON], "Run python -m tests.docs.diagram, and commit what it writes"
    assert set(WORDS) == set(Action)
    assert f"{LIMITS.deleted_lifetime.days} days pass" == WORDS[Action.PURGE]


@pytest.fixture
def are_kept(tmp_path):
    """Whether a database keeps main keys of one organisation."""
    url = f"sqlite:///{tmp_path}/keystead.db"
    migrate(url)
    with SqlStorage.open(url) as storage:

        def are_kept(*keys):
            first = main_key(State.ROTATING, org=f"org-{os.urandom(4).hex()}")
            put(storage, first)
            try:
                with storage.write() as tx:
                    for state, prior_state in keys:
                        tx.main_keys.add(main_key(state, org=first.organization, prior_state=prior_state))
            except ConcurrentChangeError:
                return False
            return True

        yield are_kept


def test_the_database_holds_the_counts_that_are_told(are_kept):
    assert list(STATES) == list(State)
    for state, (_, count, *_) in STATES.items():
        twice = (state, State.REVOKED if state is State.DELETED else None)
        assert are_kept(twice)
        assert are_kept(twice, twice) is (count == "any number"), state
    revoked, pending = (State.DELETED, State.REVOKED), (State.DELETED, State.PENDING)
    assert STATES[State.DELETED][1] == "at most 1 that was REVOKED, and 1 that was PENDING"
    assert are_kept(revoked, pending)
    assert not are_kept(pending, pending)
    assert STATES[State.REVOKED][1] == "at most 1, and none beside an ACTIVE one"
    assert not are_kept((State.REVOKED, None), (State.ACTIVE, None))


def test_it_is_told_which_states_are_in_the_hsm_and_which_lock():
    assert {state for state, (*_, in_hsm, _) in STATES.items() if in_hsm == "yes"} == IN_TOKEN_STATES
    assert {state for state, (*_, locks) in STATES.items() if locks == "yes"} == LOCKING_STATES


# What is done: each row of the table is done, and what the table tells of it is looked at.


class Life:
    """One organisation with a content key, and what can be done to its main keys."""

    def __init__(self, world):
        self.world, self.do = world, world.do
        self.org = world.new_organization()
        self.admin, self.user = world.admin(self.org), world.user(self.org)
        kek = KekName(self.org, world.new_kek(self.org).id)
        (self.made,) = self.do.generate_content_keys(self.user, kek, count=1, size=32, context={})
        self.value = os.urandom(32)

    def works(self):
        try:
            self.do.unwrap_content_keys(self.user, self.org, [(self.made.wrapped, {})])
        except OrganizationLockedError:
            return False
        return True

    def bring(self, value=None, *, activate_now=True):
        upload = self.world.upload(self.org, value or os.urandom(32))
        imported = self.do.import_main_key(self.admin, Import(upload, activate_now))
        self.name = MainKeyName(self.org, imported.main_key.key.id)

    def move(self, move, **more):
        getattr(self.do.main_key_moves, move)(self.admin, self.name, **more)

    def steward(self, **time):
        self.world.pass_time(timedelta(**time))
        self.world.steward()

    # What is there before.

    def untouched(self):
        """An organisation on the common key."""

    def pending(self):
        self.bring(activate_now=False)

    def active(self):
        self.bring(self.value)
        self.world.steward()

    def revoked(self, **more):
        self.active()
        self.move("revoke", **more)

    def deleted(self):
        self.revoked()
        self.move("delete")

    def removed(self):
        self.deleted()
        self.steward(days=30)

    def replaced(self):
        self.active()
        self.bring()

    def retired(self):
        self.replaced()
        self.world.steward()


MOVES = {
    ("ImportMainKey", "LATER"): (Life.active, lambda it: it.bring(activate_now=False)),
    ("ImportMainKey", "NOW"): (Life.active, lambda it: it.bring()),
    ("ActivateMainKey", "PENDING"): (Life.pending, lambda it: it.move("activate")),
    ("RevokeMainKey",): (Life.active, lambda it: it.move("revoke")),
    ("ActivateMainKey", "REVOKED"): (Life.revoked, lambda it: it.move("activate")),
    ("DeleteMainKey", "REVOKED"): (Life.revoked, lambda it: it.move("delete")),
    ("DeleteMainKey", "PENDING"): (Life.pending, lambda it: it.move("delete")),
    ("UndeleteMainKey",): (Life.deleted, lambda it: it.move("undelete")),
    ("EnableByok",): (Life.untouched, lambda it: it.do.byok.enable(it.admin, it.org)),
    ("DisableByok",): (Life.active, lambda it: it.do.byok.disable(it.admin, it.org)),
    ("a revocation for a time ends",): (
        lambda it: it.revoked(reactivate_after=timedelta(hours=1)),
        lambda it: it.steward(hours=1),
    ),
    ("the last KEK was re-wrapped",): (Life.replaced, Life.steward),
    ("a lifetime ends",): (Life.retired, lambda it: it.steward(days=7)),
    ("the time of a deletion ends",): (Life.deleted, lambda it: it.steward(days=30)),
    ("ImportMainKey", "the same key"): (Life.removed, lambda it: it.bring(it.value)),
}

CONTENT_KEYS = {
    "not touched": (True, True),
    "work throughout": (True, True),
    "stop": (True, False),
    "stay stopped": (False, False),
    "work again": (False, True),
    # Of a key that was in charge.
    "as before": (False, False),
    "as before the deletion": (False, False),
}


def test_every_move_is_told():
    assert list(DONE) == list(MOVES)
    assert {done[0] for done in DONE if done[0][0].isupper()} <= {it.value for it in Operation}
    assert {by for by, *_ in DONE.values()} == {"administrator", "steward"}


@pytest.mark.parametrize("done", MOVES, ids=", ".join)
def test_a_move_does_what_is_told_of_it(world, done):
    _, main_keys, content_keys, epoch = DONE[done]
    prepare, make = MOVES[done]
    life = Life(world)
    prepare(life)
    before, works, was = world.epoch(life.org), life.works(), world.keys(life.org)
    make(life)
    assert (works, life.works()) == CONTENT_KEYS[content_keys]
    assert world.epoch(life.org) - before == (1 if epoch.startswith("raised") else 0)
    changed = {key.state for key in world.keys(life.org).values() if key != was.get(key.id)}
    assert changed <= set(re.findall("[A-Z]{6,}", main_keys))
    assert bool(changed) is (main_keys != "none changes")


def test_what_is_told_of_a_key_that_was_not_in_charge(world):
    life = Life(world)
    life.pending()
    before = world.epoch(life.org)
    life.move("delete")
    life.move("undelete")
    life.move("delete")
    life.steward(days=30)
    assert world.epoch(life.org) == before
    assert life.works()


# Words and numbers.


def test_every_refusal_is_told():
    told = [words(reason)[0] for reason, _ in table(PAGE, "What is refused", "reason")]
    assert sorted(told) == sorted(leaf.reason for leaf in leaves(errors.FailedPreconditionError))


def test_every_event_is_told():
    told = [words(event)[0] for event, _ in table(PAGE, "What is recorded", "event")]
    assert sorted(told) == sorted(AuditAction)


def test_every_word_in_capitals_is_a_reason_or_an_event():
    named = {word for word in words(TEXT) if re.fullmatch("[A-Z]+(_[A-Z]+)+", word)} - {"COMMON_MOVES"}
    assert named <= REASONS | set(AuditAction)


def test_every_method_that_is_named_is_offered():
    named = {word for word in words(TEXT) if re.fullmatch("([A-Z][a-z]+){2,}", word)}
    assert named <= set(Operation)
    assert len(named) >= 12


def days(time: timedelta) -> str:
    assert time == timedelta(days=time.days)
    return f"{time.days} days"


def test_the_deadlines_are_those_of_the_code():
    told = [after for _, after, *_ in table(PAGE, "Deadlines and clocks", "what ends")]
    shortest, longest = move_main_key.TIMED_REVOCATION
    assert (shortest, longest) == (timedelta(minutes=1), timedelta(hours=24))
    assert told == [
        days(LIMITS.retired_lifetime),
        days(LIMITS.deleted_lifetime),
        days(LIMITS.wrapping_key_lifetime),
        "1 minute to 24 hours",
        days(ROTATION_PERIOD),
        f"{REMEMBERED // timedelta(hours=1)} hours",
        days(tidy._USES_KEPT),
    ]
    assert f"removed from the HSM in {days(LIMITS.deleted_lifetime)} (`life.deleted_lifetime`)" in TEXT
    assert f"REMOVED {days(LIMITS.retired_lifetime)} later (`life.retired_lifetime`)" in TEXT
    assert f"is {days(ROTATION_PERIOD)} after it was put in charge" in TEXT
    assert (LEAP, "by more than 1 hour against" in TEXT) == (timedelta(hours=1), True)
    assert (LIMITS.intent_age, TEXT.count("10 minutes (`life.intent_age`)")) == (timedelta(minutes=10), 1)
    assert (LIMITS.rewrap_retry, "tried again after 1 minute" in TEXT) == (timedelta(minutes=1), True)
    assert f"batches of {LIMITS.rewrap_batch}" in TEXT
    assert (RECONCILE_INTERVAL, "when it starts and then each hour" in TEXT) == (3600, True)
