"""States, rules and approvals that are edited by hand: the audit log tells others, and nothing is done by them.

Nor does it help to edit the log.
"""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from server.domain.approvals import Act, ApprovalRule, ExactAct
from server.domain.audit import AuditAction, AuditEvent
from server.domain.etags import etag_of_main_key
from server.domain.ids import ApprovalName, MainKeyName
from server.domain.main_keys import State
from server.domain.roles import Caller, Grant, Role
from server.use_cases import receipts
from tests.attacks.owners import Owner, refusal
from tests.support.pooled import PooledCustody

CUSTODY = PooledCustody
"""No wrapping key is attacked here."""


@pytest.fixture
def revoked(world, owner):
    world.do.main_key_moves.revoke(world.admin(owner.id), owner.main_key)
    assert owner.reason() == "ORGANIZATION_LOCKED"
    return owner


def tell_of_a_rule(world, organization, approvals: int) -> None:
    changed = AuditAction.APPROVAL_RULE_CHANGED
    with world.storage.write() as tx:
        tx.audit.append(AuditEvent(organization, world.now, "a test", changed, None, to_state=f"{approvals}_APPROVALS"))


def is_told(owner) -> bool:
    return owner.main_key in owner.world.reconcile().damaged


def test_a_key_that_is_made_active_by_hand_serves_nobody_until_its_row_is_as_the_log_tells(world, revoked, write):
    change = "UPDATE main_keys SET state = :state WHERE id = :id"
    write(change, state="ACTIVE", id=revoked.main_key.id)
    assert revoked.reason() == "STATE_DAMAGED"
    assert refusal(world.new_kek, revoked.id) == "STATE_DAMAGED"
    assert refusal(world.bring, revoked.id) == "STATE_DAMAGED"
    # Nor does a move make it good: it would begin with a state that never was.
    name = revoked.main_key
    assert refusal(world.do.main_key_moves.revoke, world.admin(revoked.id), name) == "STATE_DAMAGED"
    assert is_told(revoked)
    [told] = world.do.get_authority(world.user(revoked.id), [f"organizations/{revoked.id}"])
    assert told.reason == "STATE_DAMAGED"
    write(change, state="REVOKED", id=revoked.main_key.id)
    assert revoked.reason() == "ORGANIZATION_LOCKED"
    assert not is_told(revoked)
    world.do.main_key_moves.activate(world.admin(revoked.id), name)
    assert revoked.is_well()


def test_a_worker_that_runs_notices_what_is_edited_by_hand(world, revoked):
    with world.storage.connected(writes=True) as connection:
        change = sa.text("UPDATE main_keys SET state = 'ACTIVE' WHERE id = :id")
        connection.execute(change, {"id": revoked.main_key.id})
    assert revoked.reason() == "STATE_DAMAGED"


def test_a_revocation_does_not_end_because_a_row_says_when(world, revoked, write):
    write("UPDATE main_keys SET reactivate_time = 1 WHERE id = :id", id=revoked.main_key.id)
    other = Owner(world)  # The steward goes on for others.
    world.bring(other.id)
    world.steward()
    assert [it.state for it in world.keys(other.id).values()].count(State.RETIRED) == 2
    assert world.in_charge(revoked.id).state is State.REVOKED
    assert revoked.reason() == "STATE_DAMAGED"


@pytest.mark.parametrize("statement", [
    "UPDATE organizations SET main_key = 'common' WHERE id = :org",
    "UPDATE main_keys SET state = 'ROTATING' WHERE organization = :org AND id <> 'common'; "
    "UPDATE main_keys SET state = 'ACTIVE' WHERE organization = :org AND id = 'common'; "
    "UPDATE organizations SET main_key = 'common' WHERE id = :org",
], ids=["in charge", "in charge and ACTIVE"])  # fmt: skip
def test_the_common_key_does_not_take_over_because_a_row_says_so(world, revoked, write, statement):
    for part in statement.split("; "):
        write(part, org=revoked.id)
    assert revoked.reason() == "STATE_DAMAGED"


@pytest.mark.parametrize("state", [State.DELETED, State.RETIRED])
def test_no_key_is_destroyed_because_a_row_says_that_it_is_due(world, owner, write, state):
    key = world.in_charge(owner.id)
    admin, name = world.admin(owner.id), MainKeyName(owner.id, key.id)
    if state is State.DELETED:
        world.do.main_key_moves.revoke(admin, name)
        world.do.main_key_moves.delete(admin, name)
    else:
        world.bring(owner.id)
    world.steward()
    write("UPDATE main_keys SET purge_time = 1 WHERE organization = :org AND id = :id", org=owner.id, id=key.id)
    world.steward()
    assert world.key(owner.id, key.id).state is state
    assert key.object_id in world.object_ids()
    assert name in world.reconcile().damaged


def test_a_deletion_is_not_undone_into_another_state_than_it_came_from(world, revoked, write):
    name = revoked.main_key
    world.do.main_key_moves.delete(world.admin(revoked.id), name)
    write("UPDATE main_keys SET prior_state = 'PENDING' WHERE id = :id", id=name.id)
    assert refusal(world.do.main_key_moves.undelete, world.admin(revoked.id), name) == "STATE_DAMAGED"


