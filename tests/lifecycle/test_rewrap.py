"""Content keys wrapped anew: under another KEK or their own, each with its own status, and never in clear outside."""

import os

import pytest
import sqlalchemy as sa

from server.domain.errors import (
    ForbiddenError,
    InvalidFieldError,
    KekDamagedError,
    OrganizationLockedError,
    ResourceNotFoundError,
    WrappedKeyRejectedError,
)
from server.domain.ids import KekName, MainKeyName
from server.domain.keks import ENCRYPTIONS_LIMIT
from server.use_cases import FREE
from server.use_cases.rewrap_content_keys import RewrapContentKeys

CONTEXT = {"document": "report"}


@pytest.fixture
def keks(world, org):
    return [KekName(org, world.new_kek(org).id) for _ in range(3)]


def made(world, kek, count=1, context=CONTEXT):
    return world.do.generate_content_keys(world.user(kek.organization), kek, count=count, size=32, context=context)


def rewrap(world, org, wrapped, kek=None, context=CONTEXT):
    return world.do.rewrap_content_keys(world.user(org), org, [(it, context) for it in wrapped], kek=kek)


def in_clear(world, org, wrapped, context=CONTEXT):
    return world.do.unwrap_content_keys(world.user(org), org, [(it, context) for it in wrapped])


def exhaust(world, kek):
    with world.storage.write() as tx:
        left = tx.keks.newest(kek.organization, kek.id).remaining_encryptions
        assert tx.keks.reserve_encryptions(kek.organization, kek.id, left, ENCRYPTIONS_LIMIT)


def damage(world, kek):
    with world.storage.connected(writes=True) as connection:
        statement = sa.text("UPDATE keks SET wrapped = :damaged WHERE organization = :org AND id = :id")
        connection.execute(statement, {"damaged": bytes(40), "org": kek.organization, "id": kek.id})


def test_a_content_key_goes_under_the_named_kek_and_its_old_form_stays_good(world, org, keks):
    old, new, _ = keks
    keys = made(world, old, 3)
    results = rewrap(world, org, [key.wrapped for key in keys], new)
    assert {result.kek for result in results} == {new}
    for key, result, again in zip(
        keys, results, in_clear(world, org, [result.wrapped for result in results]), strict=True
    ):
        assert (again.plaintext, again.kek) == (key.plaintext, new)
        assert key.plaintext not in result.wrapped
        (before,) = in_clear(world, org, [key.wrapped])
        assert (before.plaintext, before.kek) == (key.plaintext, old)


def test_by_default_each_stays_under_its_own_kek_and_has_another_iv(world, org, keks):
    keys = [key for kek in (*keks, *keks) for key in made(world, kek)]
    results = rewrap(world, org, [key.wrapped for key in keys])
    assert [result.kek for result in results] == [*keks, *keks]
    assert [it.plaintext for it in in_clear(world, org, [result.wrapped for result in results])] == [
        key.plaintext for key in keys
    ]
    assert not {key.wrapped[17:29] for key in keys} & {result.wrapped[17:29] for result in results}


def test_the_context_is_that_of_the_old_form_and_of_the_new(world, org, keks):
    (key,) = made(world, keks[0])
    for context in ({}, {"document": "another"}):
        (rejected,) = rewrap(world, org, [key.wrapped], keks[1], context)
        assert isinstance(rejected, WrappedKeyRejectedError)
    (result,) = rewrap(world, org, [key.wrapped], keks[1])
    assert isinstance(in_clear(world, org, [result.wrapped], {})[0], WrappedKeyRejectedError)
    assert in_clear(world, org, [result.wrapped])[0].plaintext == key.plaintext


def test_a_content_key_of_any_size_that_can_be_wrapped_can_be_rewrapped(world, org, keks):
    plaintexts = [os.urandom(size) for size in (1, 4096)]
    wrapped = world.do.wrap_content_keys(world.user(org), keks[0], [(it, CONTEXT) for it in plaintexts])
    results = rewrap(world, org, wrapped, keks[1])
    assert [it.plaintext for it in in_clear(world, org, [result.wrapped for result in results])] == plaintexts


