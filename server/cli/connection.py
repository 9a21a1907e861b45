"""The connection to the service, from the environment; and what its errors look like to a person."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import grpc
import typer
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

TIMEOUT = 60.0
"""Seconds for one call; making a wrapping key of 4096 bits takes a few."""

_TRY_AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)
_EX_TEMPFAIL = 75


def fail(message: str, status: int = 1) -> NoReturn:
    """End with a message that says what to do."""
    sys.stderr.write(f"keystead: {message}\n")
    raise typer.Exit(status)


def _setting(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        fail(f'{name} is not set. On a development set-up: eval "$(keystead dev env --as admin:ORGANIZATION)"', 2)
    return value


def _file(name: str) -> bytes:
    path = Path(_setting(name))
    try:
        return path.read_bytes()
    except OSError as error:
        fail(f"{name}: {path}: {error.strerror}.", 2)


@contextmanager
def connected(*, as_json: bool = False) -> Iterator[grpc.Channel]:
    """Have a channel to the service for a block, in which errors of calls end the program with a message."""
    credentials = grpc.ssl_channel_credentials(_file("KEYSTEAD_CA"), _file("KEYSTEAD_KEY"), _file("KEYSTEAD_CERT"))
    address = _setting("KEYSTEAD_ADDRESS")
    with grpc.secure_channel(address, credentials) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            _tell(error, address, as_json=as_json)


def _tell(error: grpc.RpcError, address: str, *, as_json: bool) -> NoReturn:
    code = error.code()
    status = rpc_status.from_call(error)
    info = ErrorInfo()
    for detail in status.details if status is not None else ():
        detail.Unpack(info)
    message = error.details() or code.name
    if not info.reason and code is grpc.StatusCode.UNAVAILABLE:
        message = (
            f"No answer from {address}. Is the service running, and are the certificates those of its CA? {message}"
        )
    if as_json:
        fault = {"code": code.name, "reason": info.reason, "message": message, "metadata": dict(info.metadata)}
        sys.stderr.write(json.dumps({"error": fault}) + "\n")
    else:
        sys.stderr.write(f"keystead: {message}\n" + (f"  reason: {info.reason}\n" if info.reason else ""))
    raise typer.Exit(_EX_TEMPFAIL if code in _TRY_AGAIN else 1) from error
