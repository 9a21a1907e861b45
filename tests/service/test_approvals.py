"""The rule of two persons at a running service: what needs others' approval, and what an approval is good for."""

import json
import uuid

import pytest
from google.protobuf.duration_pb2 import Duration
from keystead.v1 import approval_service_pb2 as messages
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1.resources_pb2 import Approval, ApprovalRule, MainKey

from tests.support.rows import rows_of
from tests.support.service import refused
from tests.support.strangers import grant, stranger

pytestmark = pytest.mark.slow


class Company:
    """An organisation with several administrators, one of whom has two identities."""

    def __init__(self, service) -> None:
        self.service, self.org = service, service.new_organization()
        self.key = self.org.bring()
        self.rule_name = f"{self.org.name}/approvalRule"
        self.alice, self.bob, self.carol = (self._administrator(name) for name in ("alice", "bob", "carol"))
        self.alice_again = self._administrator("alice2", person=self._uri("alice"))

    def forget(self) -> None:
        """Have neither rule nor approvals, and an ACTIVE key, whatever was before."""
        with rows_of(f"sqlite:///{self.service.folder}/keystead.db") as rows:
            rows.change_all("DELETE FROM approval_rules WHERE organization = :org", org=self.org.id)
            rows.change_all("DELETE FROM approvals WHERE organization = :org", org=self.org.id)
            # The log has to tell the same.
            rows.change_all("UPDATE audit_logs SET size = size + 1 WHERE organization = :org", org=self.org.id)
            rows.change_all(
                "INSERT INTO audit_events (organization, sequence, time, actor, action, to_state)"
                " SELECT :org, size, 0, 'a test', 'APPROVAL_RULE_CHANGED', 'OFF' FROM audit_logs"
                " WHERE organization = :org",
                org=self.org.id,
            )
        if self.now().state == MainKey.DELETED:
            self.org.admin.main_keys.UndeleteMainKey(main_keys.UndeleteMainKeyRequest(name=self.key.name))
        if self.now().state == MainKey.REVOKED:
            self.org.activate(self.key.name)

    def _uri(self, name: str) -> str:
        return f"spiffe://keystead.dev/{self.org.id}/{name}"

    def _administrator(self, name: str, **more: str):
        grant(self.service, self._uri(name), "administrator", self.org.id, **more)
        return stranger(self.service, self._uri(name))

    def switch(self, client, approvals: int, **more):
        asked = {"name": self.rule_name, "enabled": approvals > 0, "required_approvals": approvals, **more}
        return client.approvals.UpdateApprovalRule(messages.UpdateApprovalRuleRequest(**asked))

    def rule(self):
        return self.alice.approvals.GetApprovalRule(messages.GetApprovalRuleRequest(name=self.rule_name))

    def now(self) -> MainKey:
        return self.org.main_key(self.key.name)

    def approve(self, client, action, target: str, etag: str, **more) -> Approval:
        asked = {"parent": self.org.name, "action": action, "target": target, "etag": etag, **more}
        return client.approvals.ApproveChange(messages.ApproveChangeRequest(**asked))

    def approve_revocation(self, client, **more) -> Approval:
        return self.approve(client, Approval.REVOKE_MAIN_KEY, self.key.name, self.now().etag, **more)

    def revoke(self, client, **more) -> MainKey:
        return client.main_keys.RevokeMainKey(main_keys.RevokeMainKeyRequest(name=self.key.name, **more)).main_key

    def approvals(self) -> list[Approval]:
        return list(self.alice.approvals.ListApprovals(messages.ListApprovalsRequest(parent=self.org.name)).approvals)


@pytest.fixture(scope="module")
def founded(service):
    return Company(service)


@pytest.fixture
def company(founded):
    """A company without a rule, whose key is ACTIVE."""
    founded.forget()
    return founded


def required():
    return refused("FAILED_PRECONDITION", "APPROVAL_REQUIRED")


def test_the_rule_is_off_until_it_is_set_and_cannot_be_on_without_approvals(company):
    assert not company.rule().enabled
    assert company.revoke(company.alice).state == MainKey.REVOKED
    for wrong in ({"required_approvals": 0}, {"required_approvals": 11}, {"required_approvals": -1}):
        with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
            company.switch(company.alice, 1, **wrong)
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        company.switch(company.alice, 0, required_approvals=1)
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        company.switch(company.alice, 0, revoke_alone=True)
    assert company.switch(company.alice, 1).required_approvals == 1
    assert company.rule().enabled