@pytest.fixture
def guarded(world, owner):
    world.do.approvals.update_rule(world.admin(owner.id), ApprovalRule(owner.id, 1))
    return owner


def test_a_rule_of_two_persons_is_not_switched_off_by_hand(world, guarded, write):
    revoke = world.do.main_key_moves.revoke
    arguments = world.admin(guarded.id), guarded.main_key
    assert refusal(revoke, *arguments) == "APPROVAL_REQUIRED"
    write("DELETE FROM approval_rules WHERE organization = :org", org=guarded.id)
    assert refusal(revoke, *arguments) == "STATE_DAMAGED"
    assert guarded.is_well()


def test_an_approval_that_nobody_gave_is_none(world, guarded, write):
    key = world.in_charge(guarded.id)
    name = MainKeyName(guarded.id, key.id)
    second = Caller("spiffe://test/second", (Grant(Role.ADMINISTRATOR, frozenset({guarded.id})),))
    exact = ExactAct(Act.REVOKE_MAIN_KEY, str(name), etag_of_main_key(key))
    given = world.do.approvals.approve(second, guarded.id, exact)
    world.do.approvals.withdraw(second, ApprovalName(guarded.id, given.id))
    with world.storage.write() as tx:
        tx.approvals.add(given)
    assert refusal(world.do.main_key_moves.revoke, world.admin(guarded.id), name) == "STATE_DAMAGED"
    assert guarded.is_well()


@pytest.fixture
def unguarded(world):
    """What keeps the log is gone, for who owns the database."""
    with world.storage.connected(writes=True) as connection:
        triggers = connection.execute(
            sa.text(
                "SELECT name, sql FROM sqlite_master"
                " WHERE type = 'trigger' AND tbl_name IN ('audit_events', 'audit_receipts')"
            )
        ).all()
        for name, _ in triggers:
            connection.execute(sa.text(f"DROP TRIGGER {name}"))
    yield
    with world.storage.connected(writes=True) as connection:
        for _, statement in triggers:
            connection.execute(sa.text(statement))


@pytest.mark.parametrize(
    "edits",
    [
        ["UPDATE audit_events SET actor = 'somebody else' WHERE organization = :org AND action = 'MAIN_KEY_MOVED'"],
        ["UPDATE audit_events SET to_state = 'ACTIVE' WHERE organization = :org AND to_state = 'REVOKED'"],
        [
            "DELETE FROM audit_receipts WHERE organization = :org",
            "DELETE FROM audit_events WHERE organization = :org AND to_state = 'REVOKED'",
            "UPDATE audit_logs SET size = size - 1 WHERE organization = :org",
        ],
    ],
    ids=["another actor", "another state", "the last event is gone"],
)
def test_a_log_that_contradicts_what_was_signed_is_not_signed_again(world, owner, write, unguarded, edits):
    owner.is_well()
    world.pass_time(timedelta(hours=1))
    world.do.main_key_moves.revoke(world.admin(owner.id), owner.main_key)
    world.steward()
    last = world.do.read_audit.checkpoint(world.admin(owner.id), owner.id).checkpoint
    for edit in edits:
        write(edit, org=owner.id)
    for approvals in (1, 2, 3):
        # It does not become good by growing.
        tell_of_a_rule(world, owner.id, approvals)
    world.pass_time(timedelta(hours=1))
    world.steward()
    assert refusal(world.do.read_audit.checkpoint, world.admin(owner.id), owner.id) == "STATE_DAMAGED"
    with world.storage.read() as tx:
        assert tx.audit.newest_checkpoint(owner.id) == last


def test_a_log_that_is_cut_off_is_noticed(world, owner, write, unguarded, caplog):
    world.pass_time(timedelta(hours=1))
    world.steward()
    write("DELETE FROM audit_receipts WHERE organization = :org", org=owner.id)
    write("DELETE FROM audit_events WHERE organization = :org AND sequence > 2", org=owner.id)
    write("UPDATE audit_logs SET size = 2 WHERE organization = :org", org=owner.id)
    world.pass_time(timedelta(hours=1))
    caplog.clear()
    world.steward()
    assert any(f"the audit log of organizations/{owner.id}" in getattr(it, "text", "") for it in caplog.records)


def test_the_receipts_of_others_do_not_wait_for_those_of_a_log_that_is_damaged(
    world, owner, write, unguarded, monkeypatch
):
    monkeypatch.setattr(receipts, "_AT_ONCE", 2)
    # In the order in which receipts are signed.
    damaged, other = sorted((owner.id, world.new_organization()))
    world.bring(other)
    world.pass_time(timedelta(hours=1))
    world.steward()
    for organization in (damaged, other):
        for _ in range(3):
            world.bring(organization)
    write("UPDATE audit_events SET actor = 'somebody else' WHERE organization = :org AND sequence = 1", org=damaged)
    world.pass_time(timedelta(hours=1))
    world.steward()
    with world.storage.read() as tx:
        waiting = tx.audit.pending_receipts(None, 100)
    assert {organization for organization, _ in waiting} == {damaged}
    assert len(waiting) > 2
