"""keystead health."""

import time
from typing import Annotated

import grpc
import typer
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from server.cli.connection import TIMEOUT, connected
from server.cli.output import AsJson, print_json, say

_PAUSE = 0.05
"""Seconds between two questions of somebody who waits."""


def health(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until it does.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Say whether the service serves.

    Exit status 0 only if it does.
    """
    with connected(as_json=as_json) as channel:
        answer = _asked(HealthStub(channel), time.monotonic() + wait)
    status = HealthCheckResponse.ServingStatus.Name(answer.status)
    if as_json:
        print_json({"status": status})
    else:
        say(status)
    raise typer.Exit(0 if answer.status == HealthCheckResponse.SERVING else 75)


def _asked(stub: HealthStub, deadline: float) -> HealthCheckResponse:
    """Return the first answer that the service serves, or the first after the deadline, whatever it is.

    Raises:
        grpc.RpcError: then there was none.
    """
    while True:
        is_last = time.monotonic() >= deadline
        try:
            answer: HealthCheckResponse = stub.Check(HealthCheckRequest(), timeout=TIMEOUT)
        except grpc.RpcError:
            if is_last:
                raise
        else:
            if is_last or answer.status == HealthCheckResponse.SERVING:
                return answer
        time.sleep(_PAUSE)
