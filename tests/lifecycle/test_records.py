"""What is recorded: every change with it or not at all, what was refused, and what was done with content keys."""

import os
from datetime import timedelta

import pytest

from server.domain.audit import AuditAction
from server.domain.errors import AuditUnavailableError, ConcurrentChangeError, ForbiddenError, KeysteadError
from server.domain.ids import COMMON, KekName, MainKeyName
from server.domain.main_keys import State
from server.domain.roles import Operation
from server.use_cases import Refusal, records
from server.use_cases.refusals import OF_A_CALLER, OF_ALL_CALLERS
from tests.support.logs import log_of, unwritable_log
from tests.support.world import later

USED, LOST, REFUSED = AuditAction.CONTENT_KEYS_USED, AuditAction.RECORDS_LOST, AuditAction.REFUSED


@pytest.fixture
def kek(world, org):
    return KekName(org, world.new_kek(org).id)


def told(world, org, *actions):
    world.do.records.write()
    return log_of(world.storage, org, *actions)


def uses(world, org):
    return [(it.operation, it.subject, it.reason, it.count, it.actor) for it in told(world, org, USED)]


def test_the_moves_of_a_main_key_are_recorded_with_its_keks_and_the_reason(world, org, kek):
    key = world.bring(org)
    world.steward()
    admin, name = world.admin(org), MainKeyName(org, key.id)
    world.do.main_key_moves.revoke(admin, name, reason="stolen laptop")
    world.do.main_key_moves.activate(admin, name)
    moves = told(world, org, AuditAction.MAIN_KEY_MOVED)
    assert [(it.subject, it.from_state, it.to_state, it.kek_count, it.note, it.actor) for it in moves] == [
        (COMMON, State.ACTIVE, State.ROTATING, 1, None, admin.identity),
        (key.id, None, State.ACTIVE, 0, None, admin.identity),
        (COMMON, State.ROTATING, State.RETIRED, 0, None, "steward"),
        (key.id, State.ACTIVE, State.REVOKED, 1, "stolen laptop", admin.identity),
        (key.id, State.REVOKED, State.ACTIVE, 1, None, admin.identity),
    ]
    started, ended = told(world, org, AuditAction.ROTATION_STARTED, AuditAction.ROTATION_ENDED)
    assert (started.main_key, started.kek_count, started.to_state) == (COMMON, 1, "RUNNING")
    assert (ended.subject, ended.kek_count, ended.to_state) == (started.subject, 1, "DONE")
    (used_up,) = told(world, org, AuditAction.WRAPPING_KEY_ENDED)
    assert (used_up.from_state, used_up.to_state) == ("USABLE", "USED")
    (made,) = told(world, org, AuditAction.KEK_CREATED)
    assert (made.subject, made.main_key) == (kek.id, COMMON)


def test_a_change_that_cannot_be_recorded_is_not_made(world, org):
    key = world.bring(org)
    waiting = world.bring(org, activate_now=False)
    world.steward()
    admin, upload = world.admin(org), world.upload(org, os.urandom(32))
    before = world.keys(org), world.epoch(org), told(world, org), world.object_ids()
    deeds = {
        "revoke": lambda: world.do.main_key_moves.revoke(admin, MainKeyName(org, key.id)),
        "activate": lambda: world.do.main_key_moves.activate(admin, MainKeyName(org, waiting.id)),
        "delete": lambda: world.do.main_key_moves.delete(admin, MainKeyName(org, waiting.id)),
        "disable": lambda: world.do.byok.disable(admin, org),
        "make a KEK": lambda: world.new_kek(org),
        "bring": lambda: world.bring(org),
        "verify": lambda: world.do.verify_main_key_copy(admin, MainKeyName(org, key.id), upload),
    }
    with unwritable_log(world.storage):
        for deed in deeds.values():
            with pytest.raises(ConcurrentChangeError):
                deed()
        with pytest.raises(ConcurrentChangeError):
            world.new_organization()
    assert (world.keys(org), world.epoch(org), told(world, org), world.object_ids()) == before
    assert world.keks(org) == []
    for deed in ("verify", "make a KEK", "revoke"):
        deeds[deed]()


