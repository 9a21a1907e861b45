"""Many callers at once: what they make, and a witness that goes on unwrapping whatever is killed."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self, TypeVar

import grpc
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1.content_key_service_pb2 import GeneratedContentKey

from tests.support.service import Client, Organization, refusal_of

T = TypeVar("T")

DEADLINE = 60.0
"""Seconds for one call."""
OUTAGE = 30.0
"""Seconds for which a caller may find nobody to talk to."""


def dice(seed: int) -> random.Random:
    """Return chance that can be repeated; it decides moments and choices, and makes no keys."""
    return random.Random(seed)  # noqa: S311


def side_by_side(org: Organization, threads: int, work: Callable[[Client, int], list[T]]) -> list[T]:
    """Return what all threads made, each with a connection of its own; `work` gets it and the thread's number."""
    with ExitStack() as kept, ThreadPoolExecutor(threads) as pool:
        clients = [org.service.new_client(f"service:{org.id}") for _ in range(threads)]
        for client in clients:
            kept.callback(client.channel.close)
        return [made for part in pool.map(work, clients, range(threads)) for made in part]


def make_keks(org: Organization, count: int, threads: int = 8) -> list[str]:
    """Return the names of so many new KEKs."""
    request = content_keys.CreateKekRequest(parent=org.name)

    def work(client: Client, number: int) -> list[str]:
        return [client.content_keys.CreateKek(request, timeout=DEADLINE).name for _ in range(number, count, threads)]

    return side_by_side(org, threads, work)


def one_content_key_each(org: Organization, keks: Sequence[str], threads: int = 8) -> list[GeneratedContentKey]:
    """Return a content key under each of the KEKs."""

    def work(client: Client, number: int) -> list[GeneratedContentKey]:
        requests = (content_keys.GenerateContentKeysRequest(kek=kek, count=1) for kek in keks[number::threads])
        generate = client.content_keys.GenerateContentKeys
        return [made for request in requests for made in generate(request, timeout=DEADLINE).content_keys]

    return side_by_side(org, threads, work)


def unwrap(client: Client, org: Organization, keys: Sequence[GeneratedContentKey]) -> None:
    """Unwrap up to 1000 content keys; each is as it was made."""
    items = [content_keys.UnwrapContentKeysItem(wrapped=key.wrapped) for key in keys]
    request = content_keys.UnwrapContentKeysRequest(parent=org.name, items=items)
    results = client.content_keys.UnwrapContentKeys(request, timeout=DEADLINE).results
    faults = {result.status.message for result in results if result.HasField("status")}
    assert not faults, faults
    assert [result.plaintext for result in results] == [key.plaintext for key in keys], "a wrong answer"


def unwrap_all(org: Organization, keys: Sequence[GeneratedContentKey], threads: int = 2) -> None:
    """Unwrap any number of content keys; each is as it was made."""

    def work(client: Client, number: int) -> list[None]:
        return [unwrap(client, org, keys[at : at + 1000]) for at in range(1000 * number, len(keys), 1000 * threads)]

    assert len(side_by_side(org, threads, work)) == -(-len(keys) // 1000)


def lost_its_connection(error: grpc.RpcError) -> bool:
    """Return whether there was nobody to answer; what a service says itself has a reason."""
    refusal = refusal_of(error)
    return refusal.code is grpc.StatusCode.UNAVAILABLE and not refusal.reason


class Witness:
    """Unwraps content keys for a block, in a thread; only a lost connection is no failure, and it is tried again."""

    def __init__(self, org: Organization, keys: Sequence[GeneratedContentKey], rng: random.Random) -> None:
        self._org, self._keys, self._rng = org, keys, rng
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._result: Future[None] = Future()
        self.opened = 0
        self.lost = 0

    def __enter__(self) -> Self:
        self._result = self._pool.submit(self._go_on)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._pool.shutdown()
        self._result.result()

    def _go_on(self) -> None:
        client = self._org.service.new_client(f"service:{self._org.id}")
        answered = time.monotonic()
        try:
            while not self._stopping.is_set():
                some = self._rng.sample(self._keys, 20)
                try:
                    unwrap(client, self._org, some)
                except grpc.RpcError as error:
                    if not lost_its_connection(error) or time.monotonic() - answered > OUTAGE:
                        raise
                    self.lost += 1
                    self._stopping.wait(0.05)
                else:
                    answered = time.monotonic()
                    self.opened += len(some)
        finally:
            client.channel.close()
