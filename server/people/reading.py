"""Reads what an issuer publishes, from a file or from its URL: bounded in size and in time, and led nowhere else."""

import io
import ipaddress
import socket
import ssl
import time
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.parse import SplitResult, urlsplit

from typing_extensions import Buffer, override

SIZE_LIMIT = 256 * 1024
"""Bytes of a document. A key set of ten keys has some 5000."""
PATIENCE = 5.0
"""Seconds for one answer, from the connection to its last byte."""

_OK = 200


class ReadingError(Exception):
    """A document cannot be read; the message says why."""


def read_file(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        ReadingError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _bounded(file.read(SIZE_LIMIT + 1), str(path))
    except OSError as error:
        raise ReadingError(f"{path}: {error.strerror}") from error


def read_url(url: str, authorities: Path | None = None) -> bytes:
    """Return what a URL answers with status 200. No redirection is followed, and no proxy asked.

    Args:
        url: as `demand_safe_url` has it.
        authorities: PEM file of those that may vouch for the host; None for those that the machine trusts.

    Raises:
        ReadingError: it answers something else, too much, too slowly or nothing.
    """
    deadline = time.monotonic() + PATIENCE
    try:
        with _connected(urlsplit(url), authorities) as connection:
            connection.sendall(_request(urlsplit(url)))
            # It asks for nothing of a socket but this.
            response = HTTPResponse(cast("socket.socket", _Source(connection, deadline)))
            response.begin()
            if response.status != _OK:
                raise ReadingError(f"{url}: it answered with status {response.status}")
            return _bounded(response.read(SIZE_LIMIT + 1), url)
    except OSError as error:
        raise ReadingError(f"{url}: {error.strerror or type(error).__name__}") from error
    except (HTTPException, ValueError) as error:
        raise ReadingError(f"{url}: {type(error).__name__}") from error


def _connected(parts: SplitResult, authorities: Path | None) -> socket.socket:
    is_secure = parts.scheme == "https"
    host = parts.hostname or ""
    plain = socket.create_connection((host, parts.port or (443 if is_secure else 80)), PATIENCE)
    try:
        if is_secure:
            return ssl.create_default_context(cafile=authorities).wrap_socket(plain, server_hostname=host)
        _demand_here(plain)
    except BaseException:
        plain.close()
        raise
    return plain


def _demand_here(connection: socket.socket) -> None:
    if not ipaddress.ip_address(connection.getpeername()[0]).is_loopback:
        raise ReadingError("localhost is not this machine")


def _request(parts: SplitResult) -> bytes:
    lines = (
        f"GET {parts.path or '/'} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Accept: application/json",
        "User-Agent: keystead",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


def _bounded(content: bytes, place: str) -> bytes:
    if len(content) > SIZE_LIMIT:
        raise ReadingError(f"{place}: it is longer than {SIZE_LIMIT} bytes")
    return content


class _Source(io.RawIOBase):
    """What comes over a connection, until a moment that no trickle of bytes puts off."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
