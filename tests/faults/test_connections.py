"""More connections than anybody needs, and callers that stop halfway: who is served, and what is left of them."""

import resource
import threading
from contextlib import closing

import grpc
import pytest
from keystead.v1 import authority_service_pb2 as authority
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import organization_service_pb2 as organizations

from server.grpc_api import call_threads
from server.grpc_api.server import HANDSHAKE_WITHIN
from tests.support.footprint import MIB, Footprint
from tests.support.raw_connections import Step, open_files_limit, raw_connections, was_hung_up
from tests.support.service import eventually, running

pytestmark = pytest.mark.slow

USUAL = 1024
"""Files that a process may have open on Linux if nobody asks for more."""
MOST = 1200
"""Connections of the one worker."""
IDLE = 3.0
"""Seconds that a connection is kept over which there is no call."""
HANDSHAKE = HANDSHAKE_WITHIN.total_seconds()
HASTE = call_threads.HASTE
THREADS = 8 + 64 + 8 + 64
"""Of the worker: for sessions, the queue, others, and streams."""
SLACK = 5.0
"""Seconds."""
ROOM = 4 * MIB
"""What the worker may have grown by between one crowd and the next of the same size."""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    settings = {"SERVER__WORKERS": "1", "SERVER__CONNECTIONS": str(MOST), "SERVER__IDLE_CONNECTION": f"PT{IDLE:.0f}S"}
    folder = tmp_path_factory.mktemp("crowded")
    with pytest.MonkeyPatch.context() as patch, open_files_limit(USUAL):
        # What is free again is otherwise kept by as many pools as there are threads: that says nothing of leaks.
        patch.setenv("MALLOC_ARENA_MAX", "1")
        with running(folder, **settings) as service, open_files_limit(10 * USUAL):
            yield service


@pytest.fixture(scope="module")
def org(service):
    return service.new_organization()


@pytest.fixture(scope="module")
def worker(service):
    (worker,) = service.pids("worker")
    return worker


@pytest.fixture(autouse=True)
def unharmed(service, worker):
    yield
    assert service.pids("worker") == [worker]


def is_served(org) -> bool:
    """Return whether health and an administrator are answered over connections of their own, old and new."""
    request = organizations.GetOrganizationRequest(name=org.name)
    with closing(org.service.new_client(f"admin:{org.id}").channel) as channel:
        new = type(org.admin)(channel)
        return org.service.serves() and all(
            it.organizations.GetOrganization(request, timeout=5).name == org.name for it in (org.admin, new)
        )


def test_a_worker_may_open_more_files_than_is_usual(worker):
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    assert soft > USUAL
    assert soft == hard or soft > 100 * USUAL


def test_a_thousand_connections_that_say_nothing_keep_nobody_out_and_leave_nothing(service, org, worker):
    before = Footprint.of(worker).files
    grown = []
    for _ in range(3):
        with raw_connections(service) as raw:
            silent = [raw.open(Step.NOTHING) for _ in range(MOST - 100)]
            eventually(lambda: Footprint.of(worker).files > MOST - 100, "all are taken")
            assert is_served(org)
            assert not any(map(was_hung_up, silent))
        eventually(lambda: Footprint.of(worker).files <= before + 2, "their places are free")
        grown.append(Footprint.of(worker).resident)
    assert grown[-1] - grown[0] < ROOM


def test_when_there_are_as_many_as_may_be_one_more_is_hung_up_at_once_and_who_is_connected_is_served(service, org):
    org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name))
    with raw_connections(service) as raw:
        crowd = [raw.open(Step.NOTHING) for _ in range(MOST + 50)]
        eventually(lambda: sum(map(was_hung_up, crowd)) >= 50, "those beyond the limit are hung up", patience=SLACK)
        assert sum(map(was_hung_up, crowd)) < 100
        assert org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name), timeout=5)
    eventually(lambda: _is_let_in(org), "there is room again")


def _is_let_in(org) -> bool:
    try:
        return is_served(org)
    except grpc.RpcError as error:
        if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            raise
        return False


def test_who_stops_halfway_is_hung_up_and_a_stream_is_not(service, org, worker):
    before = Footprint.of(worker).files
    client = service.new_client(f"service:{org.id}")
    watch = client.authority.WatchOrganization(authority.WatchOrganizationRequest(name=org.name), timeout=60)
    next(watch)
    with raw_connections(service) as raw:
        stopped = {step: raw.open(step) for step in Step}
        dribbled = stopped[Step.HALF_A_REQUEST]

        def all_hung_up() -> bool:
            gone = {step: was_hung_up(it) for step, it in stopped.items()}
            if not gone[Step.HALF_A_REQUEST]:
                dribbled.settimeout(SLACK)
                dribbled.send(b"a")
            return all(gone.values())

        eventually(all_hung_up, "all are hung up", patience=max(HANDSHAKE, IDLE) + SLACK, interval=0.3)
    # The stream has lasted longer than a connection is kept without one.
    assert next(watch).organization == org.name
    assert is_served(org)
    watch.cancel()
    client.channel.close()
    eventually(lambda: Footprint.of(worker).files <= before + 2, "nothing is left of them")


def heads(client, method: str, count: int):
    """Begin calls whose requests never come."""
    never = threading.Event()

    def nothing():
        never.wait(60)
        yield from ()

    return never, [client.channel.stream_unary(method).future(nothing(), timeout=60) for _ in range(count)]


@pytest.mark.parametrize("method", ["OrganizationService/GetOrganization", "AuthorityService/WatchOrganization"])
def test_who_sends_heads_of_calls_and_nothing_more_keeps_nobody_out(service, org, method):
    client = service.new_client(f"service:{org.id}")
    request = authority.WatchOrganizationRequest(name=org.name)
    watch = client.authority.WatchOrganization(request, timeout=60)
    talk = client.content_keys.StreamContentKeys(iter(threading.Event().wait, None), timeout=60)
    next(watch)
    never, calls = heads(client, f"/keystead.v1.{method}", THREADS + 50)
    try:
        eventually(lambda: _is_let_in(org), "there is a thread again", patience=3 * HASTE + SLACK)
        never_sent, (lone,) = heads(client, f"/keystead.v1.{method}", 1)
        for it in (*calls, lone):
            assert it.code() is grpc.StatusCode.CANCELLED
        never_sent.set()
        # Those that have begun go on.
        assert next(watch).organization == org.name
        assert talk.is_active()
    finally:
        never.set()
        watch.cancel()
        talk.cancel()
        client.channel.close()


def test_messages_that_are_too_large_are_refused_and_the_connection_is_used_on(org):
    kek = org.new_kek().name
    items = [content_keys.WrapContentKeysItem(plaintext=bytes(4096))] * 1100
    wrap = content_keys.WrapContentKeysRequest(kek=kek, items=items)
    batch = content_keys.StreamContentKeysRequest(wrap=wrap)
    for call in (
        lambda: org.user.content_keys.WrapContentKeys(wrap),
        lambda: list(org.user.content_keys.StreamContentKeys(iter([batch]))),
        lambda: org.user.content_keys.ListKeks(
            content_keys.ListKeksRequest(parent=org.name), metadata=[("x-long", "x" * 65536)]
        ),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(org.generate(kek)) == 1
