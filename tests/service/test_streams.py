"""StreamContentKeys: many batches over one stream, what fails and what does not, and how streams end."""

import os
import time

import grpc
import pytest
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import ErrorInfo
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys

from tests.support.conversation import MOST, Conversation, begins, talking
from tests.support.footprint import Footprint
from tests.support.service import PATIENCE, eventually, refused, running
from tests.support.strangers import grant, stranger, withdraw

pytestmark = pytest.mark.slow

Generate = content_keys.GenerateContentKeysRequest
Wrap = content_keys.WrapContentKeysRequest
Unwrap = content_keys.UnwrapContentKeysRequest
Rewrap = content_keys.RewrapContentKeysRequest


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    """A service whose one worker has all the streams."""
    with running(tmp_path_factory.mktemp("streams"), SERVER__WORKERS="1") as service:
        yield service


@pytest.fixture
def org(one_worker):
    return one_worker.new_organization()


@pytest.fixture
def kek(org):
    return org.new_kek().name


def reason_of(status):
    info = ErrorInfo()
    return info.reason if any(detail.Unpack(info) for detail in status.details) else ""


def items(kind, wrapped, **context):
    return [kind(wrapped=it, context=context) for it in wrapped]


# What is asked and answered.


def test_many_batches_of_every_kind_are_answered_in_their_order(org, kek):
    other = org.new_kek().name
    keys = org.generate(kek, 20, document="a")
    sealed = [key.wrapped for key in keys]
    brought = [os.urandom(48) for _ in range(20)]
    batches = {
        "generate": Generate(kek=kek, count=20),
        "wrap": Wrap(kek=kek, items=[content_keys.WrapContentKeysItem(plaintext=it) for it in brought]),
        "unwrap": Unwrap(parent=org.name, items=items(content_keys.UnwrapContentKeysItem, sealed, document="a")),
        "rewrap": Rewrap(
            parent=org.name, kek=other, items=items(content_keys.RewrapContentKeysItem, sealed, document="a")
        ),
    }
    kinds = list(batches) * 50
    with talking(org.user) as (stream,):
        for number, kind in enumerate(kinds):
            stream.say(1_000_000 - number, **{kind: batches[kind]})
        stream.finish()
        answers = list(stream.call)
    assert [answer.id for answer in answers] == [1_000_000 - number for number in range(200)]
    assert [answer.WhichOneof("outcome") for answer in answers] == kinds
    made = [key for answer in answers[::4] for key in answer.generate.content_keys]
    assert len({key.plaintext for key in made}) == len(made) == 1000
    for number in (1, 197):
        wrapped = [result.wrapped for result in answers[number].wrap.results]
        assert [it.plaintext for it in org.unwrap_many(wrapped)] == brought
    for answer in answers[2::4]:
        assert [result.plaintext for result in answer.unwrap.results] == [key.plaintext for key in keys]
    for number in (3, 199):
        again = org.unwrap_many([result.wrapped for result in answers[number].rewrap.results], document="a")
        assert [(it.plaintext, it.kek) for it in again] == [(key.plaintext, other) for key in keys]


def test_a_thousand_items_of_a_batch_keep_their_order_and_a_damaged_one_fails_alone(org, kek):
    with talking(org.user) as (stream,):
        keys = stream.ask(1, generate=Generate(kek=kek, count=1000)).generate.content_keys
        unwrap = Unwrap(parent=org.name, items=items(content_keys.UnwrapContentKeysItem, [it.wrapped for it in keys]))
        for place, key in enumerate(keys):
            unwrap.items[place].wrapped_crc32c = key.wrapped_crc32c ^ (place == 500)
        results = stream.ask(2, unwrap=unwrap).unwrap.results
    assert [place for place, result in enumerate(results) if result.status.code] == [500]
    assert reason_of(results[500].status) == "CHECKSUM_MISMATCH"
    for place, (key, result) in enumerate(zip(keys, results, strict=True)):
        assert place == 500 or (result.plaintext, result.plaintext_crc32c) == (key.plaintext, key.plaintext_crc32c)


def test_a_bad_batch_does_not_end_the_stream_nor_fail_its_neighbours(org, kek):
    foreign = org.service.new_organization()
    bad = [
        ("INVALID_ARGUMENT", "INVALID_FIELD", {}),
        ("INVALID_ARGUMENT", "MALFORMED_NAME", {"generate": Generate()}),
        ("INVALID_ARGUMENT", "INVALID_FIELD", {"generate": Generate(kek=kek, count=1001)}),
        ("INVALID_ARGUMENT", "INVALID_FIELD", {"wrap": Wrap(kek=kek)}),
        (
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            {"unwrap": Unwrap(parent=org.name, items=items(content_keys.UnwrapContentKeysItem, [b"x"] * 1001))},
        ),
        ("NOT_FOUND", "NOT_FOUND", {"generate": Generate(kek=f"{org.name}/keks/{'0' * 32}")}),
        ("PERMISSION_DENIED", "FORBIDDEN", {"generate": Generate(kek=foreign.new_kek().name)}),
        ("PERMISSION_DENIED", "FORBIDDEN", {"rewrap": Rewrap(parent="organizations/nobody")}),
    ]
    with talking(org.user) as (stream,):
        for number, (code, reason, batch) in enumerate(bad):
            stream.say(number, **batch)
            stream.say(1000 + number, generate=Generate(kek=kek))
            refusal, good = stream.hear(), stream.hear()
            told = Code.Name(refusal.status.code), reason_of(refusal.status)
            assert (refusal.id, *told) == (number, code, reason)
            assert (good.id, len(good.generate.content_keys)) == (1000 + number, 1)


