"""Callers that unwrap content keys all the time, each at one worker, and remember when each call began and ended."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1.content_key_service_pb2 import GeneratedContentKey

from tests.support.service import Client, eventually, refusal_of

SERVED = ""
LOCKED = "ORGANIZATION_LOCKED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call; times are of `time.monotonic`."""

    start: float
    end: float
    told: str
    """SERVED, or the reason of its refusal, or its code if it had no reason."""
    may_retry: bool = True
    """Whether it was told when to try again, if it was refused."""


class Caller:
    """Goes on calling until it is told to stop. A wrong plaintext ends it, and fails who waits for it."""

    def __init__(self, replica: int, parent: str, client: Client, keys: Sequence[GeneratedContentKey]) -> None:
        self.replica = replica
        """Where it calls."""
        self.outcomes: list[Outcome] = []
        items = [content_keys.UnwrapContentKeysItem(wrapped=key.wrapped) for key in keys]
        self._request = content_keys.UnwrapContentKeysRequest(parent=parent, items=items)
        self._plaintexts = [key.plaintext for key in keys]
        self._client = client

    def go_on(self, ended: threading.Event, deadline: float, period: float) -> None:
        """Call each `period` seconds, or as soon as the call before has ended, within a deadline in seconds."""
        start = time.monotonic()
        while not ended.wait(start + period - time.monotonic()):
            start = time.monotonic()
            self.outcomes.append(self._outcome(deadline))

    def _outcome(self, deadline: float) -> Outcome:
        start = time.monotonic()
        try:
            answer = self._client.content_keys.UnwrapContentKeys(self._request, timeout=deadline)
        except grpc.RpcError as error:
            end, refusal = time.monotonic(), refusal_of(error)
            told = refusal.reason or refusal.code.name
            return Outcome(start, end, told, "RetryInfo" in refusal.details)
        end = time.monotonic()
        assert [result.plaintext for result in answer.results] == self._plaintexts, (
            f"a wrong answer of replica {self.replica}"
        )
        return Outcome(start, end, SERVED)

    def since(self, moment: float) -> list[Outcome]:
        """Return the calls that began after a moment."""
        found = []
        for outcome in reversed(self.outcomes):
            if outcome.start < moment:
                break
            found.append(outcome)
        return found

    def last_served(self, before: float) -> float:
        """Return the end of the last call that was served and ended before a moment."""
        return next(it.end for it in reversed(self.outcomes) if it.told == SERVED and it.end < before)


@dataclass(frozen=True)
class Crowd:
    """Callers at work."""

    callers: Sequence[Caller]

    def await_told(self, told: str, patience: float) -> float:
        """Return the seconds until each of the callers was told so in a call that it began from now on."""
        began = time.monotonic()

        def all_told() -> bool:
            return all(any(it.told == told for it in caller.since(began)) for caller in self.callers)

        try:
            eventually(all_told, f"each caller is told {told!r}", patience, interval=0.02)
        except AssertionError as error:
            lately = {caller.replica: caller.outcomes[-1:] for caller in self.callers}
            raise AssertionError(f"{error}: {lately}") from error
        ends = [min(it.end for it in caller.since(began) if it.told == told) for caller in self.callers]
        return max(ends) - began

    def told_since(self, moment: float) -> Counter[str]:
        """Return how often what was told in the calls that began after a moment."""
        return Counter(it.told for caller in self.callers for it in caller.since(moment))


@contextmanager
def pressing(callers: Sequence[Caller], *, deadline: float, period: float) -> Iterator[None]:
    """Have the callers at work for a block."""
    ended = threading.Event()
    with ThreadPoolExecutor(len(callers)) as pool:
        work = [pool.submit(caller.go_on, ended, deadline, period) for caller in callers]
        try:
            yield
        finally:
            ended.set()
            for it in work:
                it.result()
