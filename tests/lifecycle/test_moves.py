"""Every move of a main key, on a real token: what it does, what it refuses, and what it means for content keys."""

import os
from datetime import timedelta

import pytest

from server.domain.errors import (
    ByokDisabledError,
    DeletedKeyExistsError,
    DuplicateKeyError,
    IllegalTransitionError,
    InvalidFieldError,
    OrganizationLockedError,
    PendingKeyExistsError,
    RecoveryKeyRequiredError,
)
from server.domain.ids import COMMON, KekName, MainKeyName
from server.domain.main_keys import Action, State
from server.use_cases import Import

DAY = timedelta(days=1)


def name(key):
    return MainKeyName(key.organization, key.id)


class Content:
    """A content key, made before whatever happens."""

    def __init__(self, world, org):
        self.world, self.org = world, org
        kek = world.new_kek(org)
        self.kek = KekName(org, kek.id)
        (made,) = world.do.generate_content_keys(world.user(org), self.kek, count=1, size=32, context={"a": "b"})
        self.made = made

    def works(self):
        """Whether content keys can be made, wrapped and unwrapped: all of it or nothing."""
        do, user = self.world.do, self.world.user(self.org)
        outcomes: set[str] = set()
        for work in (
            lambda: do.unwrap_content_keys(user, self.org, [(self.made.wrapped, {"a": "b"})])[0].plaintext,
            lambda: do.generate_content_keys(user, self.kek, count=1, size=32, context={}),
            lambda: do.wrap_content_keys(user, self.kek, [(b"x", {})]),
            lambda: do.create_kek(user, self.org),
        ):
            try:
                result = work()
            except OrganizationLockedError:
                outcomes.add("locked")
            else:
                assert not isinstance(result, bytes) or result == self.made.plaintext
                outcomes.add("works")
        assert len(outcomes) == 1
        return outcomes.pop() == "works"


@pytest.fixture
def content(world, org):
    return Content(world, org)


@pytest.fixture
def active(world, org, content):
    key = world.bring(org)
    world.steward()
    return key


def test_a_revoked_key_stops_everything_until_it_is_activated_again(world, org, content, active):
    admin = world.admin(org)
    epoch = world.epoch(org)
    revoked = world.do.main_key_moves.revoke(admin, name(active), reason="a drill")
    assert revoked.main_key.key.state is State.REVOKED
    assert revoked.main_key.next_moves == (Action.ACTIVATE, Action.DELETE)
    assert (revoked.main_key.key.revoke_time, revoked.main_key.key.revoke_reason) == (world.now, "a drill")
    assert world.epoch(org) == epoch + 1
    assert not content.works()
    world.steward()
    assert not content.works()
    back = world.do.main_key_moves.activate(admin, name(active))
    assert (back.key.state, back.key.revoke_time, back.key.revoke_reason) == (State.ACTIVE, None, "")
    assert world.epoch(org) == epoch + 2
    assert content.works()


def test_no_other_key_is_activated_or_imported_while_one_is_revoked(world, org, content, active):
    admin = world.admin(org)
    pending = world.bring(org, activate_now=False)
    world.do.main_key_moves.revoke(admin, name(active))
    with pytest.raises(OrganizationLockedError):
        world.do.main_key_moves.activate(admin, name(pending))
    upload = world.upload(org, os.urandom(32))
    for activate_now in (True, False):
        with pytest.raises(OrganizationLockedError):
            world.do.import_main_key(admin, Import(upload, activate_now))
    with pytest.raises(OrganizationLockedError):
        world.do.byok.disable(admin, org)
    world.do.main_key_moves.activate(admin, name(active))
    assert world.do.main_key_moves.activate(admin, name(pending)).key.state is State.ACTIVE
    world.steward()
    assert content.works()


