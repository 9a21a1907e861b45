"""Who can write to the database swaps, edits and replays rows: that never yields a key of another, and is noticed."""

import os

import pytest

from server.domain.errors import KeysteadError
from server.domain.ids import KekName, MainKeyName
from tests.attacks.owners import Owner
from tests.support.pooled import PooledCustody

CUSTODY = PooledCustody
"""No wrapping key is attacked here."""

COLUMNS = "UPDATE keks SET wrapped = :wrapped, binding = :binding, main_key = :main_key WHERE id = :id"


def take_place(write, there, what) -> None:
    """Write all that a KEK's row has of a key into another KEK's row."""
    write(COLUMNS, wrapped=what.key.wrapped, binding=what.key.binding, main_key=what.main_key, id=there.id)


def test_two_keks_of_an_organisation_do_not_change_places(world, owner, write):
    second = world.new_kek(owner.id)
    under_second = owner.make(KekName(owner.id, second.id))
    take_place(write, owner.kek, second)
    assert owner.reason() == "KEK_DAMAGED"
    assert owner.opened(under_second.wrapped) == under_second.plaintext
    take_place(write, second, owner.kek)
    assert owner.reason(under_second.wrapped) == "KEK_DAMAGED"
    with pytest.raises(KeysteadError) as caught:
        owner.make(KekName(owner.id, owner.kek.id))
    assert caught.value.reason == "KEK_DAMAGED"


@pytest.mark.parametrize("brings", [True, False], ids=["main keys of their own", "the common key"])
def test_a_kek_does_not_serve_another_organisation(world, write, brings):
    owner, other = Owner(world, brings=brings), Owner(world, brings=brings)
    # The other's row gets the owner's key; then it even gets the owner's id.
    write(
        "UPDATE keks SET wrapped = :wrapped, binding = :binding WHERE id = :id",
        wrapped=owner.kek.key.wrapped,
        binding=owner.kek.key.binding,
        id=other.kek.id,
    )
    assert other.reason() == "KEK_DAMAGED"
    write("DELETE FROM keks WHERE id = :id", id=owner.kek.id)
    write("UPDATE keks SET id = :new, kek = :new WHERE id = :id", new=owner.kek.id, id=other.kek.id)
    assert other.reason(owner.made.wrapped) == "KEK_DAMAGED"


def test_a_kek_does_not_serve_another_organisation_whose_main_key_is_its_own(world, owner, other, write):
    """Both the KEK's row and the object of its main key are given to another organisation."""
    own, theirs = world.in_charge(owner.id), world.in_charge(other.id)
    write("UPDATE main_keys SET object_id = :new WHERE id = :id", new=os.urandom(16).hex(), id=own.id)
    write("UPDATE main_keys SET object_id = :new WHERE id = :id", new=own.object_id, id=theirs.id)
    write(
        "UPDATE keks SET wrapped = :wrapped, binding = :binding WHERE id = :id",
        wrapped=owner.kek.key.wrapped,
        binding=owner.kek.key.binding,
        id=other.kek.id,
    )
    assert other.reason(other.made.wrapped) == "KEK_DAMAGED"
    write("DELETE FROM keks WHERE id = :id", id=owner.kek.id)
    write("UPDATE keks SET id = :new, kek = :new WHERE id = :id", new=owner.kek.id, id=other.kek.id)
    assert other.reason(owner.made.wrapped) == "KEK_DAMAGED"
    # Reconciliation finds that the object is another key than the row says.
    assert MainKeyName(other.id, theirs.id) in world.reconcile().missing


@pytest.mark.parametrize("column", ["wrapped", "binding"])
def test_one_bit_of_a_kek_is_noticed(owner, write, column):
    value = bytearray(getattr(owner.kek.key, column))
    value[7] ^= 1
    statement = "UPDATE keks SET {} = :value WHERE id = :id"
    write(statement.format(column), value=bytes(value), id=owner.kek.id)
    assert owner.reason() == "KEK_DAMAGED"


def test_an_old_form_of_a_kek_is_useless_after_the_rotation(world, owner, write):
    old = owner.kek
    world.bring(owner.id)
    world.steward()
    assert owner.is_well()
    write("UPDATE keks SET wrapped = :wrapped WHERE id = :id", wrapped=old.key.wrapped, id=old.id)
    assert owner.reason() == "KEK_DAMAGED"


def test_a_kek_is_not_put_back_under_a_key_that_is_retired(world, owner, write):
    old = owner.kek
    world.bring(owner.id)
    world.steward()
    with pytest.raises(KeysteadError):
        take_place(write, old, old)
    assert owner.is_well()


def test_a_kek_does_not_name_the_common_key_in_place_of_its_own(world, owner, write):
    with pytest.raises(KeysteadError):
        write("UPDATE keks SET main_key = 'common' WHERE id = :id", id=owner.kek.id)
    assert owner.is_well()


def test_a_wrapped_content_key_is_of_its_own_organisation(owner, other):
    assert other.reason(owner.made.wrapped) == "WRAPPED_KEY_REJECTED"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE main_keys SET state = 'ACTIVE' WHERE organization = :org AND id <> :id AND state = 'PENDING'",
        "UPDATE main_keys SET state = 'PENDING' WHERE organization = :org AND id = :id",
        "UPDATE main_keys SET state = 'RETIRED' WHERE organization = :org AND id = :id",
        "UPDATE main_keys SET state = 'REMOVED' WHERE organization = :org AND id = :id",
        "UPDATE main_keys SET state = 'WONDERFUL' WHERE organization = :org AND id = :id",
        "UPDATE organizations SET main_key = 'nobody' WHERE id = :org AND main_key = :id",
        "DELETE FROM main_keys WHERE organization = :org AND id = :id",
    ],
)
def test_states_that_cannot_be_are_not_taken(world, owner, write, statement):
    world.bring(owner.id, activate_now=False)
    with pytest.raises(KeysteadError):
        write(statement, org=owner.id, id=world.in_charge(owner.id).id)
    assert owner.is_well()
