"""Token and database are compared: what does not fit is told, and nothing is destroyed."""

import os
from datetime import timedelta

import pytest

from hsm_adapter.constants import Attribute, KeyType, Mechanism, ObjectClass
from hsm_adapter.structures import Template
from server.domain.errors import MainKeyMissingError
from server.domain.ids import COMMON, MainKeyName
from server.domain.intents import Intent, ObjectRole, Purpose
from server.domain.main_keys import State

HOUR = timedelta(hours=1)


@pytest.fixture
def reconciled(world):
    """What does not fit already, from tests before."""
    found = world.reconcile()
    return set(found.unknown), set(found.missing)


def test_a_world_at_rest_fits(world, org, reconciled):
    world.bring(org)
    world.bring(org, activate_now=False)
    world.upload(org, os.urandom(32))
    world.steward()
    found = world.reconcile()
    assert (set(found.unknown), set(found.missing)) == reconciled
    assert found.checked >= 2


def test_an_object_that_no_row_knows_is_told_and_kept(world, org, reconciled):
    ours = world.env.new_id()
    world.custody.generate_main_key(ours)
    token = world.custody._token

    def make(session):
        strange = Template(
            {
                Attribute.CLASS: ObjectClass.SECRET_KEY,
                Attribute.KEY_TYPE: KeyType.AES,
                Attribute.TOKEN: True,
                Attribute.VALUE_LEN: 32,
                Attribute.ID: b"strange",
                Attribute.LABEL: b"somebody else's",
            }
        )
        return token._cryptoki.generate_key(session.handle, Mechanism.AES_KEY_GEN, strange)

    token._recovery.run(make)
    expected = {(ObjectRole.MAIN_KEY, ours), (None, b"strange".hex())}
    for _ in range(2):
        assert set(world.reconcile().unknown) - reconciled[0] == expected
    world.pass_time(2 * HOUR)
    world.steward()
    assert world.gauges.objects_unknown.value == len(reconciled[0]) + 2


def test_an_object_on_its_way_is_not_unknown(world, org, reconciled):
    on_its_way = world.env.new_id()
    with world.storage.write() as tx:
        tx.intents.add(Intent(on_its_way, ObjectRole.MAIN_KEY, Purpose.CREATE, world.now))
    world.custody.generate_main_key(on_its_way)
    assert set(world.reconcile().unknown) == reconciled[0]
    # Nobody comes back for it: after a while it is undone.
    world.pass_time(world.limits.intent_age + timedelta(seconds=1))
    world.steward()
    assert on_its_way not in world.object_ids()


def test_a_main_key_that_is_missing_is_shown_and_its_row_is_kept(world, org, reconciled):
    kek = world.new_kek(org)
    value = os.urandom(32)
    key = world.bring(org, value)
    world.steward()
    world.custody.destroy(ObjectRole.MAIN_KEY, key.object_id)
    found = world.reconcile()
    assert set(found.missing) - reconciled[1] == {MainKeyName(org, key.id)}
    shown = world.do.get_main_key(world.admin(org), MainKeyName(org, key.id)).key
    assert (shown.missing_time, shown.state) == (world.now, State.ACTIVE)
    with pytest.raises(MainKeyMissingError):
        world.new_kek(org)
    world.pass_time(HOUR)
    world.reconcile()
    assert world.key(org, key.id).missing_time == world.now - HOUR
    # The operator restores the token.
    upload = world.upload(org, value)
    world.custody.unwrap_main_key(key.object_id, upload.wrapping_key.id, upload.encrypted)
    assert set(world.reconcile().missing) == reconciled[1]
    assert world.key(org, key.id).missing_time is None
    assert {it.id for it in world.keks(org)} == {kek.id}
    world.new_kek(org)


def test_another_key_under_the_same_id_is_not_taken_for_it(world, org, reconciled):
    key = world.bring(org)
    world.custody.generate_main_key(key.object_id)
    assert set(world.reconcile().missing) - reconciled[1] == {MainKeyName(org, key.id)}


def test_a_removed_key_is_not_missing(world, org, reconciled):
    first = world.bring(org)
    world.bring(org)
    world.steward()
    world.pass_time(timedelta(days=8))
    world.steward()
    assert world.key(org, first.id).state is State.REMOVED
    assert world.key(org, COMMON).state is State.RETIRED
    assert set(world.reconcile().missing) == reconciled[1]