def test_an_act_needs_another_hand_and_uses_its_approval_up(company):
    company.switch(company.alice, 1)
    with required() as told:
        company.revoke(company.alice)
    etag = company.now().etag
    expected = {"action": "REVOKE_MAIN_KEY", "target": company.key.name, "etag": etag, "missing": "1"}
    assert told[0].metadata == expected
    company.approve_revocation(company.alice)
    company.approve_revocation(company.alice_again)  # The policy says that it is alice's as well.
    with required():
        company.revoke(company.alice)
    with required():
        company.revoke(company.alice_again)
    given = company.approve_revocation(company.bob)
    assert given.approver.endswith("/bob")
    assert (given.expire_time.seconds - given.create_time.seconds) == 3600
    assert company.now().state == MainKey.ACTIVE
    assert company.revoke(company.alice).state == MainKey.REVOKED


def test_an_approval_is_for_its_act_alone_and_for_once(company):
    company.switch(company.alice, 1)
    company.approve_revocation(company.bob)
    request_id = str(uuid.uuid4())
    assert company.revoke(company.alice, request_id=request_id).state == MainKey.REVOKED
    assert company.revoke(company.alice, request_id=request_id).state == MainKey.REVOKED, "a repeat is told again"
    assert company.approvals() == []
    with required():  # It was for the revocation.
        company.alice.main_keys.DeleteMainKey(main_keys.DeleteMainKeyRequest(name=company.key.name))
    company.org.activate(company.key.name)  # This needs nobody else.
    with required():
        company.revoke(company.alice)


def test_an_approval_of_what_has_changed_since_is_for_nothing(company):
    company.switch(company.alice, 1, revoke_alone=True)
    before = company.now().etag
    company.approve(company.bob, Approval.DELETE_MAIN_KEY, company.key.name, before)
    company.revoke(company.alice)  # The rule leaves it to one.
    with required():
        company.alice.main_keys.DeleteMainKey(main_keys.DeleteMainKeyRequest(name=company.key.name))
    with refused("ABORTED", "STALE_ETAG"):
        company.approve(company.bob, Approval.DELETE_MAIN_KEY, company.key.name, before)
    company.approve(company.bob, Approval.DELETE_MAIN_KEY, company.key.name, company.now().etag)
    deleted = company.alice.main_keys.DeleteMainKey(main_keys.DeleteMainKeyRequest(name=company.key.name))
    assert deleted.state == MainKey.DELETED


def test_as_many_hands_as_the_rule_says_are_needed(company):
    company.switch(company.alice, 2)
    company.approve_revocation(company.bob)
    again = company.approve_revocation(company.bob)
    assert company.approvals() == [again], "of one hand one approval counts"
    with required() as told:
        company.revoke(company.alice)
    assert told[0].metadata["missing"] == "1"
    company.approve_revocation(company.carol)
    assert company.revoke(company.alice).state == MainKey.REVOKED


def test_an_approval_can_be_taken_back_and_runs_out(company):
    company.switch(company.alice, 1)
    given = company.approve_revocation(company.bob)
    assert company.approvals() == [given]
    withdrawal = messages.WithdrawApprovalRequest(name=given.name)
    assert company.carol.approvals.WithdrawApproval(withdrawal) == given
    with refused("NOT_FOUND", "NOT_FOUND"):
        company.carol.approvals.WithdrawApproval(withdrawal)
    with required():
        company.revoke(company.alice)
    company.approve_revocation(company.bob)
    with rows_of(f"sqlite:///{company.service.folder}/keystead.db") as rows:
        rows.change(
            "UPDATE approvals SET create_time = 0, expire_time = 1 WHERE organization = :org", org=company.org.id
        )
    assert company.approvals() == []
    with required():
        company.revoke(company.alice)


def test_the_rule_itself_is_changed_by_two_and_into_what_both_want(company):
    company.switch(company.alice, 2)
    with required():
        company.switch(company.alice, 0)
    etag = company.rule().etag
    for client in (company.bob, company.carol):
        company.approve(
            client,
            Approval.UPDATE_APPROVAL_RULE,
            company.rule_name,
            etag,
            new_rule=ApprovalRule.Terms(enabled=True, required_approvals=1),
        )
    with required():
        company.switch(company.alice, 0)
    with required():
        company.switch(company.alice, 1, revoke_alone=True)
    assert company.switch(company.alice, 1).required_approvals == 1
    assert company.switch(company.alice, 1).required_approvals == 1, "what is so already needs nobody"
    company.approve(
        company.bob,
        Approval.UPDATE_APPROVAL_RULE,
        company.rule_name,
        company.rule().etag,
        new_rule=ApprovalRule.Terms(),
    )
    assert not company.switch(company.alice, 0).enabled
    assert company.revoke(company.alice).state == MainKey.REVOKED


