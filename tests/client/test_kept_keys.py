"""Content keys that the client keeps: they need no call, and revocations and outages take them away in time."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from keystead.client import CacheLimits, Item, LockedError, RefusedError, UnavailableError
from keystead.client.key_cache import boot_time
from keystead.v1.authority_service_pb2 import WatchOrganizationRequest
from keystead.v1.content_key_service_pb2 import UnwrapContentKeysRequest

from server.grpc_api.boundary import WATCHERS_LIMIT
from tests.support.everywhere import clients_of_every_worker
from tests.support.kept_keys import activate, calls, fill, kept, revoke, unwrap
from tests.support.service import Service, eventually, refused
from tests.support.strangers import grant, withdraw

pytestmark = pytest.mark.slow

BOUND = 2.0
POLLED = CacheLimits(watches=0)


def lease(client, org) -> float:
    return client._cache._known[org.name].lease_until


@contextmanager
def stopped(service: Service) -> Iterator[None]:
    """Have all processes that answer callers stand still for a block."""
    pids = service.pids("worker")
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_what_is_kept_needs_no_call_and_what_is_not_is_asked_for_alone(org, items, line, connect):
    client = connect(org, line.address, cache=POLLED)
    first = unwrap(client, org, items[:2])
    assert calls(line) == 1
    assert unwrap(client, org, items[:2]) == first
    assert calls(line) == 1
    assert unwrap(client, org, items)[:2] == first
    assert [len(UnwrapContentKeysRequest.FromString(it).items) for it in line.requests["UnwrapContentKeys"]] == [2, 1]
    # Another context is another question, and its answer is not kept.
    for _ in range(2):
        [outcome] = client.unwrap(org.name, [Item(items[0].data)])
        assert outcome.error.reason == "WRAPPED_KEY_REJECTED"
    assert calls(line) == 4
    client.forget(org.name)
    assert unwrap(client, org, items[:1]) == first[:1]
    assert calls(line) == 5


def test_leases_are_renewed_as_long_as_keys_are_kept_and_one_call_serves_all(org, items, line, connect):
    client = connect(org, line.address, cache=POLLED)
    before = unwrap(client, org, items)
    begun = time.monotonic()
    eventually(lambda: calls(line, "GetAuthority") == 6, "the lease is renewed five times")
    # Each time after half of a lease, which is at least half of the bound.
    assert time.monotonic() - begun > 5 * BOUND / 4
    assert unwrap(client, org, items) == before
    assert calls(line) == 1


def test_a_revocation_is_pushed_and_empties_the_cache_at_once(org, active, items, connect):
    client = connect(org)
    fill(client, org, items)
    values = kept(client, org)
    assert len(values) == 3
    assert all(any(it) for it in values)
    revoke(org, active)
    eventually(lambda: not kept(client, org), "the cache is empty", patience=0.8, interval=0.005)
    assert values == [bytes(32)] * 3
    with pytest.raises(LockedError):
        client.unwrap(org.name, items)
    activate(org, active)
    fill(client, org, items)


def test_without_a_push_a_revocation_empties_the_cache_within_the_bound(org, active, items, connect):
    client = connect(org, cache=POLLED)
    fill(client, org, items)
    values = kept(client, org)
    revoke(org, active)
    begun = time.monotonic()
    eventually(lambda: not kept(client, org), "the cache is empty", patience=BOUND, interval=0.01)
    assert values == [bytes(32)] * 3
    with pytest.raises(LockedError):
        client.unwrap(org.name, items)
    assert time.monotonic() - begun < BOUND


def test_a_refusal_empties_the_cache_before_the_lease_is_asked_for(org, active, items, connect):
    client = connect(org, cache=POLLED)
    fill(client, org, items[:2])
    revoke(org, active)
    with pytest.raises(LockedError):
        # This one is not kept, and so asked for.
        client.unwrap(org.name, items[2:])
    assert kept(client, org) == []


@pytest.mark.parametrize("cache", [CacheLimits(), POLLED], ids=["watched", "polled"])
def test_an_organisation_whose_grant_is_withdrawn_loses_what_is_kept(service, org, items, connect, cache):
    client = connect(org, cache=cache)
    fill(client, org, items)
    with pytest.raises(RefusedError, match="FORBIDDEN"):
        client.unwrap("organizations/another", items)
    assert len(kept(client, org)) == 3
    identity = f"spiffe://keystead.dev/service/{org.id}"
    withdraw(service, identity)
    try:
        leases = [lease(client, org)]
        eventually(lambda: leases.append(lease(client, org)) or not kept(client, org), "it is empty", interval=0.01)
        assert boot_time() < max(leases)  # It did not just end.
    finally:
        grant(service, identity, "service", org.id)
    fill(client, org, items)


def test_without_an_answer_keys_are_kept_until_the_lease_ends_and_not_longer(service, org, items, connect):
    client = connect(org)
    before = fill(client, org, items)
    values = kept(client, org)
    with stopped(service):
        begun = time.monotonic()
        assert unwrap(client, org, items) == before
        eventually(lambda: not kept(client, org), "the lease has ended", patience=BOUND + 0.5, interval=0.01)
        # At least what is left after half of the lease was used.
        assert time.monotonic() - begun > 0.3
        assert values == [bytes(32)] * 3
        with pytest.raises(UnavailableError, match="DEADLINE_EXCEEDED") as caught:
            client.unwrap(org.name, items, timeout=0.3)
        assert any("was not renewed" in note for note in caught.value.__notes__)
    assert fill(client, org, items) == before


def test_a_service_that_is_killed_is_missed_at_the_end_of_the_lease_and_found_again(service, org, items, connect):
    client = connect(org)
    before = fill(client, org, items)
    service.kill()
    try:
        eventually(lambda: not kept(client, org), "the lease has ended", patience=BOUND + 0.5, interval=0.01)
        with pytest.raises(UnavailableError, match="UNAVAILABLE") as caught:
            client.unwrap(org.name, items, timeout=0.5)
        assert any("was not renewed" in note for note in caught.value.__notes__)
    finally:
        service.start()
    assert fill(client, org, items) == before


def test_only_so_many_organisations_are_watched(service, org, items, connect):
    client = connect(org, cache=CacheLimits(watches=1))
    unwrap(client, org, items)
    with pytest.raises(RefusedError):
        client.unwrap("organizations/another", items)
    assert list(client._leases._watchers) == [org.name]


def begun(client, org):
    """Return a stream that has begun, or None while those of tests before have not left their places."""
    stream = client.authority.WatchOrganization(WatchOrganizationRequest(name=org.name))
    try:
        next(stream)
    except grpc.RpcError:
        return None
    return stream


def test_where_no_more_may_watch_leases_alone_do(service, org, active, items, connect):
    with ExitStack() as kept_open, clients_of_every_worker(service, f"service:{org.id}") as clients:
        for of_worker in clients.values():
            for _ in range(WATCHERS_LIMIT):
                stream = eventually(lambda: begun(of_worker, org), "there is a place")  # noqa: B023 - called at once
                kept_open.callback(stream.cancel)
            with refused("RESOURCE_EXHAUSTED", "TOO_MANY_WATCHERS"):
                next(of_worker.authority.WatchOrganization(WatchOrganizationRequest(name=org.name)))
        client = connect(org)
        fill(client, org, items)
        assert len(kept(client, org)) == 3
        revoke(org, active)
        eventually(lambda: not kept(client, org), "the cache is empty", patience=BOUND, interval=0.01)
