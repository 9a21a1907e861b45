"""The gRPC server of one worker process: TLS, and nothing without it.

One port demands client certificates. The other, for people, asks for none: gRPC can demand certificates, or not ask.
"""

import ssl
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from grpc_reflection.v1alpha import reflection
from keystead.v1 import (
    approval_service_pb2,
    approval_service_pb2_grpc,
    audit_service_pb2,
    audit_service_pb2_grpc,
    authority_service_pb2,
    authority_service_pb2_grpc,
    content_key_service_pb2,
    content_key_service_pb2_grpc,
    main_key_service_pb2,
    main_key_service_pb2_grpc,
    organization_service_pb2,
    organization_service_pb2_grpc,
    rotation_service_pb2,
    rotation_service_pb2_grpc,
)

from server.grpc_api.admission import Admission
from server.grpc_api.approval_service import ApprovalService
from server.grpc_api.audit_service import AuditService
from server.grpc_api.authority_service import AuthorityService
from server.grpc_api.boundary import WATCHERS_LIMIT, Boundary
from server.grpc_api.call_threads import CallThreads
from server.grpc_api.callers import Callers
from server.grpc_api.content_key_service import ContentKeyService
from server.grpc_api.doorkeeper import Doorkeeper
from server.grpc_api.health import Checks, HealthWatch
from server.grpc_api.interceptors import Observer
from server.grpc_api.main_key_service import MainKeyService
from server.grpc_api.organization_service import OrganizationService
from server.grpc_api.reading import Reader
from server.grpc_api.rotation_service import RotationService
from server.observability.tracing import Tracing
from server.observability.worker import WorkerNumbers
from server.use_cases import UseCases

_MESSAGE_LIMIT = 4 * 1024 * 1024
_RESERVE_THREADS = 8
"""Threads beside those of content-key calls and streams: a slow token leaves room for health and administrators."""
_CALLS_LIMIT = 2048
"""Calls that may be under way or waiting for a thread; gRPC itself refuses one more, without details. It is the
outermost net: what services ask too much is refused by the admission long before."""
_MILLISECOND = timedelta(milliseconds=1)
_CALLS_PER_CONNECTION = 1024
"""Calls of one connection that are under way; its client holds the others back. One alone cannot take all places."""
HANDSHAKE_WITHIN = timedelta(seconds=10)
"""From a connection's first packet to the end of TLS and the first frame of HTTP/2; who is slower is hung up on."""
_PING_AFTER = timedelta(seconds=10)
_PONG_WITHIN = timedelta(seconds=5)
KEEPALIVE = _PING_AFTER + _PONG_WITHIN
"""After which a connection is given up, with its calls and streams, that nobody is at the other end of."""
_PINGS_APART = timedelta(milliseconds=500)
"""Clients may ping as often as this, call or no call, and are not sent away for it."""
_GRACE = 10.0
"""Seconds for calls in flight when the server stops."""

SERVICES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (organization_service_pb2, "OrganizationService"),
        (main_key_service_pb2, "MainKeyService"),
        (rotation_service_pb2, "RotationService"),
        (approval_service_pb2, "ApprovalService"),
        (content_key_service_pb2, "ContentKeyService"),
        (authority_service_pb2, "AuthorityService"),
        (audit_service_pb2, "AuditService"),
    )
)


class ListenError(Exception):
    """The server cannot listen, or its TLS files cannot be used; the message says which."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where and how to listen.

    Attributes:
        address: host:port, for those who have a client certificate.
        people_address: host:port, for those who have a bearer token instead; None if there are none.
        certificate: PEM file of the server's certificate.
        key: PEM file of its private key.
        client_ca: PEM file of the authorities that client certificates must come from.
        sessions: how many calls may be in the token at a time.
        queue: how many content-key calls may wait for their turn.
        connections: how many there may be at each address; one more is closed at once.
        idle: how long a connection is kept over which there is no call.
    """

    address: str
    people_address: str | None
    certificate: Path
    key: Path
    client_ca: Path
    sessions: int
    queue: int
    connections: int
    idle: timedelta

    def check(self) -> None:
        """Return if the TLS files can be used together; of those that cannot, gRPC says only that it does not listen.

        Raises:
            ListenError: they cannot.
        """
        for file in (self.certificate, self.key, self.client_ca):
            try:
                file.read_bytes()
            except OSError as error:
                raise ListenError(f"{file}: {error.strerror}.") from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_verify_locations(self.client_ca)
        except (OSError, ValueError) as error:
            raise ListenError(f"{self.client_ca} holds no certificate (PEM).") from error
        try:
            context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:
            raise ListenError(
                f"{self.key} is not the private key of {self.certificate}, without a passphrase (PEM)."
            ) from error


