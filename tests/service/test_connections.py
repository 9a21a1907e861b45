"""Connections that nobody is at the other end of, and those that are kept alive by pings."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from keystead.client.connection import connect
from keystead.v1 import authority_service_pb2 as authority

from server.grpc_api.server import KEEPALIVE
from tests.support.service import Client, eventually
from tests.support.wire import Wire, wire_to

pytestmark = pytest.mark.slow

PINGS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
"""One each second, call or no call."""
SLACK = 10.0
"""Seconds."""
_ESTABLISHED = "01"


@contextmanager
def pinging(service, who: str) -> Iterator[tuple[Client, list[str]]]:
    """Have a client that pings for a block, and the states of its connection so far."""
    states: list[str] = []
    with grpc.secure_channel(service.address, service.credentials(who), PINGS) as channel:
        channel.subscribe(lambda state: states.append(state.name), try_to_connect=True)
        eventually(lambda: "READY" in states, "it is connected")
        yield Client(channel), states


def is_established(wire: Wire, port: int) -> bool:
    """Return whether the service at this port has its end of the wire's one connection."""
    _, there = wire._ends
    mine = there.getsockname()[1]
    # gRPC's addresses of version 4 are mapped into version 6.
    lines = [
        line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    ends = [(*(int(end.rpartition(":")[2], 16) for end in line[1:3]), line[3]) for line in lines]
    return (port, mine, _ESTABLISHED) in ends


def watch(call: grpc.Call) -> threading.Event:
    """Return what is set when a call has ended."""
    ended = threading.Event()
    if not call.add_callback(ended.set):
        ended.set()
    return ended


def test_both_ends_of_a_lost_connection_give_it_up_and_who_pings_each_second_is_served_on(service, org):
    port = int(service.address.rpartition(":")[2])
    who = f"service:{org.id}"
    files = [service.identity(who)[f"KEYSTEAD_{name}"] for name in ("CA", "CERT", "KEY")]
    with wire_to(port) as wire, pinging(service, who) as (_, states), pinging(service, who) as (pinger, _):
        health = pinger.health.Watch(HealthCheckRequest())
        assert next(health).status == HealthCheckResponse.SERVING
        health_ended = watch(health)

        with connect(f"127.0.0.1:{wire.port}", *files) as channel:
            stream = Client(channel).authority.WatchOrganization(authority.WatchOrganizationRequest(name=org.name))
            next(stream)
            stream_ended = watch(stream)
            assert is_established(wire, port)
            wire.lose()
            patience = KEEPALIVE.total_seconds() + SLACK
            eventually(lambda: not is_established(wire, port), "the service has given it up", patience)
            assert stream_ended.wait(SLACK)

        assert states[states.index("READY") :] == ["READY"]
        assert not health_ended.is_set()
        health.cancel()
