"""The life of a main key over gRPC: what each move means for content keys in every worker, and how it is undone."""

import os
from datetime import timedelta

import grpc
import pytest
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1.resources_pb2 import MainKey

from tests.support.crypto import encrypt, fingerprint
from tests.support.everywhere import clients_of_every_worker
from tests.support.inventory import inventory
from tests.support.service import Client, Organization, eventually, refusal_of, refused, running

pytestmark = pytest.mark.slow


class Content:
    """A content key that was made before whatever happens."""

    def __init__(self, org: Organization) -> None:
        self.org = org
        self.kek = org.new_kek().name
        (self.key,) = org.generate(self.kek, document="report")

    def calls(self, client: Client):
        """Everything that a service can do with content keys, one call each."""
        c, do, context = content_keys, client.content_keys, {"document": "report"}
        item = c.UnwrapContentKeysItem(wrapped=self.key.wrapped, context=context)
        yield lambda: do.UnwrapContentKeys(c.UnwrapContentKeysRequest(parent=self.org.name, items=[item]), timeout=20)
        yield lambda: do.GenerateContentKeys(c.GenerateContentKeysRequest(kek=self.kek, count=1), timeout=20)
        brought = c.WrapContentKeysItem(plaintext=b"x")
        yield lambda: do.WrapContentKeys(c.WrapContentKeysRequest(kek=self.kek, items=[brought]), timeout=20)
        yield lambda: do.CreateKek(c.CreateKekRequest(parent=self.org.name), timeout=20)

    def works(self, client: Client | None = None) -> bool:
        """Whether all of it works; that only some of it does is never right."""
        outcomes = [self._outcome(call) for call in self.calls(client or self.org.user)]
        assert outcomes in ([True] * 4, [False] * 4)
        return outcomes[0]

    def _outcome(self, call) -> bool:
        try:
            answer = call()
        except grpc.RpcError as error:
            refusal = refusal_of(error)
            assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", "ORGANIZATION_LOCKED"), refusal
            return False
        if isinstance(answer, content_keys.UnwrapContentKeysResponse):
            assert answer.results[0].plaintext == self.key.plaintext
        return True


@pytest.fixture
def content(org):
    return Content(org)


@pytest.fixture
def active(org, content):
    key = org.bring()
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
    return key.name


@pytest.fixture(scope="module")
def calm(service):
    """An organisation of which nothing is changed."""
    org = service.new_organization("calm")
    return org, Content(org), org.bring().name


def revoke(org: Organization, name: str, **more) -> MainKey:
    return org.admin.main_keys.RevokeMainKey(main_keys.RevokeMainKeyRequest(name=name, **more)).main_key


def delete(org: Organization, name: str) -> MainKey:
    return org.admin.main_keys.DeleteMainKey(main_keys.DeleteMainKeyRequest(name=name))


def undelete(org: Organization, name: str) -> MainKey:
    return org.admin.main_keys.UndeleteMainKey(main_keys.UndeleteMainKeyRequest(name=name))


def disable_byok(org: Organization):
    return org.admin.organizations.DisableByok(organizations.DisableByokRequest(name=org.name))


def organization(org: Organization):
    return org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name))


def test_from_the_answer_of_a_revocation_on_no_worker_does_anything(service, org, content, active):
    with clients_of_every_worker(service, f"service:{org.id}") as clients:
        assert len(clients) == 2
        # All have the KEK in use: it is in the memory of each.
        assert all(content.works(client) for client in clients.values())
        answer = org.admin.main_keys.RevokeMainKey(main_keys.RevokeMainKeyRequest(name=active, reason="a drill"))
        assert not any(content.works(client) for client in clients.values())
        key = answer.main_key
        assert key.revocation.revoke_time == key.state_time
        bound = answer.effective_time.ToDatetime() - key.state_time.ToDatetime()
        assert timedelta(0) <= bound <= timedelta(seconds=5)
        assert (key.state, key.revocation.cause) == (MainKey.REVOKED, MainKey.Revocation.LOCAL)
        assert (key.revocation.reason, list(key.next_moves)) == ("a drill", [MainKey.ACTIVATE, MainKey.DELETE])
        assert organization(org).main_key_state == MainKey.REVOKED
        back = org.activate(active)
        assert all(content.works(client) for client in clients.values())
        assert (back.state, back.HasField("revocation")) == (MainKey.ACTIVE, False)


def test_a_refused_call_names_the_key_that_an_administrator_must_act_on(org, content, active):
    revoke(org, active)
    for call in content.calls(org.user):
        with refused("FAILED_PRECONDITION", "ORGANIZATION_LOCKED") as refusal:
            call()
        assert refusal[0].metadata == {"main_key": active, "state": "REVOKED"}


def test_a_deletion_is_undone_to_where_it_came_from(org, content, active):
    pending = org.bring(activation=main_keys.LATER).name
    revoke(org, active)
    deleted = delete(org, active)
    assert (deleted.state, list(deleted.next_moves)) == (MainKey.DELETED, [MainKey.UNDELETE])
    assert (deleted.purge_time.ToSeconds() - deleted.state_time.ToSeconds()) == 30 * 24 * 3600
    assert not content.works()
    assert undelete(org, active).state == MainKey.REVOKED
    assert not content.works()
    org.activate(active)
    assert content.works()
    # A key that waits protects nothing, and comes back to waiting.
    assert delete(org, pending).state == MainKey.DELETED
    assert content.works()
    assert undelete(org, pending).state == MainKey.PENDING
    assert content.works()


