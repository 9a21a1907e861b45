"""What a change would do, and whether a backup is a copy of the key: both change no state."""

import os
from datetime import timedelta

import pytest

from server.domain.errors import (
    EncryptedKeyRejectedError,
    ResourceNotFoundError,
    WrappingKeyNotUsableError,
)
from server.domain.ids import COMMON, KekName, MainKeyName
from server.domain.main_keys import State
from server.use_cases import Change, Import
from tests.support.crypto import fingerprint


def test_a_preview_tells_what_would_stop(world, org):
    kek = world.new_kek(org)
    key = world.bring(org)
    world.steward()
    admin, user, name = world.admin(org), world.user(org), MainKeyName(org, key.id)
    world.do.generate_content_keys(user, KekName(org, kek.id), count=7, size=32, context={})
    world.do.records.write()
    world.pass_time(timedelta(days=2))
    world.do.wrap_content_keys(user, KekName(org, kek.id), [(b"x", {})])
    last_use = world.now
    world.do.records.write()
    before = world.keys(org), world.epoch(org)
    preview = world.do.preview_change(admin, name, Change.REVOKE)
    assert (preview.kek_count, preview.stops_content_keys, preview.obstacle) == (1, True, "")
    assert (preview.usage.last_day, preview.usage.last_30_days) == (1, 8)
    assert preview.usage.last_use_time == last_use
    assert preview.effects
    preview = world.do.preview_change(admin, name, Change.DELETE)
    assert "Moves possible now: REVOKE" in preview.obstacle
    assert (preview.stops_content_keys, preview.effects) == (False, ())
    preview = world.do.preview_change(admin, name, Change.DISABLE_BYOK)
    assert (preview.kek_count, preview.stops_content_keys, preview.obstacle) == (1, False, "")
    assert (world.keys(org), world.epoch(org)) == before
    world.do.main_key_moves.revoke(admin, name)
    assert world.do.preview_change(admin, name, Change.DELETE).obstacle == ""
    assert "locked" in world.do.preview_change(admin, name, Change.DISABLE_BYOK).obstacle
    assert world.do.preview_change(admin, name, Change.REVOKE).obstacle
    with pytest.raises(ResourceNotFoundError):
        world.do.preview_change(admin, MainKeyName(org, world.env.new_id()), Change.REVOKE)


def test_disabling_byok_while_the_common_key_is_in_charge_moves_no_kek(world, org):
    admin = world.admin(org)
    world.do.byok.enable(admin, org)
    world.new_kek(org)
    preview = world.do.preview_change(admin, MainKeyName(org, COMMON), Change.DISABLE_BYOK)
    assert (preview.kek_count, preview.obstacle) == (0, "")
    assert preview.effects[0] == "The common key is in charge already: no KEK is re-wrapped."


def test_use_is_forgotten_after_a_month(world, org):
    kek = KekName(org, world.new_kek(org).id)
    world.do.generate_content_keys(world.user(org), kek, count=1, size=32, context={})
    world.do.records.write()
    world.pass_time(timedelta(days=32))
    world.steward()
    with world.storage.read() as tx:
        usage = tx.uses.of(org, world.now)
    assert (usage.last_30_days, usage.last_use_time) == (0, None)


def test_a_copy_is_verified_and_shown(world, org):
    value = os.urandom(32)
    key = world.bring(org, value)
    admin, name = world.admin(org), MainKeyName(org, key.id)
    before, objects = world.epoch(org), world.object_ids()
    world.pass_time(timedelta(days=3))
    upload = world.upload(org, value)
    verified = world.do.verify_main_key_copy(admin, name, upload)
    assert (verified.fingerprint, verified.matching) == (key.fingerprint, name)
    assert verified.main_key.key.verify_time == world.now
    assert world.do.get_organization(admin, org).main_key.verify_time == world.now
    assert (world.key(org, key.id).state, world.epoch(org)) == (State.ACTIVE, before)
    assert world.object_ids() == objects
    # The wrapping key is used up: the recorded upload cannot be played again, not even as an import.
    with pytest.raises(WrappingKeyNotUsableError):
        world.do.verify_main_key_copy(admin, name, upload)
    with pytest.raises(WrappingKeyNotUsableError):
        world.do.import_main_key(admin, Import(upload, activate_now=True))


def test_a_copy_of_another_key_is_told_apart(world, org):
    first_value, other_value = os.urandom(32), os.urandom(32)
    first = world.bring(org, first_value)
    second = world.bring(org)
    admin = world.admin(org)
    verified = world.do.verify_main_key_copy(admin, MainKeyName(org, second.id), world.upload(org, first_value))
    assert verified.matching == MainKeyName(org, first.id)
    assert verified.main_key.key.verify_time is None
    verified = world.do.verify_main_key_copy(admin, MainKeyName(org, second.id), world.upload(org, other_value))
    assert (verified.fingerprint, verified.matching) == (fingerprint(other_value), None)
    assert world.key(org, first.id).verify_time is None


def test_a_bad_copy_is_rejected_as_a_bad_upload_is(world, org):
    key = world.bring(org)
    admin, name = world.admin(org), MainKeyName(org, key.id)
    for tried in range(5):
        upload = world.upload(org, os.urandom(31))
        with world.storage.read() as tx:
            assert tx.wrapping_keys.find(org, upload.wrapping_key.id).failed_uploads == tried
        with pytest.raises(EncryptedKeyRejectedError):
            world.do.verify_main_key_copy(admin, name, upload)
    with pytest.raises(WrappingKeyNotUsableError):
        world.do.verify_main_key_copy(admin, name, upload)
    with pytest.raises(ResourceNotFoundError):
        world.do.verify_main_key_copy(admin, MainKeyName(org, world.env.new_id()), world.upload(org, os.urandom(32)))


def test_a_copy_of_a_removed_key_can_be_verified_before_it_is_imported(world, org):
    value = os.urandom(32)
    key = world.bring(org, value)
    admin, name = world.admin(org), MainKeyName(org, key.id)
    world.do.main_key_moves.revoke(admin, name)
    world.do.main_key_moves.delete(admin, name)
    world.pass_time(timedelta(days=31))
    world.steward()
    assert world.do.verify_main_key_copy(admin, name, world.upload(org, value)).matching == name
    assert world.key(org, key.id).state is State.REMOVED