def serve(
    listen: Listen,
    use_cases: UseCases,
    callers: Callers,
    checks: Checks,
    stopping: threading.Event,
    *,
    numbers: WorkerNumbers,
    tracing: Tracing | None,
) -> None:
    """Serve until told to stop, then let the calls in flight end.

    Args:
        listen: where and how.
        use_cases: what callers can ask for.
        callers: tells who is calling.
        checks: whether the process can serve.
        stopping: set it to end.
        numbers: what is counted.
        tracing: makes traces of calls, if they are wanted.

    Raises:
        ListenError: it cannot listen.
    """
    # Each of the calls that may wait has a thread of its own, or those that may not would wait behind them.
    threads = CallThreads(listen.sessions + listen.queue + _RESERVE_THREADS + WATCHERS_LIMIT)
    # One session is kept for administrators and health.
    boundary = Boundary(callers, Admission(listen.sessions - 1, listen.queue, checks.token_answers), stopping)
    doorkeeper = Doorkeeper(boundary, frozenset(SERVICES))
    server = grpc.server(
        threads,
        options=(
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
            ("grpc.max_metadata_size", 16 * 1024),
            ("grpc.keepalive_time_ms", _PING_AFTER // _MILLISECOND),
            ("grpc.keepalive_timeout_ms", _PONG_WITHIN // _MILLISECOND),
            # That one is for the ping; without this one, its answer is awaited for a minute all the same.
            ("grpc.http2.ping_timeout_ms", _PONG_WITHIN // _MILLISECOND),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_WITHIN // _MILLISECOND),
            ("grpc.max_allowed_incoming_connections", listen.connections),
            ("grpc.max_connection_idle_ms", listen.idle // _MILLISECOND),
            ("grpc.max_concurrent_streams", _CALLS_PER_CONNECTION),
            ("grpc.http2.min_ping_interval_without_data_ms", _PINGS_APART // _MILLISECOND),
        ),
        maximum_concurrent_rpcs=_CALLS_LIMIT,
        interceptors=[
            Observer(numbers.calls, tracing, use_cases.records.refused, doorkeeper.unknown),
            doorkeeper,
            Reader(boundary, threads.has_arrived),
        ],
    )
    organization_service_pb2_grpc.add_OrganizationServiceServicer_to_server(
        OrganizationService(use_cases, boundary), server
    )
    main_key_service_pb2_grpc.add_MainKeyServiceServicer_to_server(MainKeyService(use_cases, boundary), server)
    rotation_service_pb2_grpc.add_RotationServiceServicer_to_server(RotationService(use_cases, boundary), server)
    approval_service_pb2_grpc.add_ApprovalServiceServicer_to_server(ApprovalService(use_cases, boundary), server)
    content_key_service_pb2_grpc.add_ContentKeyServiceServicer_to_server(
        ContentKeyService(use_cases, boundary, listen.sessions), server
    )
    authority_service_pb2_grpc.add_AuthorityServiceServicer_to_server(AuthorityService(use_cases, boundary), server)
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(AuditService(use_cases, boundary), server)
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    health_service = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection((*SERVICES, health_service, reflection.SERVICE_NAME), server)
    _listen(server, listen)
    server.start()
    try:
        HealthWatch(health, SERVICES, checks, numbers.serving.set).run(stopping)
    finally:
        health.enter_graceful_shutdown()
        server.stop(_GRACE).wait()


def _listen(server: grpc.Server, listen: Listen) -> None:
    try:
        own = [(listen.key.read_bytes(), listen.certificate.read_bytes())]
        authorities = listen.client_ca.read_bytes()
    except OSError as error:
        raise ListenError(f"{error.filename}: {error.strerror}") from error
    mutual = grpc.ssl_server_credentials(own, root_certificates=authorities, require_client_auth=True)
    _listen_on(server, listen.address, mutual)
    if listen.people_address is not None:
        _listen_on(server, listen.people_address, grpc.ssl_server_credentials(own))


def _listen_on(server: grpc.Server, address: str, credentials: grpc.ServerCredentials) -> None:
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ListenError(f"{address} cannot be listened on: {error}") from error
    if not port:
        raise ListenError(f"{address} cannot be listened on, or the TLS files do not fit together.")
