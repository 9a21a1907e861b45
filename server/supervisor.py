"""Starts the processes of one machine, restarts what dies, and ends them together.

Processes are started anew, never forked: a forked child would go on using its parent's sessions with the token.
"""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.settings import Settings

_log = logging.getLogger(__name__)

EX_TEMPFAIL = 75
"""A process ends with it when token or database do not answer: it is started again."""
EX_CONFIG = 78
"""A process ends with it when the operator must act. At the start everything ends then; later the others serve on."""

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
_STEADY = 30.0
"""Seconds after which a process counts as well, its next restart is quick again, and the start is over."""
_TICK = 0.1
_GRACE = 15.0
"""Seconds from asking the processes to end to killing them."""
_PARENT = "KEYSTEAD_SUPERVISOR_PID"
_PR_SET_PDEATHSIG = 1


class AddressInUseError(Exception):
    """Another process listens on our address; sharing it would hide one of the two."""


@dataclass
class _Child:
    """One process, and when it may be started again."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    not_before: float = 0.0

    def start(self) -> None:
        environment = {**os.environ, _PARENT: str(os.getpid())}
        self.process = subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
        self.started = time.monotonic()
        _log.info("started", extra={"child": self.name, "pid": self.process.pid})

    def ended(self) -> int | None:
        """Return the exit status if the process has ended since it was asked last."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        self.process = None
        now = time.monotonic()
        if now - self.started > _STEADY:
            self.pause = _FIRST_PAUSE
        self.not_before = now + self.pause
        self.pause = min(2 * self.pause, _LONGEST_PAUSE)
        return status


def die_with_supervisor() -> None:
    """In a child: be told to end when the supervisor is gone, however it went."""
    parent = os.environ.get(_PARENT)
    if parent is None:
        return  # Started by hand.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        raise SystemExit(EX_TEMPFAIL)


def demand_free(address: str) -> None:
    """Return if nobody listens on the address.

    Raises:
        AddressInUseError: somebody does.
    """
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host.strip("[]"), int(port)))
        except (OSError, ValueError) as error:
            raise AddressInUseError(
                f"{address} cannot be listened on: {error}. Is Keystead running already? "
                "Stop it, or set another server.address."
            ) from error


def supervise(settings: Settings, config: Path, stopping: threading.Event) -> int:
    """Prepare, then keep the workers and the steward running until told to stop; return the exit status.

    Raises:
        AddressInUseError: the address is taken.
    """
    demand_free(settings.server.address)
    command = [sys.executable, "-m", "server"]
    prepared = subprocess.run([*command, "prepare", "--config", str(config)], check=False).returncode  # noqa: S603 - our own
    if prepared != 0:
        return prepared
    children = [
        _Child(f"worker-{number}", [*command, "worker", "--config", str(config)])
        for number in range(1, settings.server.workers + 1)
    ]
    children.append(_Child("steward", [*command, "steward", "--config", str(config)]))
    status = 0
    begun = time.monotonic()
    try:
        while not stopping.is_set() and not status:
            is_start = time.monotonic() - begun < _STEADY
            for child in children:
                status = status or _tend(child, is_start=is_start)
            stopping.wait(_TICK)
    finally:
        _end(children)
    return status


def _tend(child: _Child, *, is_start: bool) -> int:
    """Start the child if it is not running; return EX_CONFIG if starting it again makes no sense.

    Once the service has run, a file that was broken meanwhile must not end the processes that have read it whole.
    """
    ended = child.ended()
    if ended is not None:
        _log.warning("ended", extra={"child": child.name, "status": ended})
        if ended == EX_CONFIG and is_start:
            return EX_CONFIG
    if child.process is None and time.monotonic() >= child.not_before:
        child.start()
    return 0


def _end(children: Sequence[_Child]) -> None:
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _GRACE
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