def test_each_batch_is_told_whether_its_organisation_may_work(org, kek):
    key = org.bring()
    with talking(org.user) as (stream,):
        assert stream.ask(generate=Generate(kek=kek)).HasField("generate")
        org.admin.main_keys.RevokeMainKey(main_keys.RevokeMainKeyRequest(name=key.name))
        for batch in ({"generate": Generate(kek=kek)}, {"rewrap": Rewrap(parent=org.name, kek=kek)}):
            assert reason_of(stream.ask(**batch).status) == "ORGANIZATION_LOCKED"
        org.activate(key.name)
        assert stream.ask(generate=Generate(kek=kek)).HasField("generate")


def test_a_stream_on_which_nothing_is_asked_ends_well(org):
    with talking(org.user) as (stream,):
        stream.finish()
        assert list(stream.call) == []
        assert stream.call.code() is grpc.StatusCode.OK


def test_a_batch_over_four_megabytes_ends_the_stream_and_no_other(org, kek):
    with talking(org.user, 2) as (greedy, modest):
        large = [content_keys.WrapContentKeysItem(plaintext=bytes(5 * 2**20))]
        with pytest.raises(grpc.RpcError, match="larger than max") as caught:
            greedy.ask(wrap=Wrap(kek=kek, items=large))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert modest.ask(generate=Generate(kek=kek)).HasField("generate")


# Who may.


def test_only_a_service_has_a_stream(one_worker, org):
    for client in (org.admin, one_worker.client("operator"), stranger(one_worker, "spiffe://keystead.dev/nobody")):
        with talking(client) as (stream,), refused("PERMISSION_DENIED", "FORBIDDEN"):
            stream.hear()


def test_a_caller_that_is_no_service_any_more_loses_its_stream(one_worker, org, kek):
    uri = f"spiffe://keystead.dev/streams/{org.id}"
    grant(one_worker, uri, "service", org.id)
    client = stranger(one_worker, uri)
    with talking(client, 2) as (idle, busy):
        assert idle.ask(generate=Generate(kek=kek)).HasField("generate")
        assert busy.ask(generate=Generate(kek=kek)).HasField("generate")
        withdraw(one_worker, uri)
        # The next batch is not answered any more, and a stream on which nothing happens ends by itself.
        with refused("PERMISSION_DENIED", "FORBIDDEN"):
            busy.ask(generate=Generate(kek=kek))
        with refused("PERMISSION_DENIED", "FORBIDDEN"):
            idle.hear()
    client.channel.close()


def test_a_caller_that_loses_one_of_two_organisations_keeps_its_stream_for_the_other(one_worker, org, kek):
    uri, other = f"spiffe://keystead.dev/streams/two/{org.id}", one_worker.new_organization()
    grant(one_worker, uri, "service", org.id)
    client = stranger(one_worker, uri)
    with talking(client) as (stream,):
        assert stream.ask(generate=Generate(kek=kek)).HasField("generate")
        withdraw(one_worker, uri)
        grant(one_worker, uri, "service", other.id)
        assert reason_of(stream.ask(generate=Generate(kek=kek)).status) == "FORBIDDEN"
        assert stream.ask(generate=Generate(kek=other.new_kek().name)).HasField("generate")
    client.channel.close()


# How many, and what they leave behind.


def test_one_stream_too_many_is_told_to_come_again_and_calls_are_still_answered(org, kek):
    with talking(org.user, MOST) as streams:
        for stream in streams:
            assert stream.ask(generate=Generate(kek=kek)).HasField("generate")
        with talking(org.user) as (one_more,), refused("RESOURCE_EXHAUSTED", "TOO_MANY_WATCHERS") as refusal:
            one_more.ask(generate=Generate(kek=kek))
        assert refusal[0].details == ("ErrorInfo", "RetryInfo")
        org.generate(kek)
        assert org.service.serves()
        streams[0].close()
        eventually(lambda: begins(org.user, kek), "there is a place again")


@pytest.mark.parametrize("goes", ["it is cancelled", "its connection breaks", "it finishes", "its time is over"])
def test_every_stream_that_is_gone_leaves_its_place_and_its_threads(one_worker, org, kek, goes):
    eventually(lambda: begins(org.user, kek), "there is a place")
    (worker,) = one_worker.pids("worker")
    threads = Footprint.of(worker).threads
    for _ in range(MOST + 1):
        client = one_worker.new_client(f"service:{org.id}")
        stream = Conversation(client, timeout=0.05 if goes == "its time is over" else PATIENCE)
        if goes == "its time is over":
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                stream.hear()
        else:
            stream.ask(generate=Generate(kek=kek))
        if goes == "it is cancelled":
            stream.call.cancel()
        stream.finish()
        if goes == "it finishes":
            assert list(stream.call) == []
        client.channel.close()
    eventually(lambda: begins(org.user, kek), "there is a place again")
    # The pool keeps the threads that it has once had; those that read are gone.
    eventually(lambda: Footprint.of(worker).threads <= threads + 2, "no thread is left behind")


def test_a_service_that_stops_does_not_wait_for_streams(tmp_path):
    with running(tmp_path) as service:
        org = service.new_organization()
        kek = org.new_kek().name
        client = service.new_client(f"service:{org.id}")
        with talking(client, 2) as (idle, deaf):
            assert idle.ask(generate=Generate(kek=kek)).HasField("generate")
            for _ in range(100):
                deaf.say(generate=Generate(kek=kek, count=1000))
            deaf.hear()
            begun = time.monotonic()
            assert service.stop() == 0
            # Calls in flight would be given ten seconds.
            assert time.monotonic() - begun < 8
            with refused("UNAVAILABLE", "SERVICE_STOPPING") as refusal:
                idle.hear()
            assert "RetryInfo" in refusal[0].details
        client.channel.close()
