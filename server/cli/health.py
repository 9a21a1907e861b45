"""keystead health."""

import typer
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from server.cli.connection import TIMEOUT, connected
from server.cli.output import AsJson, print_json, say


def health(as_json: AsJson = False) -> None:
    """Say whether the service serves.

    Exit status 0 only if it does.
    """
    with connected(as_json=as_json) as channel:
        answer = HealthStub(channel).Check(HealthCheckRequest(), timeout=TIMEOUT)
    status = HealthCheckResponse.ServingStatus.Name(answer.status)
    if as_json:
        print_json({"status": status})
    else:
        say(status)
    raise typer.Exit(0 if answer.status == HealthCheckResponse.SERVING else 75)
