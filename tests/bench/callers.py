"""Callers that ask one method of a service over and over, each over a connection of its own."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.pool import Pool

import grpc

PROCESSES = 2
WARM_UP = 2
"""Calls of each caller that are not measured."""
PATIENCE = 30.0
"""Seconds for one call."""


@dataclass(frozen=True)
class Target:
    """What is asked, and by whom."""

    address: str
    method: str
    requests: Sequence[bytes]
    """They are taken in turn."""
    ca: bytes
    key: bytes
    certificate: bytes
    answer_size: int
    """Bytes of a good answer; every other size is a fault."""


@dataclass(frozen=True)
class Measured:
    """What the callers of one turn found."""

    seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        ranked = sorted(self.latencies)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def _call(target: Target, number: int, start: float, seconds: float) -> list[float]:
    credentials = grpc.ssl_channel_credentials(target.ca, target.key, target.certificate)
    # The number keeps callers from sharing a connection, and so a worker.
    options = (("grpc.use_local_subchannel_pool", 1), ("caller", number))
    latencies = []
    with grpc.secure_channel(target.address, credentials, options) as channel:
        ask = channel.unary_unary(target.method)
        for request in target.requests[:WARM_UP]:
            ask(request, timeout=PATIENCE, wait_for_ready=True)
        time.sleep(max(0.0, start - time.monotonic()))
        turn, end = number, start + seconds
        while (began := time.monotonic()) < end:
            answer = ask(target.requests[turn % len(target.requests)], timeout=PATIENCE)
            latencies.append(time.monotonic() - began)
            assert len(answer) == target.answer_size, "an answer of another size"
            turn += 1
    return latencies


def _share(target: Target, numbers: Sequence[int], start: float, seconds: float) -> list[float]:
    with ThreadPoolExecutor(len(numbers)) as threads:
        found = threads.map(lambda number: _call(target, number, start, seconds), numbers)
        return [latency for latencies in found for latency in latencies]


class Callers:
    """Callers in processes of their own."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def turn(self, target: Target, callers: int, seconds: float) -> Measured:
        """Let so many callers ask for so long."""
        start = time.monotonic() + 1.0
        shares = [(target, range(first, callers, PROCESSES), start, seconds) for first in range(PROCESSES)]
        found = self._pool.starmap(_share, [it for it in shares if len(it[1])])
        return Measured(seconds, [latency for latencies in found for latency in latencies])


@contextmanager
def callers() -> Iterator[Callers]:
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        yield Callers(pool)