@pytest.mark.parametrize("leave", ["undelete", "purge"])
def test_a_deleted_key_locks_its_organisation_in_every_way_out(world, org, content, active, leave):
    admin = world.admin(org)
    world.do.main_key_moves.revoke(admin, name(active))
    deleted = world.do.main_key_moves.delete(admin, name(active)).key
    assert (deleted.state, deleted.purge_time) == (State.DELETED, world.now + 30 * DAY)
    assert not content.works()
    world.pass_time(30 * DAY - timedelta(seconds=1))
    world.steward()
    assert world.key(org, active.id).state is State.DELETED
    if leave == "undelete":
        assert world.do.main_key_moves.undelete(admin, name(active)).key.state is State.REVOKED
        assert not content.works()
        world.do.main_key_moves.activate(admin, name(active))
        assert content.works()
        return
    assert active.object_id in world.object_ids()
    world.pass_time(timedelta(seconds=1))
    world.steward()
    assert world.key(org, active.id).state is State.REMOVED
    assert active.object_id not in world.object_ids()
    assert not content.works()
    for move in (world.do.main_key_moves.undelete, world.do.main_key_moves.activate):
        with pytest.raises(IllegalTransitionError):
            move(admin, name(active))


@pytest.mark.parametrize("activate_now", [True, False])
def test_the_same_key_imported_again_brings_a_removed_one_back(world, org, content, activate_now):
    admin, value = world.admin(org), os.urandom(32)
    key = world.bring(org, value)
    world.steward()
    pending = world.bring(org, activate_now=False)
    world.do.main_key_moves.revoke(admin, name(key))
    world.do.main_key_moves.delete(admin, name(key))
    with pytest.raises(OrganizationLockedError):  # It is there still: undelete it.
        world.do.import_main_key(admin, Import(world.upload(org, value), activate_now))
    world.pass_time(31 * DAY)
    world.steward()
    upload = world.upload(org, os.urandom(32))
    with pytest.raises(RecoveryKeyRequiredError) as refusal:
        world.do.import_main_key(admin, Import(upload, activate_now))
    assert key.fingerprint.hex() in str(refusal.value)
    assert refusal.value.metadata["fingerprint"] == key.fingerprint.hex()
    assert not content.works()
    epoch = world.epoch(org)
    imported = world.do.import_main_key(admin, Import(world.upload(org, value), activate_now))
    back = imported.main_key.key
    assert (back.id, back.state, back.fingerprint) == (key.id, State.ACTIVE, key.fingerprint)
    assert imported.active == name(key)
    assert world.epoch(org) == epoch + 1
    assert content.works()
    assert world.key(org, pending.id).state is State.PENDING
    # It is a main key like any other again.
    world.do.main_key_moves.activate(admin, name(pending))
    world.steward()
    assert world.key(org, key.id).state is State.RETIRED
    assert content.works()


def test_a_live_key_is_not_imported_again(world, org):
    admin, value = world.admin(org), os.urandom(32)
    key = world.bring(org, value, activate_now=False)
    with pytest.raises(DuplicateKeyError):
        world.do.import_main_key(admin, Import(world.upload(org, value), activate_now=True))
    world.do.main_key_moves.delete(admin, name(key))
    with pytest.raises(DuplicateKeyError):
        world.do.import_main_key(admin, Import(world.upload(org, value), activate_now=True))


def test_a_pending_key_is_deleted_and_undeleted_and_locks_nothing(world, org, content, active):
    admin = world.admin(org)
    first = world.bring(org, activate_now=False)
    deleted = world.do.main_key_moves.delete(admin, name(first)).key
    assert (deleted.state, deleted.prior_state) == (State.DELETED, State.PENDING)
    assert content.works()
    second = world.bring(org, activate_now=False)
    with pytest.raises(PendingKeyExistsError):
        world.do.main_key_moves.undelete(admin, name(first))
    with pytest.raises(DeletedKeyExistsError, match="activate it; or wait"):
        world.do.main_key_moves.delete(admin, name(second))
    world.do.main_key_moves.activate(admin, name(second))
    assert world.do.main_key_moves.undelete(admin, name(first)).key.state is State.PENDING
    world.do.main_key_moves.delete(admin, name(first))
    world.pass_time(31 * DAY)
    world.steward()
    assert world.key(org, first.id).state is State.REMOVED
    assert first.object_id not in world.object_ids()
    assert content.works()


