"""The life of a main key in the trust mode `trusted`: nothing is wrapped under it before the officer has marked it."""

import os
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.audit import AuditAction, AuditFilter
from server.domain.errors import MainKeyNotTrustedError, ResourceNotFoundError
from server.domain.ids import COMMON, KekName, MainKeyName
from server.domain.intents import ObjectRole
from server.domain.main_keys import State
from server.domain.ports import ExaminedKey
from server.use_cases import Import, PageRequest
from server.use_cases.trust_main_key import TrustMainKey, WrongKeyError
from tests.support.officer import trusted_world


@pytest.fixture(scope="module")
def officers(tmp_path_factory):
    with trusted_world(tmp_path_factory.mktemp("world")) as officers:
        yield officers


@pytest.fixture
def world(officers):
    return officers.world


@pytest.fixture
def org(world):
    return world.new_organization()


def is_told_trusted(world, key) -> bool:
    """What a receipt tells of the mark."""
    return world.custody.describe_main_key(key.object_id).attributes["CKA_TRUSTED"]


def test_a_key_for_now_is_refused_and_the_same_upload_is_good_for_later(world, org):
    upload = world.upload(org, os.urandom(32))
    objects = world.object_ids()
    for _ in range(6):  # More often than an upload may fail.
        with pytest.raises(MainKeyNotTrustedError):
            world.do.import_main_key(world.admin(org), Import(upload, activate_now=True))
    assert world.object_ids() == objects
    assert world.keys(org).keys() == {COMMON}
    imported = world.do.import_main_key(world.admin(org), Import(upload, activate_now=False))
    assert imported.main_key.key.state is State.PENDING


def test_a_pending_key_is_activated_when_the_officer_has_marked_it(officers, world, org):
    kek = world.new_kek(org)
    epoch = world.epoch(org)
    key = world.bring(org, activate_now=False)
    assert not is_told_trusted(world, key)
    with pytest.raises(MainKeyNotTrustedError):
        officers.activate(org, key)
    assert (world.key(org, key.id), world.epoch(org)) == (key, epoch)
    officers.mark(key.object_id)
    assert is_told_trusted(world, key)
    officers.activate(org, key)
    world.steward()
    assert world.keys(org)[COMMON].state is State.RETIRED
    assert [(it.id, it.main_key) for it in world.keks(org)] == [(kek.id, key.id)]


def test_a_revoked_key_comes_back_without_the_officer(officers, world, org):
    key = officers.bring(org, os.urandom(32))
    name = MainKeyName(org, key.id)
    world.do.main_key_moves.revoke(world.admin(org), name)
    officers.activate(org, key)
    world.new_kek(org)


def test_a_recovered_key_opens_at_once_and_wraps_when_it_is_marked_again(officers, world, org):
    value = os.urandom(32)
    key = officers.bring(org, value)
    kek = KekName(org, world.new_kek(org).id)
    [made] = world.do.generate_content_keys(world.user(org), kek, count=1, size=32, context={})
    moves, name = world.do.main_key_moves, MainKeyName(org, key.id)
    moves.revoke(world.admin(org), name)
    moves.delete(world.admin(org), name)
    world.pass_time(timedelta(days=31))
    world.steward()
    assert world.in_charge(org).state is State.REMOVED

    recovered = world.bring(org, value)
    assert recovered.state is State.ACTIVE
    [opened] = world.do.unwrap_content_keys(world.user(org), org, [(made.wrapped, {})])
    assert opened.plaintext == made.plaintext
    with pytest.raises(MainKeyNotTrustedError):
        world.new_kek(org)
    officers.mark(recovered.object_id)
    world.new_kek(org)


def test_a_key_that_is_not_marked_holds_up_no_other_organisation(officers, world, org):
    """A recovered key may be what a rotation leads to."""
    value = os.urandom(32)
    world.new_kek(org)
    key = world.bring(org, value, activate_now=False)
    officers.mark(key.object_id)
    officers.activate(org, key)  # And the KEK is still under the common key.
    world.custody.destroy(ObjectRole.MAIN_KEY, key.object_id)
    upload = world.upload(org, value)
    world.custody.unwrap_main_key(key.object_id, upload.wrapping_key.id, upload.encrypted)
    other = world.new_organization()
    world.new_kek(other)
    officers_key = world.bring(other, activate_now=False)
    officers.mark(officers_key.object_id)
    officers.activate(other, officers_key)
    rotate = world.chores["rotate"]
    assert [rotate(), rotate()] == [1, 1]
    with pytest.raises(MainKeyNotTrustedError):
        rotate()
    assert [it.main_key for it in world.keks(other)] == [officers_key.id]
    officers.mark(key.object_id)
    assert rotate() == 1


class Thief:
    """Exchanges a key between the officer's look and his mark: this is what is examined, one after the other."""

    def __init__(self, *examined: ExaminedKey) -> None:
        self.examined = list(examined)
        self.marked: list[str] = []

    def examine(self, _object_id: str) -> ExaminedKey:
        return self.examined.pop(0)

    def mark(self, object_id: str, _pin) -> None:
        self.marked.append(object_id)


def trusted_events(world, org) -> list[str]:
    events = world.do.read_audit.list_events(world.admin(org), org, PageRequest(0, ""), AuditFilter()).items
    return [it.event.actor for it in events if it.event.action is AuditAction.MAIN_KEY_TRUSTED]


def test_the_officer_marks_no_other_key_unseen(world, org):
    key = world.bring(org, activate_now=False)
    name = MainKeyName(org, key.id)
    good = ExaminedKey(key.fingerprint, is_trusted=False)
    marked, other = replace(good, is_trusted=True), ExaminedKey(os.urandom(32), is_trusted=True)

    def officer(*examined: ExaminedKey) -> TrustMainKey:
        return TrustMainKey(world.storage, Thief(*examined), lambda: world.now)

    with pytest.raises(WrongKeyError):
        officer(other).look(name)
    for after in (other, good):
        step = officer(good, after)
        looked = step.look(name)
        with pytest.raises(WrongKeyError):
            step.mark(looked, nullcontext)
    assert trusted_events(world, org) == []
    step = officer(good, marked)
    step.mark(step.look(name), nullcontext)
    assert trusted_events(world, org) == ["security-officer"]


def test_a_key_that_is_not_in_the_token_any_more_is_not_looked_at(world, org):
    step = TrustMainKey(world.storage, Thief(), lambda: world.now)
    with pytest.raises(ResourceNotFoundError):
        step.look(MainKeyName(org, world.env.new_id()))
