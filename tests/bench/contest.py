"""Two contenders, each in a process of its own, take turns."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

PATIENCE = 600.0
"""Seconds for one turn, or for making ready."""


@dataclass(frozen=True)
class Turn:
    """What one turn took, in seconds."""

    wall: float
    cpu: float
    within: float = 0.0
    """The part of `wall` that the contender wants to be told apart."""


class Stopwatch:
    """Measures one turn."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, within: float = 0.0) -> Turn:
        return Turn(time.perf_counter() - self._wall, time.process_time() - self._cpu, within)


Ready = tuple[Callable[[], Turn], Any]
"""How to take a turn; and what the other contender needs to know."""


class Contender:
    """A contender that is ready."""

    def __init__(self, pipe: Connection, work: Any) -> None:
        self._pipe = pipe
        pipe.send(work)
        self.told = self._received()

    def turn(self) -> Turn:
        self._pipe.send("turn")
        found = self._received()
        assert isinstance(found, Turn)
        return found

    def _received(self) -> Any:
        if not self._pipe.poll(PATIENCE):
            raise TimeoutError("a contender does not come to an end")
        return self._pipe.recv()


def _serve(ready: Callable[[Any], AbstractContextManager[Ready]], pipe: Connection) -> None:
    with ready(pipe.recv()) as (turn, told):
        pipe.send(told)
        while pipe.recv() == "turn":
            pipe.send(turn())


@contextmanager
def contender(ready: Callable[[Any], AbstractContextManager[Ready]], work: Any) -> Iterator[Contender]:
    """Have a contender in a process of its own for a block, and give it its work."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    # The work goes through the pipe, which tells if there is nobody (any more) to take it.
    process = spawn.Process(target=_serve, args=(ready, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Contender(ours, work)
        ours.send("end")
        process.join(PATIENCE)
    except (EOFError, ConnectionError) as error:
        process.join(PATIENCE)
        raise RuntimeError(f"a contender ended by itself, with status {process.exitcode}") from error
    finally:
        process.kill()
        process.join()
