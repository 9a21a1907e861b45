"""Whether organisations may work, as services are told: for how long, and at once when it changes."""

import threading
from contextlib import suppress

import grpc
import pytest
from keystead.v1.authority_service_pb2 import GetAuthorityRequest, WatchOrganizationRequest
from keystead.v1.main_key_service_pb2 import ActivateMainKeyRequest, RevokeMainKeyRequest
from keystead.v1.resources_pb2 import MainKey

from tests.support.service import eventually, refusal_told, refused
from tests.support.strangers import grant, stranger, withdraw

pytestmark = pytest.mark.slow


def told(org, client=None):
    (result,) = (client or org.user).authority.GetAuthority(GetAuthorityRequest(organizations=[org.name])).results
    return result


@pytest.fixture
def active(org):
    return org.bring().name


def test_a_service_is_told_that_its_organisation_works_and_for_how_long(org, active):
    result = told(org)
    assert not result.HasField("status")
    it = result.authority
    assert (it.organization, it.main_key, it.state) == (org.name, active, MainKey.ACTIVE)
    assert it.epoch == 2
    assert 2.5 <= it.lease.ToTimedelta().total_seconds() <= 5


def test_a_change_is_told_with_another_epoch(org, active):
    before = told(org).authority.epoch
    org.admin.main_keys.RevokeMainKey(RevokeMainKeyRequest(name=active))
    revoked = told(org).authority
    assert (revoked.state, revoked.epoch) == (MainKey.REVOKED, before + 1)
    org.admin.main_keys.ActivateMainKey(ActivateMainKeyRequest(name=active))
    eventually(lambda: told(org).authority.state == MainKey.ACTIVE, "it is told that it is active again")


def test_each_organisation_has_its_own_answer_in_order(service, org):
    other = service.new_organization()
    names = [org.name, other.name, "organizations/nobody", "no name", org.name]
    answer = org.user.authority.GetAuthority(GetAuthorityRequest(organizations=names))
    refusals = [refusal_told(it.status) if it.HasField("status") else None for it in answer.results]
    assert [it and it.reason for it in refusals] == [None, "FORBIDDEN", "FORBIDDEN", "MALFORMED_NAME", None]
    # What is somebody else's, and what does not exist, look the same.
    assert refusals[1] == refusals[2]
    assert [it.authority.organization for it in answer.results] == [org.name, "", "", "", org.name]


@pytest.mark.parametrize("count", [0, 1001])
def test_the_number_of_organisations_is_limited(org, count):
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        org.user.authority.GetAuthority(GetAuthorityRequest(organizations=[org.name] * count))


def test_who_watches_is_told_at_once_and_is_given_no_lease(org, active):
    seen: list[tuple[int, int]] = []
    first, revoked = threading.Event(), threading.Event()
    stream = org.user.authority.WatchOrganization(WatchOrganizationRequest(name=org.name))

    def watch():
        with suppress(grpc.RpcError):  # It is cancelled in the end.
            for it in stream:
                seen.append((it.organization, it.main_key, it.epoch, it.state, it.HasField("lease")))
                first.set()
                if it.state == MainKey.REVOKED:
                    revoked.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert first.wait(10)
    org.admin.main_keys.RevokeMainKey(RevokeMainKeyRequest(name=active))
    # The answer of the revocation comes when every process should have heard of it.
    assert revoked.wait(1)
    stream.cancel()
    watcher.join(10)
    named = org.name, active
    assert sorted(set(seen)) == [(*named, 2, MainKey.ACTIVE, False), (*named, 3, MainKey.REVOKED, False)]


def test_a_watcher_is_told_again_each_second_though_nothing_changes(org, active):
    stream = org.user.authority.WatchOrganization(WatchOrganizationRequest(name=org.name), timeout=20)
    three = [next(stream) for _ in range(3)]
    stream.cancel()
    assert three[0] == three[1] == three[2]


def test_a_watcher_whose_grant_is_withdrawn_is_told_nothing_more(service, org):
    uri = f"spiffe://keystead.dev/watcher/{org.id}"
    grant(service, uri, "service", org.id)
    stream = stranger(service, uri).authority.WatchOrganization(WatchOrganizationRequest(name=org.name), timeout=20)
    assert next(stream).organization == org.name
    withdraw(service, uri)
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        list(stream)
