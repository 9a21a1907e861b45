"""Connections that are held open by hand, at whichever step of TLS and HTTP/2 their caller stops."""

import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum

from tests.support.service import Service

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
_HEADERS = b"\0\x40\0\1\4\0\0\0\1" + b"\x40\x7f\x81\x7e"
"""A frame of 16384 bytes, and in it the beginning of a header whose name is as long."""


class Step(StrEnum):
    """What came last of a caller."""

    NOTHING = "nothing"
    HALF_A_HELLO = "half a ClientHello"
    TLS = "the end of TLS"
    PREFACE = "the preface of HTTP/2"
    SETTINGS = "the settings of HTTP/2"
    HALF_A_REQUEST = "some of a request's headers"


class RawConnections:
    """Makes them to one service, as its operator."""

    def __init__(self, service: Service, kept: ExitStack) -> None:
        host, _, port = service.address.rpartition(":")
        self._address = host, int(port)
        files = service.identity("operator")
        self._tls = ssl.create_default_context(cafile=files["KEYSTEAD_CA"])
        self._tls.load_cert_chain(files["KEYSTEAD_CERT"], files["KEYSTEAD_KEY"])
        self._tls.set_alpn_protocols(["h2"])
        self._kept = kept

    def open(self, step: Step) -> socket.socket:
        """Return a connection whose caller has come so far and stopped."""
        connection = self._kept.enter_context(socket.create_connection(self._address, 10))
        if step is Step.HALF_A_HELLO:
            connection.sendall(_HELLO)
        if step in {Step.NOTHING, Step.HALF_A_HELLO}:
            return connection
        connection = self._kept.enter_context(self._tls.wrap_socket(connection, server_hostname="127.0.0.1"))
        sent = {
            Step.TLS: b"",
            Step.PREFACE: PREFACE,
            Step.SETTINGS: PREFACE + _SETTINGS,
            Step.HALF_A_REQUEST: PREFACE + _SETTINGS + _HEADERS,
        }
        connection.sendall(sent[step])
        return connection


@contextmanager
def raw_connections(service: Service) -> Iterator[RawConnections]:
    """Have connections for a block."""
    with ExitStack() as kept:
        yield RawConnections(service, kept)


@contextmanager
def open_files_limit(soft: int) -> Iterator[None]:
    """Have this limit of open files for a block; what is started in it has it too."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def was_hung_up(connection: socket.socket) -> bool:
    """Return whether the other end has closed it; what it has sent is passed over."""
    connection.settimeout(0)
    try:
        while connection.recv(65536):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    return True
