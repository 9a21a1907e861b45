"""A rotation as a job: held and let go, aimed anew, hindered by a bad KEK, and told of."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from server.domain.errors import MainKeyMissingError, ResourceNotFoundError, RotationFinishedError
from server.domain.ids import COMMON, RotationName
from server.domain.intents import ObjectRole
from server.domain.main_keys import State
from server.domain.rotations import RotationState
from server.use_cases import PageRequest


def rotations(world, org):
    """The organisation's rotations, newest first."""
    return world.do.list_rotations(world.admin(org), org, PageRequest(0, "")).items


def test_a_held_rotation_stands_still_and_goes_on(world, org):
    for _ in range(8):
        world.new_kek(org)
    world.bring(org)
    assert world.chores["rotate"]() == 3
    (view,) = rotations(world, org)
    name = RotationName(org, view.rotation.id)
    control = world.do.rotation_control
    assert control.pause(world.admin(org), name).rotation.state is RotationState.PAUSED
    assert control.pause(world.admin(org), name).rotation.state is RotationState.PAUSED
    world.pass_time(timedelta(hours=1))
    world.steward()
    assert rotations(world, org)[0].rotation.done == 3
    assert world.key(org, COMMON).state is State.ROTATING
    resumed = control.resume(world.admin(org), name).rotation
    assert (resumed.state, resumed.resume_done, resumed.resume_time) == (RotationState.RUNNING, 3, world.now)
    world.pass_time(timedelta(seconds=2))
    world.chores["rotate"]()
    running = rotations(world, org)[0].rotation
    # The hour of the pause counts for nothing: three KEKs in two seconds, two are left.
    assert running.rate == pytest.approx(1.5)
    assert running.estimated_end_time == world.now + timedelta(seconds=2 / 1.5)
    world.steward()
    done = rotations(world, org)[0].rotation
    assert (done.state, done.done, done.total, done.estimated_end_time) == (RotationState.DONE, 8, 8, None)
    for move in (control.pause, control.resume):
        with pytest.raises(RotationFinishedError):
            move(world.admin(org), name)
        with pytest.raises(ResourceNotFoundError):
            move(world.admin(org), RotationName(org, world.env.new_id()))


def test_a_further_activation_aims_the_rest_at_the_new_key(world, org):
    for _ in range(7):
        world.new_kek(org)
    first = world.bring(org)
    world.chores["rotate"]()
    world.pass_time(timedelta(seconds=1))  # The list is ordered by time.
    second = world.bring(org)
    newest, oldest = (view.rotation for view in rotations(world, org))
    assert (oldest.from_main_key, oldest.to_main_key, oldest.total) == (COMMON, second.id, 7)
    assert (newest.from_main_key, newest.to_main_key, newest.total) == (first.id, second.id, 3)
    world.steward()
    assert {kek.main_key for kek in world.keks(org)} == {second.id}
    assert world.key(org, first.id).state is State.RETIRED
    assert [view.rotation.done for view in rotations(world, org)] == [3, 7]


def test_a_kek_that_fails_is_named_and_holds_its_key_and_no_other_kek(world, org):
    keks = [world.new_kek(org) for _ in range(5)]
    bad = keks[2]
    with world.storage.connected(writes=True) as connection:
        damage = sa.text("UPDATE keks SET wrapped = :damaged WHERE organization = :org AND id = :id")
        connection.execute(damage, {"damaged": bytes(40), "org": org, "id": bad.id})
    key = world.bring(org)
    world.steward()
    (view,) = rotations(world, org)
    assert (view.rotation.done, view.rotation.failed, view.rotation.state) == (4, 1, RotationState.RUNNING)
    assert [kek.id for kek in view.failed_keks] == [bad.id]
    assert world.key(org, COMMON).state is State.ROTATING
    assert sum(kek.main_key == key.id for kek in world.keks(org)) == 4
    # Restored by the operator, it is tried again by itself.
    with world.storage.connected(writes=True) as connection:
        connection.execute(damage, {"damaged": bad.key.wrapped, "org": org, "id": bad.id})
    world.steward()
    assert world.key(org, COMMON).state is State.ROTATING
    world.pass_time(world.limits.rewrap_retry)
    world.steward()
    (view,) = rotations(world, org)
    assert (view.rotation.done, view.rotation.failed, view.rotation.state) == (5, 0, RotationState.DONE)
    assert view.failed_keks == ()
    assert world.key(org, COMMON).state is State.RETIRED


def test_a_main_key_that_is_missing_holds_up_no_other_organisation(world):
    first, second, third = orgs = [world.new_organization() for _ in range(3)]
    for it in orgs:
        world.new_kek(it)
        key = world.bring(it)
        if it != second:
            world.custody.destroy(ObjectRole.MAIN_KEY, key.object_id)
    assert [world.chores["rotate"]() for _ in range(2)] == [1, 1]  # The KEK, and the key that is left without one.
    with pytest.raises(MainKeyMissingError):
        world.chores["rotate"]()
    states = [rotations(world, it)[0].rotation.state for it in orgs]
    assert states == [RotationState.RUNNING, RotationState.DONE, RotationState.RUNNING]
    for it in (first, third):
        world.bring(it)
    world.steward()
