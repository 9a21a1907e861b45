"""The connection: mutual TLS from PEM files, with limits that fit the service's."""

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

import grpc

from keystead.client.errors import SettingsError

REQUEST_LIMIT = 4 * 1024 * 1024
"""Bytes of a request that the service takes."""

_ANSWER_LIMIT = 16 * 1024 * 1024
"""Bytes of an answer: a thousand of the longest content keys, each with its names."""
_ADDRESS = re.compile(r"\S+:(\d{1,5})")
_LAST_PORT = 65535
_VARIABLES = ("KEYSTEAD_ADDRESS", "KEYSTEAD_CA", "KEYSTEAD_CERT", "KEYSTEAD_KEY")
_OPTIONS = (
    # A client has a connection of its own: otherwise it shares one with others of the same address and certificate.
    ("grpc.use_local_subchannel_pool", 1),
    # While a call is under way, a connection on which nothing comes any more is given up after 15 seconds.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # That one is for the ping; without this one, its answer is awaited for a minute all the same.
    ("grpc.http2.ping_timeout_ms", 5_000),
    # A service that comes back is found within seconds, however long it was gone.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_send_message_length", REQUEST_LIMIT),
    ("grpc.max_receive_message_length", _ANSWER_LIMIT),
)


def from_environment(environment: Mapping[str, str]) -> tuple[str, Path, Path, Path]:
    """Return address, authority, certificate and key, as `keystead dev env` names them.

    Raises:
        SettingsError: one of them is not set.
    """
    missing = [name for name in _VARIABLES if not environment.get(name)]
    if missing:
        raise SettingsError(f"{', '.join(missing)}: not set. They say where the service is and who you are.")
    address, *files = (environment[name] for name in _VARIABLES)
    authority, certificate, key = map(Path, files)
    return address, authority, certificate, key


def connect(
    address: str, authority: str | os.PathLike[str], certificate: str | os.PathLike[str], key: str | os.PathLike[str]
) -> grpc.Channel:
    """Return a channel. Nothing is sent before the first call.

    Raises:
        SettingsError: the address has another form than HOST:PORT, or a file is not what it should be.
    """
    port = _ADDRESS.fullmatch(address)
    if port is None or int(port[1]) > _LAST_PORT:
        raise SettingsError(f"The address is {address!r}; it must be HOST:PORT.")
    credentials = _credentials(Path(authority), Path(certificate), Path(key))
    return grpc.secure_channel(address, credentials, (*_OPTIONS, *_proxy_options(address)))


def _credentials(authority: Path, certificate: Path, key: Path) -> grpc.ChannelCredentials:
    """Return what the files hold, having tried it: of a bad file, gRPC says only that it cannot connect."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        read = [file.read_bytes() for file in (authority, key, certificate)]
    except OSError as error:
        raise SettingsError(f"{error.filename}: {error.strerror}.") from error
    try:
        context.load_verify_locations(authority)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{authority} holds no certificate (PEM).") from error
    try:
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{certificate} and {key} are not a certificate and its private key, without a passphrase (PEM)."
        ) from error
    return grpc.ssl_channel_credentials(*read)


def _proxy_options(address: str) -> tuple[tuple[str, int], ...]:
    """Return options by which a service on this machine is not looked for behind a proxy."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    return (("grpc.enable_http_proxy", 0),) if is_here else ()