def test_what_is_done_with_content_keys_is_counted_by_kek_caller_and_outcome(world, org, kek):
    user = world.user(org)
    made = world.do.generate_content_keys(user, kek, count=3, size=32, context={})
    world.do.wrap_content_keys(user, kek, [(b"x", {}), (b"", {})])
    good = [(it.wrapped, {}) for it in made]
    world.do.unwrap_content_keys(user, org, [*good, (b"bad", {})])
    world.do.rewrap_content_keys(user, org, good[:1])
    world.do.unwrap_content_keys(user, org, good[:2])
    none_of_it = KekName(org, world.env.new_id())
    with pytest.raises(KeysteadError):
        world.do.wrap_content_keys(user, none_of_it, [(b"x", {})])
    who = user.identity
    assert sorted(uses(world, org), key=str) == sorted(
        [
            ("GenerateContentKeys", kek.id, None, 3, who),
            ("WrapContentKeys", kek.id, None, 1, who),
            ("WrapContentKeys", kek.id, "INVALID_FIELD", 1, who),
            ("UnwrapContentKeys", kek.id, None, 5, who),
            ("UnwrapContentKeys", None, "WRAPPED_KEY_REJECTED", 1, who),
            ("RewrapContentKeys", kek.id, None, 1, who),
            ("WrapContentKeys", None, "NOT_FOUND", 1, who),
        ],
        key=str,
    )
    # Nothing is written twice; the times are those of the uses.
    world.pass_time(timedelta(seconds=1))
    world.do.unwrap_content_keys(user, org, good)
    world.now += timedelta(milliseconds=100)
    world.do.unwrap_content_keys(user, org, good)
    world.pass_time(timedelta(seconds=5))
    last = told(world, org, USED)[-1]
    assert (last.count, last.time - last.since) == (6, timedelta(milliseconds=100))
    assert len(told(world, org, USED)) == 8
    world.do.records.write(is_last=True)
    with world.storage.read() as tx:
        assert tx.uses.of(org, world.now).last_day == 3 + 1 + 5 + 2 + 6


def test_a_locked_organisation_is_recorded_as_such(world, org, kek):
    key = world.bring(org)
    world.steward()
    world.do.main_key_moves.revoke(world.admin(org), MainKeyName(org, key.id))
    with pytest.raises(KeysteadError):
        world.do.generate_content_keys(world.user(org), kek, count=5, size=32, context={})
    assert uses(world, org)[-1][:4] == ("GenerateContentKeys", kek.id, "ORGANIZATION_LOCKED", 5)


def test_whoever_may_not_use_an_organisations_content_keys_is_in_its_log(world, org, kek):
    stranger = world.user(world.new_organization())
    for _ in range(2):
        with pytest.raises(ForbiddenError):
            world.do.wrap_content_keys(stranger, kek, [(b"x", {})])
    refused = told(world, org, REFUSED)
    assert [(it.actor, it.operation, it.reason, it.subject_name) for it in refused] == [
        (stranger.identity, "WrapContentKeys", "FORBIDDEN", str(kek))
    ] * 2
    assert uses(world, org) == []


def refuse(world, org, caller="spiffe://test/somebody", operation="GetMainKey", **more):
    world.do.records.refused(Refusal(org, caller, operation, "FORBIDDEN", **more))


def test_a_flood_of_refusals_is_counted_and_not_told_one_by_one(world, org):
    for number in range(1000):
        refuse(world, org, call_id=f"call-{number}")
    refuse(world, org, "spiffe://test/another")
    first = told(world, org, REFUSED)
    assert [it.count for it in first] == [1] * (OF_A_CALLER + 1)
    assert first[0].call_id == "call-0"
    world.pass_time(timedelta(seconds=59))
    refuse(world, org)
    assert told(world, org, REFUSED) == first
    world.pass_time(timedelta(seconds=1))
    refuse(world, org)
    (one_again, counted) = sorted(told(world, org, REFUSED)[len(first) :], key=lambda it: it.count)
    assert (one_again.count, one_again.time) == (1, world.now)
    assert (counted.count, counted.operation, counted.actor) == (991, "GetMainKey", "spiffe://test/somebody")
    assert counted.time - counted.since == timedelta(seconds=59)


def test_a_flood_by_many_callers_is_bounded_as_well(world, org):
    for number in range(500):
        refuse(world, org, f"spiffe://test/caller/{number}")
    world.do.records.write(is_last=True)
    *one_by_one, rest = told(world, org, REFUSED)
    assert len(one_by_one) == OF_ALL_CALLERS
    assert (rest.actor, rest.count) == ("*", 500 - OF_ALL_CALLERS)


def test_who_names_organisations_that_do_not_exist_writes_nothing_and_fills_nothing(world, org):
    for number in range(20_000):
        refuse(world, f"nobody-{number}")
    assert len(world.do.records._refusals._windows) <= 10_000
    world.do.records.write()
    world.pass_time(timedelta(seconds=61))
    refuse(world, org)
    assert [it.count for it in told(world, org, REFUSED)] == [1]
    with world.storage.read() as tx:
        assert tx.audit.size("nobody-1") == 0