def test_bad_items_fail_alone_and_a_thousand_keep_their_order(world, org, keks):
    foreign = world.new_organization()
    (stranger,) = made(world, KekName(foreign, world.new_kek(foreign).id))
    by_kek = [made(world, kek, 334) for kek in keks]
    keys = [key for row in zip(*by_kek, strict=True) for key in row][:1000]
    wrapped = [key.wrapped for key in keys]
    bad = {3: b"", 4: wrapped[4][:-1], 500: os.urandom(77), 501: stranger.wrapped, 999: wrapped[999][:-1] + b"\0"}
    if wrapped[999].endswith(b"\0"):
        bad[999] = wrapped[999][:-1] + b"\1"
    for place, damaged in bad.items():
        wrapped[place] = damaged
    results = rewrap(world, org, wrapped, keks[2])
    assert {place for place, it in enumerate(results) if isinstance(it, WrappedKeyRejectedError)} == set(bad)
    good = [place for place in range(1000) if place not in bad]
    again = in_clear(world, org, [results[place].wrapped for place in good])
    assert [it.plaintext for it in again] == [keys[place].plaintext for place in good]


def test_content_keys_of_a_spent_version_go_under_the_newest(world, org, keks):
    spent, other, _ = keks
    # The process has a block of four, and uses it up.
    keys = [*made(world, spent, 4), *made(world, other, 1)]
    exhaust(world, spent)
    results = rewrap(world, org, [key.wrapped for key in keys])
    assert [it.kek for it in results] == [spent] * 4 + [other]
    # The version's id is what a wrapped content key names, behind its own version of one byte.
    assert {it.wrapped[1:17].hex() for it in results[:4]}.isdisjoint({spent.id})


def test_a_kek_that_is_damaged_fails_only_what_is_or_would_go_under_it(world, org, keks):
    bad, other, _ = keks
    keys = [*made(world, bad), *made(world, other)]
    # Some processes may keep a KEK that they have loaded; a new one has it from the row.
    world.restart()
    world.custody.unload_keks(frozenset({org}))
    damage(world, bad)
    results = rewrap(world, org, [key.wrapped for key in keys])
    assert isinstance(results[0], KekDamagedError)
    assert results[1].kek == other
    assert [type(it) for it in rewrap(world, org, [keys[1].wrapped], bad)] == [KekDamagedError]


def test_a_kek_that_is_not_there_or_foreign_is_told_before_anything_is_unwrapped(world, org, keks):
    (key,) = made(world, keks[0])
    unknown = KekName(org, world.env.new_id())
    foreign = world.new_organization()
    for wrapped in (key.wrapped, b"bad"):
        with pytest.raises(ResourceNotFoundError):
            rewrap(world, org, [wrapped], unknown)
        for kek in (world.new_kek(foreign).id, world.env.new_id()):
            with pytest.raises(InvalidFieldError) as caught:
                rewrap(world, org, [wrapped], KekName(foreign, kek))
            assert caught.value.metadata == {"field": "kek"}


@pytest.mark.parametrize("count", [0, 1001])
def test_too_few_or_too_many_are_refused(world, org, keks, count):
    for kek in (None, keks[0]):
        with pytest.raises(InvalidFieldError):
            rewrap(world, org, [b"x"] * count, kek)


def test_only_a_service_of_the_organisation_may(world, org, keks):
    (key,) = made(world, keks[0])
    for caller in (world.admin(org), world.user(world.new_organization())):
        for kek in (None, keks[1]):
            with pytest.raises(ForbiddenError):
                world.do.rewrap_content_keys(caller, org, [(key.wrapped, CONTEXT)], kek=kek)


def revoke(world, org):
    name = MainKeyName(org, world.in_charge(org).id)
    world.do.main_key_moves.revoke(world.admin(org), name, FREE, reason="", reactivate_after=None)


def test_a_locked_organisation_gets_nothing_rewrapped(world, org, keks):
    world.bring(org)
    (key,) = made(world, keks[0])
    revoke(world, org)
    for wrapped in (key.wrapped, b"bad"):
        for kek in (None, keks[1], KekName(org, world.env.new_id())):
            with pytest.raises(OrganizationLockedError):
                rewrap(world, org, [wrapped], kek)


@pytest.mark.parametrize("named", [False, True])
def test_a_revocation_between_unwrapping_and_wrapping_stops_the_answer(world, org, keks, named):
    world.bring(org)
    (key,) = made(world, keks[0])

    def unwrap_and_be_revoked(*arguments):
        unwrapped = world.do.unwrap_content_keys(*arguments)
        revoke(world, org)
        return unwrapped

    late = RewrapContentKeys(world.env, unwrap_and_be_revoked, world.do.wrap_content_keys)
    with pytest.raises(OrganizationLockedError):
        late(world.user(org), org, [(key.wrapped, CONTEXT)], kek=keks[1] if named else None)
