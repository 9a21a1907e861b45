"""Health: every service serves while token and database do."""

import logging
import threading
from collections.abc import Callable, Sequence

from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse

from server.domain.errors import KeysteadError

_log = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two checks."""

_SERVING = HealthCheckResponse.SERVING
_NOT_SERVING = HealthCheckResponse.NOT_SERVING


class HealthWatch:
    """Keeps the health service's answers true."""

    def __init__(self, servicer: HealthServicer, services: Sequence[str], checks: Sequence[Callable[[], None]]) -> None:
        self._servicer = servicer
        self._services = ("", *services)
        self._checks = checks
        self._status: HealthCheckResponse.ServingStatus.ValueType | None = None

    def run(self, stopping: threading.Event) -> None:
        """Check again and again until told to stop."""
        self.check()
        while not stopping.wait(INTERVAL):
            self.check()

    def check(self) -> None:
        """Check once, and publish what came of it."""
        try:
            for check in self._checks:
                check()
        except KeysteadError as error:
            self._publish(_NOT_SERVING, error.reason)
        else:
            self._publish(_SERVING, None)

    def _publish(self, status: "HealthCheckResponse.ServingStatus.ValueType", reason: str | None) -> None:
        if status != self._status:
            _log.warning("health", extra={"status": HealthCheckResponse.ServingStatus.Name(status), "reason": reason})
            self._status = status
        for service in self._services:
            self._servicer.set(service, status)