@pytest.mark.parametrize(
    ("wrong", "code", "reason"),
    [
        ({"action": 0}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"action": 99}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"etag": ""}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"etag": "0" * 16}, "ABORTED", "STALE_ETAG"),
        ({"target": "nothing"}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"target": "organizations/another/mainKeys/common"}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"target": f"mainKeys/{'0' * 32}"}, "NOT_FOUND", "NOT_FOUND"),
        ({"action": Approval.DISABLE_BYOK}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"action": Approval.UPDATE_APPROVAL_RULE}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"new_rule": ApprovalRule.Terms()}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"new_rule": ApprovalRule.Terms(enabled=True)}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"lifetime": Duration(seconds=59)}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"lifetime": Duration(seconds=86401)}, "INVALID_ARGUMENT", "INVALID_FIELD"),
        ({"lifetime": Duration(seconds=1 << 60)}, "INVALID_ARGUMENT", "INVALID_FIELD"),
    ],
)
def test_what_cannot_be_approved_is_refused(org, wrong, code, reason):
    common = org.main_key(f"{org.name}/mainKeys/common")
    good = {"action": Approval.REVOKE_MAIN_KEY, "target": common.name, "etag": common.etag}
    if wrong.get("target", "").startswith("mainKeys/"):
        wrong = {"target": f"{org.name}/{wrong['target']}"}
    with refused(code, reason):
        org.admin.approvals.ApproveChange(messages.ApproveChangeRequest(parent=org.name, **{**good, **wrong}))


def test_approvals_are_listed_page_by_page_newest_first(company):
    given = [company.approve_revocation(it).name for it in (company.alice, company.bob, company.carol)]
    listed, token = [], ""
    for _ in range(2):
        request = messages.ListApprovalsRequest(parent=company.org.name, page_size=2, page_token=token)
        page = company.carol.approvals.ListApprovals(request)
        listed += [it.name for it in page.approvals]
        token = page.next_page_token
    assert (listed, token) == (given[::-1], "")


def test_the_command_line_says_what_the_other_has_to_type(company):
    service, org = company.service, company.org.id
    one, other = f"admin:{org}", f"service:{org}"
    grant(service, f"spiffe://keystead.dev/service/{org}", "administrator", org)

    def said(who: str, *words: str, status: int = 0):
        done = service.cli(who, *words, check=False)
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    assert "enabled             yes" in said(one, "approvals", "set-rule", org, "1")
    key = company.key.name.rpartition("/")[2]
    advice = "another administrator can: keystead "

    def typed(told: str, **filled: str) -> list[str]:
        line = told[told.index(advice) + len(advice) :].partition(";")[0]
        return [filled.get(word, word) for word in line.split()]

    told = said(one, "main-keys", "revoke", org, key, "--yes", status=1)
    said(other, *typed(told))
    assert f"{company.org.name}/mainKeys/{key}" in said(one, "approvals", "list", org)
    assert "REVOKED" in said(one, "main-keys", "revoke", org, key, "--yes")
    company.org.activate(company.key.name)
    told = said(one, "organizations", "disable-byok", org, "--yes", status=1)
    given = said(other, *typed(told), "--json")
    said(one, "approvals", "withdraw", org, json.loads(given)["name"])
    assert said(one, "approvals", "list", org) == "No approvals.\n"
    told = said(one, "approvals", "end-rule", org, status=1)
    said(other, *typed(told, REQUIRED="0"))
    said(one, "approvals", "end-rule", org)
    assert "enabled             no" in said(one, "approvals", "rule", org)
    assert "name none" in said(one, "approvals", "give", org, "disable-byok", key, "--etag", "x", status=2)


def test_byok_is_disabled_by_two(company):
    company.switch(company.alice, 1)
    request = organizations.DisableByokRequest(name=company.org.name)
    with required():
        company.alice.organizations.DisableByok(request)
    seen = company.bob.organizations.GetOrganization(organizations.GetOrganizationRequest(name=company.org.name))
    company.approve(company.bob, Approval.DISABLE_BYOK, company.org.name, seen.etag)
    assert not company.alice.organizations.DisableByok(request).byok_enabled
