"""Starts the processes of one machine, restarts what dies, and ends them together.

Processes are started anew, never forked: a forked child would go on using its parent's sessions with the token. What
takes a process longest at its start is to load its program; so some do that ahead, and wait to be released.
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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from server.observability.metrics import Watch
from server.observability.relay import relay
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
_SHORT_TICK = 0.02
_GRACE = 15.0
"""Seconds from asking the processes to end to killing them."""
_LAST_WORDS = 2.0
"""Seconds that we wait for what an ended process had still to say."""
_PARENT = "KEYSTEAD_SUPERVISOR_PID"
_NAME = "KEYSTEAD_PROCESS_NAME"
_GO = b"\n"
_PR_SET_PDEATHSIG = 1


class AddressInUseError(Exception):
    """Another process listens on our address; sharing it would hide one of the two."""


@dataclass
class _Child:
    """One process, and when it may be started again."""

    name: str
    command: Sequence[str]
    watch: Watch
    process: subprocess.Popen[bytes] | None = None
    runs: bool = False
    """Whether the process was released, and its end was not seen yet."""
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    not_before: float = 0.0
    output: threading.Thread | None = None
    """Passes on what the process writes to standard error."""

    def load(self) -> None:
        """Start the process, which then waits to be released."""
        self.process = self._spawned()

    def start(self) -> None:
        """Release the process, started now if it was not before."""
        try:
            process = self.process or self._spawned()
        except OSError as error:
            # The machine is short of something. That ends no process that runs.
            _log.warning("not_started", extra={"child": self.name, "reason": error.strerror})
            self._rest()
            return
        self.process = process
        self.runs = True
        _release(process)
        self.started = time.monotonic()
        self.watch.started(self.name)
        _log.info("started", extra={"child": self.name, "pid": process.pid})

    def _spawned(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, _PARENT: str(os.getpid()), _NAME: self.name, **self.watch.environment(self.name)}
        process = subprocess.Popen(  # noqa: S603 - our own
            self.command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.output = relay(self.name, cast("IO[bytes]", process.stderr))
        return process

    def ended(self) -> int | None:
        """Return the exit status if the process has ended since it was asked last."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        self.process, self.runs = None, False
        self.drain()
        self.watch.ended(self.name, status)
        if time.monotonic() - self.started > _STEADY:
            self.pause = _FIRST_PAUSE
        self._rest()
        return status

    def drain(self) -> None:
        """Wait for the last words of a process that has ended."""
        if self.output is not None:
            self.output.join(_LAST_WORDS)

    def _rest(self) -> None:
        self.not_before = time.monotonic() + self.pause
        self.pause = min(2 * self.pause, _LONGEST_PAUSE)


def _release(process: subprocess.Popen[bytes]) -> None:
    """Let a process begin its work. It may have ended before: that is seen where ends are seen."""
    with suppress(BrokenPipeError), cast("IO[bytes]", process.stdin) as pipe:
        pipe.write(_GO)


def process_name(kind: str) -> str:
    """In a child: return what the supervisor calls it; its kind if it was started by hand."""
    return os.environ.get(_NAME, kind)


def await_release() -> None:
    """In a child that has loaded its program: return when it may begin its work."""
    if _PARENT in os.environ and os.read(0, len(_GO)) != _GO:
        raise SystemExit(EX_TEMPFAIL)  # The supervisor does not want it any more, or is gone.


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


def supervise(settings: Settings, config: Path, stopping: threading.Event, watch: Watch) -> int:
    """Prepare, then keep the workers and the steward running until told to stop; return the exit status.

    Args:
        settings: all of them.
        config: their file, which the processes read again.
        stopping: set it to end everything.
        watch: gets to know of the processes.

    Raises:
        AddressInUseError: the address is taken.
        OSError: no process can be started.
    """
    demand_free(settings.server.address)

    def child(kind: str, name: str) -> _Child:
        return _Child(name, [sys.executable, "-m", "server", kind, "--config", str(config)], watch)

    children = [child("worker", f"worker-{number + 1}") for number in range(settings.server.workers)]
    children.append(child("steward", "steward"))
    preparing = child("prepare", "prepare")
    try:
        preparing.load()
        # One CPU is the preparation's; on the others, processes load their program meanwhile.
        for early in children[: (os.cpu_count() or 1) - 1]:
            early.load()
        status = _prepare(preparing, stopping)
        begun = time.monotonic()
        while not stopping.is_set() and not status:
            is_start = time.monotonic() - begun < _STEADY
            for each in children:
                status = status or _tend(each, is_start=is_start)
            stopping.wait(_TICK)
    finally:
        _end([preparing, *children])
    return status


def _prepare(preparing: _Child, stopping: threading.Event) -> int:
    """Return the exit status of the preparation; 0 also if told to stop meanwhile."""
    process = cast("subprocess.Popen[bytes]", preparing.process)
    _release(process)
    while process.poll() is None and not stopping.wait(_SHORT_TICK):
        pass
    return process.returncode or 0


def _tend(child: _Child, *, is_start: bool) -> int:
    """Start the child if it is not running; return EX_CONFIG if starting it again makes no sense.

    Once the service has run, a file that was broken meanwhile must not end the processes that have read it whole.
    """
    ended = child.ended()
    if ended is not None:
        _log.warning("ended", extra={"child": child.name, "status": ended})
        if ended == EX_CONFIG and is_start:
            return EX_CONFIG
    if not child.runs and time.monotonic() >= child.not_before:
        child.start()
    return 0


def _end(children: Sequence[_Child]) -> None:
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
        if process.stdin is not None:
            process.stdin.close()  # One that was not released waits for this, and a signal would not end its wait.
    deadline = time.monotonic() + _GRACE
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for child in children:
        child.drain()
