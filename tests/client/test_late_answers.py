"""Content keys that the client keeps, when things happen at once: late answers, many threads, the end."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from keystead.client import CacheLimits, Client, ClientClosedError, Item, LockedError
from keystead.v1.content_key_service_pb2 import UnwrapContentKeysResponse

from tests.support.kept_keys import CONTEXT, activate, fill, kept, revoke, unwrap
from tests.support.relay import Relay
from tests.support.service import Organization, eventually

pytestmark = pytest.mark.slow

POLLED = CacheLimits(watches=0)


class Held:
    """Answers to unwrapping that are held up by a relay until they are released."""

    def __init__(self, line: Relay) -> None:
        self.came = threading.Event()
        self.release = threading.Event()
        line.damage_answer = self._hold

    def _hold(self, answer: bytes) -> bytes:
        if any(it.plaintext for it in UnwrapContentKeysResponse.FromString(answer).results):
            self.came.set()
            assert self.release.wait(30)
        return answer


def epoch(client: Client, org: Organization) -> int:
    return client._cache._known[org.name].epoch


def test_an_answer_from_before_a_revocation_is_neither_kept_nor_given_out_after_it(org, active, items, line, connect):
    client = connect(org, line.address, cache=POLLED)
    fill(client, org, items[:1])
    held, seen = Held(line), epoch(client, org)
    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(unwrap, client, org, items[1:])
        assert held.came.wait(10)
        revoke(org, active)
        eventually(lambda: epoch(client, org) == seen + 1, "the client knows of the revocation")
        held.release.set()
        assert isinstance(late.exception(30), LockedError)
    assert kept(client, org) == []


def test_an_answer_from_before_a_revocation_is_not_kept_though_the_organisation_works_again(
    org, active, items, line, connect
):
    client = connect(org, line.address, cache=POLLED)
    fill(client, org, items[:1])
    held, seen = Held(line), epoch(client, org)
    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(unwrap, client, org, items[1:])
        assert held.came.wait(10)
        revoke(org, active)
        activate(org, active)
        eventually(lambda: epoch(client, org) == seen + 2, "the client knows of the reactivation")
        held.release.set()
        assert len(late.result(30)) == 2
    assert kept(client, org) == []
    fill(client, org, items)


def test_many_threads_share_what_is_kept_and_never_get_another_key(service, connect):
    orgs = [service.new_organization() for _ in range(2)]
    made = {org.id: org.generate(org.new_kek().name, 20, **CONTEXT) for org in orgs}
    clients = {org.id: connect(org, cache=CacheLimits(keys=10)) for org in orgs}
    ended = threading.Event()
    wrong: list[str] = []

    def work(number: int) -> int:
        org = orgs[number % 2]
        done = 0
        while not ended.is_set():
            at = (number + done) % 18
            keys = made[org.id][at : at + 3]
            found = unwrap(clients[org.id], org, [Item(it.wrapped, CONTEXT) for it in keys], timeout=30)
            if found != [it.plaintext for it in keys]:
                wrong.append(org.id)
            done += 1
        return done

    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(work, number) for number in range(8)]
        for _ in range(3):
            ended.wait(0.3)
            clients[orgs[0].id].forget()
        ended.set()
        assert min(it.result(60) for it in running) > 0
    assert wrong == []
    assert all(len(kept(clients[org.id], org)) <= 10 for org in orgs)


def test_a_client_that_is_closed_keeps_nothing_and_answers_nobody(org, items, line, connect):
    client = connect(org, line.address)
    fill(client, org, items[1:])
    values = kept(client, org)
    held = Held(line)
    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(unwrap, client, org, items[:1])
        assert held.came.wait(10)
        client.close()
        assert isinstance(under_way.exception(10), ClientClosedError)
        held.release.set()
    client.close()
    assert values == [bytes(32)] * 2
    assert not client._leases._thread.is_alive()
    assert not any(it.is_alive() for it in client._leases._watchers.values())
    for use in (lambda: client.unwrap(org.name, items), client.forget, lambda: client.channel):
        with pytest.raises(ClientClosedError):
            use()
