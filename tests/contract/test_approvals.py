"""The contract of storage for rules of two persons and approvals: the same on every database."""

from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.approvals import Act, Approval, ApprovalRule, ExactAct, rule_of
from server.domain.errors import ConcurrentChangeError
from server.domain.ids import OrganizationId
from server.storage import SqlStorage, migrate
from tests.support.factories import ACME, NOW, main_key, new_id, put

HOUR = timedelta(hours=1)
EXACT = ExactAct(Act.REVOKE_MAIN_KEY, f"organizations/{ACME}/mainKeys/common", "0123456789abcdef")
OTHER = OrganizationId("other")


@pytest.fixture
def storage(database_url):
    migrate(database_url)
    with SqlStorage.open(database_url) as storage:
        put(storage, main_key())
        put(storage, main_key(org=OTHER))
        yield storage


def approval(exact: ExactAct = EXACT, organization=ACME, **more) -> Approval:
    parts = {"act": exact.act, "target": exact.target, "etag": exact.etag, "new_rule": exact.new_rule}
    times = {"create_time": NOW, "expire_time": NOW + HOUR}
    who = {"approver": "spiffe://test/bob", "hand": "oidc:https://issuer#bob"}
    return Approval(**{"organization": organization, "id": new_id(), **parts, **who, **times, **more})


def test_a_rule_is_off_until_it_is_kept_and_off_again_when_it_is_switched_off(storage):
    rule = ApprovalRule(ACME, 2, revoke_alone=True, change_time=NOW)
    for kept in (rule, replace(rule, required_approvals=1), ApprovalRule(ACME, change_time=NOW)):
        with storage.write() as tx:
            tx.approvals.set_rule(kept)
        with storage.read() as tx:
            assert tx.approvals.rule(ACME) == kept
            assert tx.approvals.rule(OTHER) == ApprovalRule(OTHER)
            assert rule_of(ACME, kept.words) == kept


def test_an_approval_is_found_for_its_very_act_and_its_time(storage):
    given = approval()
    with storage.write() as tx:
        tx.approvals.add(given)
    with storage.read() as tx:
        assert tx.approvals.find(ACME, given.id) == given
        assert tx.approvals.find(OTHER, given.id) is None
        assert tx.approvals.matching(ACME, EXACT, NOW) == [given]
        for other in (
            replace(EXACT, act=Act.DELETE_MAIN_KEY),
            replace(EXACT, target=f"organizations/{ACME}/mainKeys/{new_id()}"),
            replace(EXACT, etag="fedcba9876543210"),
            replace(EXACT, new_rule="OFF"),
        ):
            assert tx.approvals.matching(ACME, other, NOW) == []
        assert tx.approvals.matching(OTHER, EXACT, NOW) == []
        assert tx.approvals.matching(ACME, EXACT, NOW + HOUR) == []


def test_approvals_are_listed_newest_first_and_forgotten_when_they_are_over(storage):
    older, newer = approval(), approval(create_time=NOW + timedelta(minutes=1), expire_time=NOW + 2 * HOUR)
    with storage.write() as tx:
        for it in (older, newer, approval(organization=OTHER)):
            tx.approvals.add(it)
    with storage.read() as tx:
        assert tx.approvals.page(ACME, None, 10, NOW) == [newer, older]
        assert tx.approvals.page(ACME, newer.id, 10, NOW) == [older]
        assert tx.approvals.page(ACME, None, 10, NOW + HOUR) == [newer]
    with storage.write() as tx:
        assert tx.approvals.forget(NOW + HOUR, 10) == 2
        tx.approvals.remove(ACME, newer.id)
    with storage.read() as tx:
        assert tx.approvals.page(ACME, None, 10, NOW) == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda tx: tx.approvals.set_rule(ApprovalRule(ACME, 11, change_time=NOW)),
        lambda tx: tx.approvals.add(approval(expire_time=NOW)),
        lambda tx: tx.approvals.add(approval(new_rule="OFF")),
        lambda tx: tx.approvals.add(approval(replace(EXACT, act=Act.UPDATE_APPROVAL_RULE))),
    ],
)
def test_what_cannot_be_is_not_kept(storage, wrong):
    with pytest.raises(ConcurrentChangeError), storage.write() as tx:
        wrong(tx)
