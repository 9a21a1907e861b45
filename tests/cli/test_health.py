"""keystead health --wait: told as soon as the service serves, and not for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from typing_extensions import override

from tests.support.service import free_port

pytestmark = pytest.mark.slow


class Health(HealthServicer):
    """Does not serve before it is told to, and knows whether it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.set("", HealthCheckResponse.NOT_SERVING)
        self.asked = threading.Event()

    @override
    def Check(self, request, context):
        self.asked.set()
        return super().Check(request, context)


@contextmanager
def listening(folder: Path, address: str):
    """A server with the service's certificate, and its health."""
    server = grpc.server(ThreadPoolExecutor(1))
    health = Health()
    add_HealthServicer_to_server(health, server)
    read = [(folder / "pki" / name).read_bytes() for name in ("server.key", "server.pem", "ca.pem")]
    credentials = grpc.ssl_server_credentials([(read[0], read[1])], read[2], require_client_auth=True)
    assert server.add_secure_port(address, credentials)
    server.start()
    try:
        yield health
    finally:
        server.stop(None).wait()


def test_who_waits_is_told_as_soon_as_it_serves(operator, service):
    address = f"127.0.0.1:{free_port()}"
    with ThreadPoolExecutor(1) as threads:
        told = threads.submit(operator.says, "health", "--wait", "60", KEYSTEAD_ADDRESS=address)
        with listening(service.folder, address) as health:
            assert health.asked.wait(20)
            assert not told.done()
            health.set("", HealthCheckResponse.SERVING)
            assert told.result(20) == "SERVING\n"


def test_who_has_waited_is_told_what_it_is(operator, service):
    address = f"127.0.0.1:{free_port()}"
    waits = ("health", "--wait", "0.2")
    assert f"No answer from {address}" in operator.is_told(*waits, status=75, KEYSTEAD_ADDRESS=address)
    with listening(service.folder, address):
        assert "NOT_SERVING" in operator.keystead(*waits, status=75, prints=True, KEYSTEAD_ADDRESS=address).stdout