def test_while_a_key_is_revoked_no_other_takes_its_place(org, content, active):
    pending = org.bring(activation=main_keys.LATER).name
    revoke(org, active)
    wrapping_key = org.wrapping_key()
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), os.urandom(32))
    for attempt in (
        lambda: org.activate(pending),
        lambda: org.upload(encrypted, wrapping_key.name, main_keys.NOW),
        lambda: disable_byok(org),
    ):
        with refused("FAILED_PRECONDITION", "ORGANIZATION_LOCKED") as refusal:
            attempt()
        assert refusal[0].metadata == {"main_key": active, "state": "REVOKED"}
    # The upload was no failure of the wrapping key.
    org.activate(active)
    assert org.upload(encrypted, wrapping_key.name, main_keys.NOW).main_key.state == MainKey.ACTIVE
    assert content.works()


def test_disabling_byok_moves_every_kek_to_the_common_key_while_content_works(org, content, active):
    common = f"{org.name}/mainKeys/common"
    assert organization(org).byok_enabled
    after = disable_byok(org)
    assert (after.byok_enabled, after.main_key, after.main_key_state) == (False, common, MainKey.ACTIVE)
    assert content.works()
    org.await_state(active, "RETIRED")
    assert org.main_key(common).kek_count == organization(org).kek_count
    assert content.works()
    assert not after.HasField("rotation_due_time")
    assert disable_byok(org).etag == organization(org).etag == after.etag
    enabled = org.admin.organizations.EnableByok(organizations.EnableByokRequest(name=org.name))
    assert (enabled.byok_enabled, enabled.main_key) == (True, common)


# What comes by itself.


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A service where a deletion can be undone for a second only."""
    with running(tmp_path_factory.mktemp("quick"), LIFE__DELETED_LIFETIME="PT1S") as service:
        yield service


def test_only_the_same_key_brings_an_organisation_back_whose_key_was_removed(quick):
    org, value = quick.new_organization(), os.urandom(32)
    content = Content(org)
    lost = org.bring(value)
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
    object_id = lost.name.rpartition("/")[2]
    assert object_id in inventory(quick.folder / "token")
    revoke(org, lost.name)
    delete(org, lost.name)
    org.await_state(lost.name, "REMOVED")
    eventually(lambda: object_id not in inventory(quick.folder / "token"), "the object is destroyed")
    assert not content.works()
    assert list(org.main_key(lost.name).next_moves) == [MainKey.RECOVER]
    with refused("FAILED_PRECONDITION", "ILLEGAL_TRANSITION"):
        undelete(org, lost.name)

    before = inventory(quick.folder / "token")
    with refused("FAILED_PRECONDITION", "RECOVERY_KEY_REQUIRED") as refusal:
        org.bring(os.urandom(32))
    assert refusal[0].metadata == {"main_key": lost.name, "fingerprint": fingerprint(value).hex()}
    assert fingerprint(value).hex() in refusal[0].message
    wrapping_keys = {it for it, label in inventory(quick.folder / "token").items() if "wrapping" in label}
    assert inventory(quick.folder / "token").keys() - wrapping_keys == before.keys() - wrapping_keys
    assert not content.works()

    # LATER is not for a key that is needed now.
    back = org.bring(value, activation=main_keys.LATER)
    assert (back.name, back.state, back.fingerprint) == (lost.name, MainKey.ACTIVE, lost.fingerprint)
    assert content.works()
    assert organization(org).main_key == lost.name
    assert org.main_key(lost.name).kek_count == organization(org).kek_count


def test_a_key_that_waited_is_removed_without_harm(quick):
    org = quick.new_organization()
    content = Content(org)
    pending = org.bring(activation=main_keys.LATER).name
    delete(org, pending)
    org.await_state(pending, "REMOVED")
    assert content.works()
    assert pending not in {key.name for key in org.main_keys(show_removed=False)}


@pytest.mark.parametrize(
    "span",
    [
        {"seconds": 59, "nanos": 999_000_000},
        {"seconds": 86400, "nanos": 1_000_000},
        {},
        {"seconds": -60},
        {"seconds": 2**62},
    ],
)
def test_a_revocation_for_a_time_is_for_a_minute_to_a_day(calm, span):
    org, content, active = calm
    request = main_keys.RevokeMainKeyRequest(name=active, reactivate_after=span)
    request.reactivate_after.SetInParent()
    with refused("INVALID_ARGUMENT", "INVALID_FIELD") as refusal:
        org.admin.main_keys.RevokeMainKey(request)
    assert refusal[0].metadata == {"field": "reactivate_after"}
    assert content.works()


@pytest.mark.parametrize("seconds", [60, 86400])
def test_the_end_of_a_timed_revocation_is_shown(org, active, seconds):
    key = revoke(org, active, reactivate_after={"seconds": seconds})
    assert key.revocation.reactivate_time.ToSeconds() - key.revocation.revoke_time.ToSeconds() == seconds


# Looking before.


def test_a_preview_tells_what_would_stop_and_stops_nothing(org, content, active):
    org.generate(content.kek, 40)

    def preview(change):
        request = main_keys.PreviewChangeRequest(name=active, change=change)
        return org.admin.main_keys.PreviewChange(request)

    eventually(lambda: preview(main_keys.REVOKE).content_keys_last_day >= 41, "the use is written down")
    told = preview(main_keys.REVOKE)
    assert (told.kek_count, told.stops_content_keys, told.obstacle) == (1, True, "")
    assert told.content_keys_last_day == told.content_keys_last_30_days
    assert told.HasField("last_use_time")
    assert told.effects
    assert "cannot do DELETE" in preview(main_keys.DELETE).obstacle
    assert not preview(main_keys.DISABLE_BYOK).stops_content_keys
    assert content.works()
    revoke(org, active)
    assert preview(main_keys.DELETE).obstacle == ""
    assert "locked" in preview(main_keys.DISABLE_BYOK).obstacle
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        preview(0)
