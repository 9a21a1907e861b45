"""The connection to the service, from the environment."""

import ipaddress
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from server.cli import files
from server.cli.bearer_tokens import Bearer, TokenFileError, bearer_token
from server.cli.failures import fail, refusal_of_call

TIMEOUT = 60.0
"""Seconds for one call; making a wrapping key of 4096 bits takes a few."""

_PLACE = ("KEYSTEAD_ADDRESS", "KEYSTEAD_CA")
_CERTIFICATE = ("KEYSTEAD_CERT", "KEYSTEAD_KEY")
_TOKEN_FILE = "KEYSTEAD_TOKEN_FILE"  # noqa: S105 - the name of a variable that names a file
_ADDRESS = re.compile(r"\S+:(\d{1,5})")
_LAST_PORT = 65535


@contextmanager
def connected(*, as_json: bool = False) -> Iterator[grpc.Channel]:
    """Have a channel to the service for a block, in which errors of calls end the program with a message."""
    # A person with a token needs no certificate; a console has both.
    is_person = _is_set(_TOKEN_FILE) and not any(map(_is_set, _CERTIFICATE))
    missing = [name for name in (*_PLACE, *(() if is_person else _CERTIFICATE)) if not _is_set(name)]
    if missing:
        fail(
            f"{', '.join(missing)}: not set. They say where the service is and who you are. "
            'On a development set-up: eval "$(keystead dev env --as admin:ORGANIZATION)"'
        )
    address = os.environ["KEYSTEAD_ADDRESS"]
    port = _ADDRESS.fullmatch(address)
    if port is None or int(port[1]) > _LAST_PORT:
        fail(f"KEYSTEAD_ADDRESS is {address!r}; it must be HOST:PORT.")
    with grpc.secure_channel(address, _credentials(), _options(address)) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            refusal_of_call(error, address).end(as_json=as_json)


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name))


def _credentials() -> grpc.ChannelCredentials:
    """Return what the files hold; gRPC would say of a bad one only that it cannot connect."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority = Path(os.environ["KEYSTEAD_CA"])
    vouching = files.read(authority, "KEYSTEAD_CA")
    try:
        context.load_verify_locations(authority)
    except (OSError, ValueError):
        fail(f"KEYSTEAD_CA: {authority} holds no certificate (PEM).")
    transport = grpc.ssl_channel_credentials(vouching, *_own(context))
    if not _is_set(_TOKEN_FILE):
        return transport
    token_file = Path(os.environ[_TOKEN_FILE])
    try:
        bearer_token(token_file)
    except TokenFileError as error:
        fail(f"{_TOKEN_FILE}: {error}")
    return grpc.composite_channel_credentials(transport, grpc.metadata_call_credentials(Bearer(token_file), "bearer"))


def _own(context: ssl.SSLContext) -> tuple[bytes, bytes] | tuple[()]:
    """Return the private key and its certificate, if the caller has one."""
    if not any(map(_is_set, _CERTIFICATE)):
        return ()
    certificate, key = (Path(os.environ[name]) for name in _CERTIFICATE)
    own = files.read(key, "KEYSTEAD_KEY"), files.read(certificate, "KEYSTEAD_CERT")
    try:
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):
        fail(
            f"KEYSTEAD_CERT and KEYSTEAD_KEY: {certificate} and {key} are not a certificate and its private key, "
            "without a passphrase (PEM)."
        )
    return own


def _options(address: str) -> list[tuple[str, int]]:
    """Return the channel's options.

    A service that is just starting is looked for again at once, and one on this machine not behind a proxy. To connect
    may take as long as the "min" says, however far away the service is.
    """
    quick = [
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 100),
    ]
    host = address.rpartition(":")[0].strip("[]")
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    return [*quick, ("grpc.enable_http_proxy", 0)] if is_here else quick