def test_an_identity_that_no_database_takes_is_kept_as_far_as_it_can_be(world, org):
    refuse(world, org, "spiffe://\0\ud800" + "x" * 5000)
    (refused,) = told(world, org, REFUSED)
    assert refused.actor.startswith("spiffe://\ufffd\ufffdxxx")
    assert len(refused.actor) == 2048


# When records cannot be written.


def test_what_could_not_be_written_is_written_later(world, org, kek):
    user = world.user(org)
    with unwritable_log(world.storage):
        world.do.wrap_content_keys(user, kek, [(b"x", {})])
        refuse(world, org)
        with pytest.raises(KeysteadError):
            world.do.records.write()
        world.do.wrap_content_keys(user, kek, [(b"y", {})])
    assert uses(world, org) == [("WrapContentKeys", kek.id, None, 2, user.identity)]
    assert len(told(world, org, REFUSED)) == 1
    world.do.records.write(is_last=True)
    with world.storage.read() as tx:
        assert tx.uses.of(org, world.now).last_day == 2


def test_no_content_key_is_handed_out_when_records_wait_too_long(world, org, kek):
    user, patience = world.user(org), world.limits.unwritten_records
    other = world.new_organization()
    others = KekName(other, world.new_kek(other).id)
    with unwritable_log(world.storage):
        (made,) = world.do.generate_content_keys(user, kek, count=1, size=32, context={})
        with pytest.raises(KeysteadError):
            world.do.records.write()
        world.pass_time(patience)
        world.do.unwrap_content_keys(user, org, [(made.wrapped, {})])
        world.pass_time(timedelta(seconds=1))
        for deed in (
            lambda: world.do.generate_content_keys(user, kek, count=1, size=32, context={}),
            lambda: world.do.wrap_content_keys(user, kek, [(b"x", {})]),
            lambda: world.do.unwrap_content_keys(user, org, [(made.wrapped, {})]),
            lambda: world.do.rewrap_content_keys(user, org, [(made.wrapped, {})]),
        ):
            with pytest.raises(AuditUnavailableError):
                deed()
        # Nothing of another organisation waits yet, so it is not stopped with this one.
        world.do.wrap_content_keys(world.user(other), others, [(b"x", {})])
    # As soon as they can be written, everything works again.
    world.do.records.write()
    world.do.unwrap_content_keys(user, org, [(made.wrapped, {})])
    refused = {(operation, reason): count for operation, _, reason, count, _ in uses(world, org)}
    assert refused["RewrapContentKeys", "AUDIT_UNAVAILABLE"] == 1


def test_an_operator_may_have_content_keys_handed_out_unrecorded(world, org, kek, monkeypatch):
    monkeypatch.setattr(records, "RECORDS_LIMIT", 2)
    bold, user = later(world, serves_unrecorded=True), world.user(org)
    keks = [kek, *(KekName(org, world.new_kek(org).id) for _ in range(3))]
    with unwritable_log(world.storage):
        for each in keks:
            bold.do.wrap_content_keys(user, each, [(b"x", {})])
        bold.pass_time(timedelta(hours=1))
        bold.do.wrap_content_keys(user, kek, [(b"x", {})])
        assert len(bold.do.records._uses) == 2
        # By default that many are too many, however short they wait.
        world.do.wrap_content_keys(user, keks[0], [(b"x", {})])
        world.do.wrap_content_keys(user, keks[1], [(b"x", {})])
        with pytest.raises(AuditUnavailableError):
            world.do.wrap_content_keys(user, keks[2], [(b"x", {})])
    bold.do.records.write()
    assert [(it.subject, it.count) for it in log_of(world.storage, org, USED)] == [(kek.id, 2), (keks[1].id, 1)]
    (lost,) = log_of(world.storage, org, LOST)
    assert (lost.actor, lost.count) == ("*", 2)


def test_every_use_of_content_keys_is_one_that_is_recorded():
    recorded = {Operation.GENERATE_CONTENT_KEYS, Operation.WRAP_CONTENT_KEYS}
    recorded |= {Operation.UNWRAP_CONTENT_KEYS, Operation.REWRAP_CONTENT_KEYS, Operation.STREAM_CONTENT_KEYS}
    assert {it for it in Operation if it.value.endswith("ContentKeys")} == recorded
