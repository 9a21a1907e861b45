"""Calls that are made again: when the service says so or nobody answered, not too soon, not too often, not too late."""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from keystead.client import Client, ClientClosedError, Item, KeysteadError, RefusedError, UnavailableError

from tests.support.relay import Relay
from tests.support.service import eventually

pytestmark = pytest.mark.slow


def refusal(code: str, *, after: float | None) -> Status:
    details = [ErrorInfo(reason="A_REASON", domain="keystead")]
    if after is not None:
        details.append(RetryInfo(retry_delay=Duration(nanos=int(after * 1e9))))
    packed = [Any() for _ in details]
    for it, detail in zip(packed, details, strict=True):
        it.Pack(detail)
    return Status(code=grpc.StatusCode[code].value[0], message="not now", details=packed)


@pytest.fixture
def client(org, line, connect) -> Client:
    return connect(org, line.address, cache=None)


def seconds_of(ask) -> float:
    begun = time.monotonic()
    ask()
    return time.monotonic() - begun


def asked(line: Relay) -> int:
    return sum(len(requests) for requests in line.requests.values())


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_every_method_comes_again_no_sooner_than_the_service_says(client, org, kek, line, code):
    [key] = client.generate(kek)
    for ask in (
        lambda: client.generate(kek),
        lambda: client.wrap(kek, [Item(b"one")])[0].value,
        lambda: client.unwrap(org.name, [Item(key.wrapped)])[0].value,
        lambda: client.rewrap(org.name, [Item(key.wrapped)])[0].value,
    ):
        line.requests.clear()
        line.refusals = [refusal(code, after=0.1), refusal(code, after=0.2)]
        assert 0.3 <= seconds_of(ask) < 5
        assert asked(line) == 3


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "INTERNAL"])
def test_what_the_service_does_not_want_again_is_told_at_once(client, kek, line, code):
    line.refusals = [refusal(code, after=None)]
    with pytest.raises(KeysteadError) as caught:
        client.generate(kek)
    assert (caught.value.code, caught.value.reason, asked(line)) == (code, "A_REASON", 1)


def test_an_answer_that_is_lost_is_asked_for_again(client, kek, line):
    line.losses = 2
    assert client.generate(kek)
    assert asked(line) == 3


def test_in_the_end_it_is_given_up(client, kek, line):
    line.losses = 10
    with pytest.raises(UnavailableError, match="lost on the way"):
        client.generate(kek)
    assert asked(line) == 5
    line.losses = 0
    line.refusals = [refusal("UNAVAILABLE", after=0.01)] * 10
    with pytest.raises(UnavailableError) as caught:
        client.generate(kek)
    assert asked(line) == 10
    assert caught.value.retry_after == 0.01


def test_what_would_come_after_the_callers_time_is_not_begun(client, kek, line):
    line.refusals = [refusal("UNAVAILABLE", after=0.9)] * 3

    def ask():
        with pytest.raises(UnavailableError, match="A_REASON"):
            client.generate(kek, timeout=0.5)

    assert seconds_of(ask) < 0.5
    assert asked(line) == 1


def test_who_closes_the_client_does_not_wait_for_a_repeat(client, kek, line):
    line.refusals = [refusal("UNAVAILABLE", after=0.99)] * 10
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(client.generate, kek)
        eventually(lambda: asked(line) == 1, "it is refused once")
        assert seconds_of(client.close) < 0.9
        assert isinstance(asking.exception(5), ClientClosedError)


def test_more_callers_than_the_service_takes_are_all_answered_in_the_end(org, kek, connect):
    client = connect(org, cache=None)
    impatient = connect(org, cache=None)
    told: list[str] = []

    def flood(_: int) -> int:
        try:
            impatient.generate(kek, 1000, timeout=0.9)
        except UnavailableError as error:
            told.append(error.reason)
        return len(client.generate(kek, 100, timeout=60))

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(flood, range(16))) == [100] * 16
    # Whoever had no time for a repeat was told, so there was one to make.
    assert "OVERLOADED" in told


def test_a_mistake_is_not_repeated(client, kek, line):
    with pytest.raises(RefusedError):
        client.generate(kek, size=15)
    assert asked(line) == 1
