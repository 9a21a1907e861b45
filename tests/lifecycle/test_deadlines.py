"""What happens by itself when its time has come, whatever the clock and the processes do meanwhile."""

import os
from datetime import timedelta

import pytest
import sqlalchemy as sa

from server.domain.errors import EncryptedKeyRejectedError, WrappingKeyNotUsableError
from server.domain.ids import COMMON, MainKeyName
from server.domain.main_keys import State
from server.domain.wrapping_keys import WrappingKeyState
from server.use_cases import Import
from tests.support.world import later

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def events(world, org, action):
    with world.storage.connected(writes=False) as connection:
        query = sa.text("SELECT count(*) FROM audit_events WHERE organization = :org AND action = :action")
        return connection.execute(query, {"org": org, "action": action}).scalar_one()


def test_a_retired_key_leaves_the_token_at_the_end_of_its_lifetime(world, org):
    first = world.bring(org)
    world.bring(org)
    world.steward()
    retired = world.key(org, first.id)
    assert (retired.state, retired.purge_time) == (State.RETIRED, world.now + 7 * DAY)
    world.pass_time(7 * DAY - SECOND)
    world.steward()
    assert world.key(org, first.id).state is State.RETIRED
    assert first.object_id in world.object_ids()
    world.pass_time(SECOND)
    world.steward()
    assert world.key(org, first.id).state is State.REMOVED
    assert first.object_id not in world.object_ids()
    # The common key serves others: it is retired here, and stays.
    assert world.key(org, COMMON).purge_time is None
    assert world.key(org, COMMON).object_id in world.object_ids()


def test_a_deadline_that_passed_while_nothing_ran_is_caught_up_with(world, org):
    first = world.bring(org)
    world.bring(org)
    world.steward()
    world.pass_time(400 * DAY)
    again = later(world)
    again.steward()
    assert again.key(org, first.id).state is State.REMOVED


def test_a_clock_that_jumps_back_only_delays(world, org):
    first = world.bring(org)
    world.bring(org)
    world.steward()
    there = world.now
    world.now -= 300 * DAY
    world.steward()
    assert world.key(org, first.id).state is State.RETIRED
    second = world.bring(org)
    world.steward()
    assert world.in_charge(org).id == second.id
    world.now = there + 8 * DAY
    world.monotonic += 400 * DAY.total_seconds()
    world.steward()
    assert world.key(org, first.id).state is State.REMOVED


def test_a_clock_that_leaps_ahead_destroys_nothing_until_the_steward_is_started_anew(world, org):
    first = world.bring(org)
    world.bring(org)
    world.steward()
    wrapping_key = world.upload(org, bytes(32)).wrapping_key
    world.now += 40 * DAY  # The monotonic clock has seen no time pass.
    world.steward()
    assert world.key(org, first.id).state is State.RETIRED
    with world.storage.read() as tx:
        assert tx.wrapping_keys.find(org, wrapping_key.id).state is WrappingKeyState.USABLE
    world.pass_time(DAY)
    world.steward()
    assert world.key(org, first.id).state is State.RETIRED
    world.restart()  # An operator has looked at the clock.
    world.steward()
    assert world.key(org, first.id).state is State.REMOVED


def test_an_expired_wrapping_key_is_refused_and_destroyed(world, org):
    upload = world.upload(org, os.urandom(32))
    world.pass_time(7 * DAY)
    with pytest.raises(WrappingKeyNotUsableError):
        world.do.import_main_key(world.admin(org), Import(upload, activate_now=True))
    world.steward()
    with world.storage.read() as tx:
        assert tx.wrapping_keys.find(org, upload.wrapping_key.id).state is WrappingKeyState.EXPIRED
    assert upload.wrapping_key.id not in world.object_ids()
    assert world.do.get_wrapping_key(world.admin(org), org, None).id != upload.wrapping_key.id


def test_a_rejected_upload_is_answered_no_sooner_than_the_others(world, org):
    slow = later(world, rejection_floor=timedelta(seconds=3))
    slow.slept_until.clear()
    upload = slow.upload(org, os.urandom(16))
    with pytest.raises(EncryptedKeyRejectedError):
        slow.do.import_main_key(slow.admin(org), Import(upload, activate_now=True))
    assert slow.slept_until == [slow.monotonic + 3]


def test_the_owner_of_an_old_key_is_reminded_once(world, org):
    key = world.bring(org)
    view = world.do.get_organization(world.admin(org), org)
    assert view.main_key.rotation_due_time == world.now + 365 * DAY
    world.pass_time(365 * DAY - SECOND)
    world.steward()
    assert events(world, org, "ROTATION_DUE") == 0
    world.pass_time(2 * SECOND)
    for _ in range(3):
        world.restart()
        world.steward()
    assert events(world, org, "ROTATION_DUE") == 1
    assert world.gauges.rotations_due.value >= 1
    # A revocation between makes the key no younger; another key is young.
    moves, name = world.do.main_key_moves, MainKeyName(org, key.id)
    moves.revoke(world.admin(org), name)
    moves.activate(world.admin(org), name)
    world.steward()
    assert events(world, org, "ROTATION_DUE") == 1
    before = world.gauges.rotations_due.value
    world.bring(org)
    world.pass_time(timedelta(minutes=2))
    world.steward()
    assert world.gauges.rotations_due.value == before - 1
    assert world.do.get_organization(world.admin(org), org).main_key.rotation_due_time > world.now + 364 * DAY


def test_nobody_is_reminded_of_the_common_key(world, org):
    assert world.do.get_organization(world.admin(org), org).main_key.rotation_due_time is None
    world.pass_time(400 * DAY)
    world.steward()
    assert events(world, org, "ROTATION_DUE") == 0
