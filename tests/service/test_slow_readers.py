"""A caller that does not read what it is answered: the service stops reading what it asks, and keeps nothing for it."""

import os
from contextlib import ExitStack, closing

import grpc
import pytest
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys

from tests.support.conversation import MOST, Conversation, begins, talking
from tests.support.footprint import MIB, Footprint
from tests.support.service import eventually, running
from tests.support.strangers import grant, stranger, withdraw

pytestmark = pytest.mark.slow

BATCHES = 100
"""Batches of 1000 content keys, answered by 135 kB each."""
MANY_LARGE = 40
"""Batches of 3.7 MB, answered by as much."""
DEAF = 4
"""Callers at once that do not read."""
ROOM = 16 * MIB
"""What the process may grow by, for all of them."""
STILL = 30
"""Looks, a tenth of a second apart, between which nothing may change, for it to stand still."""


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    with running(tmp_path_factory.mktemp("slow"), SERVER__WORKERS="1") as service:
        yield service


@pytest.fixture
def org(one_worker):
    return one_worker.new_organization()


def stands_still(count):
    """Wait until a number does not change any more, and return it."""
    seen = []

    def is_still():
        seen.append(count())
        return len(seen) > STILL and len(set(seen[-STILL:])) == 1

    eventually(is_still, "it stands still", interval=0.1)
    return seen[-1]


def used(org, key):
    """How many content keys the organisation has used, by what its administrators are shown."""
    request = main_keys.PreviewChangeRequest(name=key, change=main_keys.REVOKE)
    return org.admin.main_keys.PreviewChange(request).content_keys_last_day


def test_a_caller_that_stops_reading_is_not_read_and_gets_everything_when_it_reads_again(one_worker, org):
    kek, key = org.new_kek().name, org.bring().name
    generate = content_keys.GenerateContentKeysRequest(kek=kek, count=1000)
    (worker,) = one_worker.pids("worker")
    with ExitStack() as kept:
        streams = [kept.enter_context(closing(Conversation(org.user, timeout=300))) for _ in range(DEAF)]
        for stream in streams:
            # It has warmed up, and has its threads.
            assert len(stream.ask(0, generate=generate).generate.content_keys) == 1000
        before = Footprint.of(worker)
        for number in range(1, BATCHES + 1):
            for stream in streams:
                stream.say(number, generate=generate)
        done = stands_still(lambda: used(org, key)) // 1000
        # All that was asked of it would be 54 MB. Two batches of each stream are here; some are under way in HTTP/2.
        assert done < DEAF * BATCHES / 2
        assert Footprint.of(worker).resident - before.resident < ROOM
        # Everybody else is answered as before.
        assert len(org.generate(kek, 1000)) == 1000
        first, *others = streams
        for stream in others:
            stream.close()
        first.finish()
        assert [answer.id for answer in first.call] == list(range(1, BATCHES + 1))
    assert Footprint.of(worker).resident - before.resident < ROOM


def test_a_caller_that_asks_much_and_does_not_read_is_held_back_itself(one_worker, org):
    kek = org.new_kek().name
    large = [content_keys.WrapContentKeysItem(plaintext=os.urandom(4096)) for _ in range(900)]
    wrap = content_keys.WrapContentKeysRequest(kek=kek, items=large)
    (worker,) = one_worker.pids("worker")
    with closing(Conversation(org.user, timeout=300)) as stream:
        assert len(stream.ask(0, wrap=wrap).wrap.results) == 900
        before = Footprint.of(worker)
        for number in range(1, MANY_LARGE + 1):
            stream.say(number, wrap=wrap)
        # Two are in the service, and some are under way in HTTP/2. The rest is still the caller's.
        assert stands_still(lambda: stream.sent) < MANY_LARGE / 2
        assert Footprint.of(worker).resident - before.resident < 64 * MIB
        stream.finish()
        answers = list(stream.call)
    assert [answer.id for answer in answers] == list(range(1, MANY_LARGE + 1))
    assert {result.status.code for answer in answers for result in answer.wrap.results} == {0}


def test_a_caller_that_does_not_read_loses_its_stream_with_its_grant(one_worker, org):
    kek, key = org.new_kek().name, org.bring().name
    uri = f"spiffe://keystead.dev/deaf/{org.id}"
    grant(one_worker, uri, "service", org.id)
    client = stranger(one_worker, uri)
    generate = content_keys.GenerateContentKeysRequest(kek=kek, count=1000)
    with closing(Conversation(client, timeout=300)) as stream:
        stream.ask(generate=generate)
        for _ in range(BATCHES):
            stream.say(generate=generate)
        stands_still(lambda: used(org, key))
        with talking(org.user, MOST - 1) as others:
            for other in others:
                other.ask(generate=content_keys.GenerateContentKeysRequest(kek=kek))
            assert not begins(org.user, kek)
            withdraw(one_worker, uri)
            # It reads nothing, so it cannot be told why.
            eventually(lambda: begins(org.user, kek), "its place is free")
        with pytest.raises(grpc.RpcError, match="CANCELLED"):
            list(stream.call)
    client.channel.close()
