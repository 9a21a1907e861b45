"""Health: every service serves while token and database do."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue

from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse

from server.domain.errors import KeysteadError

_log = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two checks."""
_TICK = 0.2
"""Seconds between two looks whether a check that takes long has come back."""

_SERVING = HealthCheckResponse.SERVING
_NOT_SERVING = HealthCheckResponse.NOT_SERVING
_HANGS = "CHECK_HANGS"


@dataclass(frozen=True, slots=True)
class Checks:
    """What must hold for the process to serve.

    Attributes:
        each: returns if all is well, and raises a KeysteadError if not.
        patience: how long these may take, all together.
        token_answers: likewise returns or raises, and costs nothing: whether no call to the token hangs.
    """

    each: Sequence[Callable[[], None]]
    patience: timedelta
    token_answers: Callable[[], None]


class HealthWatch:
    """Keeps the health service's answers true."""

    def __init__(
        self, servicer: HealthServicer, services: Sequence[str], checks: Checks, tell: Callable[[bool], None]
    ) -> None:
        """Remember what to check.

        Args:
            servicer: answers callers.
            services: their full names.
            checks: what must hold.
            tell: gets to know after each check whether the process serves.
        """
        self._servicer = servicer
        self._services = ("", *services)
        self._checks = checks
        self._tell = tell
        self._status: HealthCheckResponse.ServingStatus.ValueType | None = None

    def run(self, stopping: threading.Event) -> None:
        """Check again and again until told to stop.

        The checks are made in threads of their own: whatever hangs in one, this thread says so, and can be stopped.
        """
        while not stopping.is_set():
            outcomes: SimpleQueue[str | Exception | None] = SimpleQueue()
            threading.Thread(target=self._check, args=(outcomes,), name="health", daemon=True).start()
            self._publish_outcome(outcomes, stopping)
            stopping.wait(INTERVAL)

    def _check(self, outcomes: "SimpleQueue[str | Exception | None]") -> None:
        """Check once: tell the reason why the process does not serve, or that there is none."""
        try:
            for check in self._checks.each:
                check()
        except KeysteadError as error:
            outcomes.put(error.reason)
        except Exception as error:  # noqa: BLE001 - it is raised where it ends the process
            outcomes.put(error)
        else:
            outcomes.put(None)

    def _publish_outcome(self, outcomes: "SimpleQueue[str | Exception | None]", stopping: threading.Event) -> None:
        deadline = time.monotonic() + self._checks.patience.total_seconds()
        while not stopping.is_set():
            try:
                outcome = outcomes.get(timeout=_TICK)
            except Empty:
                if time.monotonic() > deadline:
                    self._publish(_HANGS)
                continue
            if isinstance(outcome, Exception):
                raise outcome
            self._publish(outcome)
            return

    def _publish(self, reason: str | None) -> None:
        """Say that the process serves, or that it does not for this reason."""
        status = _SERVING if reason is None else _NOT_SERVING
        if status != self._status:
            _log.warning("health", extra={"status": HealthCheckResponse.ServingStatus.Name(status), "reason": reason})
            self._status = status
        self._tell(status == _SERVING)
        for service in self._services:
            self._servicer.set(service, status)