def test_a_key_in_the_wrong_state_does_not_move(world, org, active):
    admin, moves = world.admin(org), world.do.main_key_moves
    pending = world.bring(org, activate_now=False)
    common = world.key(org, COMMON)
    for move, key in (
        (moves.activate, active),
        (moves.delete, active),
        (moves.undelete, active),
        (moves.revoke, pending),
        (moves.undelete, pending),
        *((move, common) for move in (moves.activate, moves.revoke, moves.delete, moves.undelete)),
    ):
        before = world.keys(org)
        with pytest.raises(IllegalTransitionError):
            move(admin, name(key))
        assert world.keys(org) == before


def test_a_revocation_for_a_time_ends_by_itself(world, org, content, active):
    admin = world.admin(org)
    for bad in (timedelta(seconds=59), timedelta(hours=24, seconds=1), timedelta(0), -timedelta(hours=1)):
        with pytest.raises(InvalidFieldError):
            world.do.main_key_moves.revoke(admin, name(active), reactivate_after=bad)
    revoked = world.do.main_key_moves.revoke(admin, name(active), reactivate_after=timedelta(minutes=10)).main_key.key
    assert revoked.reactivate_time == world.now + timedelta(minutes=10)
    world.pass_time(timedelta(minutes=9, seconds=59))
    world.steward()
    assert not content.works()
    world.restart()
    world.pass_time(timedelta(seconds=1))
    world.steward()
    assert world.key(org, active.id).state is State.ACTIVE
    assert content.works()


def test_a_deletion_ends_the_time_of_a_revocation(world, org, content, active):
    admin = world.admin(org)
    world.do.main_key_moves.revoke(admin, name(active), reactivate_after=timedelta(minutes=1))
    world.do.main_key_moves.delete(admin, name(active))
    world.do.main_key_moves.undelete(admin, name(active))
    world.pass_time(timedelta(hours=1))
    world.steward()
    assert world.key(org, active.id).state is State.REVOKED
    assert not content.works()


# BYOK.


def test_enabling_byok_alone_changes_no_key(world, org, content):
    before = world.keys(org), world.epoch(org)
    view = world.do.byok.enable(world.admin(org), org)
    assert view.organization.byok_enabled
    assert world.do.byok.enable(world.admin(org), org) == view
    assert (world.keys(org), world.epoch(org)) == before
    assert content.works()


def test_disabling_byok_puts_the_common_key_in_charge_and_moves_every_kek(world, org, content, active):
    admin = world.admin(org)
    pending = world.bring(org, activate_now=False)
    keks = {kek.id for kek in world.keks(org)}
    view = world.do.byok.disable(admin, org)
    assert not view.organization.byok_enabled
    assert (world.in_charge(org).id, world.in_charge(org).state) == (COMMON, State.ACTIVE)
    assert world.key(org, active.id).state is State.ROTATING
    assert content.works()
    world.steward()
    assert world.key(org, active.id).state is State.RETIRED
    assert {kek.main_key for kek in world.keks(org)} == {COMMON}
    assert keks <= {kek.id for kek in world.keks(org)}
    assert content.works()
    with pytest.raises(ByokDisabledError):
        world.do.main_key_moves.activate(admin, name(pending))
    world.do.byok.enable(admin, org)
    assert world.do.main_key_moves.activate(admin, name(pending)).key.state is State.ACTIVE
    world.pass_time(8 * DAY)
    world.steward()
    assert world.key(org, active.id).state is State.REMOVED
    assert world.key(org, COMMON).state is State.RETIRED
    assert world.key(org, COMMON).object_id in world.object_ids()
    assert content.works()


def test_the_common_key_comes_back_before_all_keks_have_left_it(world, org):
    contents = [Content(world, org) for _ in range(8)]
    key = world.bring(org)
    assert world.chores["rotate"]() == 3  # One batch of eight.
    world.do.byok.disable(world.admin(org), org)
    world.steward()
    assert world.key(org, key.id).state is State.RETIRED
    assert {kek.main_key for kek in world.keks(org)} == {COMMON}
    assert all(content.works() for content in contents)


def test_bringing_a_key_enables_byok(world, org):
    world.bring(org, activate_now=False)
    with world.storage.read() as tx:
        assert tx.organizations.find(org).byok_enabled
