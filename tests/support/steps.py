"""The steps by which a use case changes the outside: commits, and calls that make or destroy something in the token.

A crash can be had after any of them. What is not committed then is lost, what the token has made stays.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from server.domain.ports import Custody, Storage

CHANGING = frozenset(
    {
        "create_wrapping_key",
        "examine_main_key",
        "unwrap_main_key",
        "generate_main_key",
        "create_audit_key",
        "destroy",
        "create_kek",
        "rewrap_keks",
    }
)


class Crash(BaseException):
    """The process is gone: no handler of an error sees it."""


def crash() -> None:
    raise Crash


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Steps:
    """What was done, in order; and after which step it ends."""

    def __init__(self, crash_after: int | None = None, end: Callable[[], None] = crash) -> None:
        self.names: list[str] = []
        self.crash_after = crash_after
        self._end = end

    def begin(self, crash_after: int | None = None, end: Callable[[], None] | None = None) -> None:
        self.names = []
        self.crash_after = crash_after
        self._end = end or self._end

    def done(self, name: str) -> None:
        self.names.append(name)
        if self.crash_after is not None and len(self.names) == self.crash_after:
            self.crash_after = None
            self._end()


class SteppedStorage:
    """A storage whose commits are steps."""

    def __init__(self, storage: Storage, steps: Steps) -> None:
        self._storage = storage
        self._steps = steps

    def __getattr__(self, name):
        return getattr(self._storage, name)

    @contextmanager
    def write(self) -> Iterator[object]:
        with self._storage.write() as tx:
            yield tx
        self._steps.done("commit")

    @contextmanager
    def claim_keks(self, *arguments) -> Iterator[object]:
        with self._storage.claim_keks(*arguments) as batch:
            yield batch
        self._steps.done("batch")


class SteppedCustody:
    """A custody whose changing calls are steps."""

    def __init__(self, custody: Custody, steps: Steps) -> None:
        self._custody = custody
        self._steps = steps

    def __getattr__(self, name):
        method = getattr(self._custody, name)
        if name not in CHANGING:
            return method

        def step(*arguments):
            result = method(*arguments)
            self._steps.done(name)
            return result

        return step
