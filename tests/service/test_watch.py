"""WatchRotation: what it tells and when, how it ends, and how many can watch."""

import time
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status
from keystead.v1 import rotation_service_pb2 as rotations
from keystead.v1.resources_pb2 import Rotation

from tests.support.service import PATIENCE, Client, eventually, refusal_of, refused, running
from tests.support.strangers import grant, stranger, withdraw
from tests.support.stuck import StuckRotation, stuck_rotation

pytestmark = pytest.mark.slow

MOST = 64
"""Watchers of one worker."""


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    """A service whose one worker has all the watchers."""
    with running(tmp_path_factory.mktemp("watched"), SERVER__WORKERS="1") as service:
        yield service


@pytest.fixture
def stuck(one_worker):
    with stuck_rotation(one_worker.new_organization()) as stuck:
        yield stuck


def watch(client: Client, name: str):
    return client.rotations.WatchRotation(rotations.WatchRotationRequest(name=name), timeout=PATIENCE)


@contextmanager
def watching(stuck: StuckRotation, count: int = 1):
    """Have so many streams that have begun; they are closed at the end."""
    with ExitStack() as kept:
        streams = []
        for _ in range(count):
            stream = watch(stuck.org.admin, stuck.name)
            kept.callback(stream.cancel)
            assert next(stream).name == stuck.name
            streams.append(stream)
        yield streams


def pause(stuck: StuckRotation) -> Rotation:
    return stuck.org.admin.rotations.PauseRotation(rotations.PauseRotationRequest(name=stuck.name))


def resume(stuck: StuckRotation) -> Rotation:
    return stuck.org.admin.rotations.ResumeRotation(rotations.ResumeRotationRequest(name=stuck.name))


def test_a_rotation_is_told_at_each_change_and_ends_when_it_is_done(stuck):
    with watching(stuck) as (stream,):
        assert pause(stuck).state == Rotation.PAUSED
        told = [next(it for it in stream if it.state == Rotation.PAUSED)]
        assert resume(stuck).state == Rotation.RUNNING
        told.append(next(it for it in stream if it.state == Rotation.RUNNING))
        stuck.mend()
        told += stream
    assert [it.done_count for it in told] == sorted(it.done_count for it in told)
    *_, last = told
    assert (last.state, last.done_count, last.failed_count) == (Rotation.DONE, 3, 0)
    assert [it.HasField("end_time") for it in told].count(True) == 1
    assert last == stuck.now()
    # What has ended is told once.
    assert list(watch(stuck.org.admin, stuck.name)) == [last]


def test_a_rotation_that_stands_still_is_told_each_second(stuck):
    paused = pause(stuck)
    with watching(stuck) as (stream,):
        begun = time.monotonic()
        told = [next(stream) for _ in range(4)]
        took = time.monotonic() - begun
    assert told == [paused] * 4
    # A message comes after a second, not sooner: four seconds, and some more on a busy machine.
    assert 3.5 < took < 10


def test_a_paused_rotation_does_nothing(stuck):
    pause(stuck)
    stuck.mend()
    with watching(stuck) as (stream,):
        for _ in range(3):
            assert next(stream).done_count == 2
        resume(stuck)
        *_, last = stream
    assert (last.state, last.done_count) == (Rotation.DONE, 3)


def test_what_fails_is_named_with_what_is_known_of_the_rest(stuck):
    rotation = stuck.now()
    assert list(rotation.failed_keks) == [f"{stuck.org.name}/keks/{stuck.damaged}"]
    assert rotation.to_main_key == stuck.to_main_key.name
    assert rotation.keks_per_second > 0
    assert rotation.HasField("progress_time")
    assert rotation.HasField("estimated_end_time")
    assert not pause(stuck).HasField("estimated_end_time")


def test_what_has_ended_is_neither_paused_nor_resumed(stuck):
    stuck.mend()
    list(watch(stuck.org.admin, stuck.name))
    for change in (pause, resume):
        with refused("FAILED_PRECONDITION", "ROTATION_FINISHED") as refusal:
            change(stuck)
        assert refusal[0].metadata == {"state": "DONE"}


@pytest.mark.parametrize(
    ("rotation", "code", "reason"),
    [("0" * 32, "NOT_FOUND", "NOT_FOUND"), ("x", "INVALID_ARGUMENT", "MALFORMED_NAME")],
)
def test_what_is_not_there_is_not_watched(one_worker, rotation, code, reason):
    org = one_worker.new_organization()
    with refused(code, reason):
        next(watch(org.admin, f"{org.name}/rotations/{rotation}"))


def test_a_watcher_whose_grant_is_withdrawn_is_told_nothing_more(one_worker, stuck):
    uri = f"spiffe://keystead.dev/watcher/{stuck.org.id}"
    grant(one_worker, uri, "administrator", stuck.org.id)
    client = stranger(one_worker, uri)
    stream = watch(client, stuck.name)
    assert next(stream).name == stuck.name
    withdraw(one_worker, uri)
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        list(stream)
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        next(watch(client, stuck.name))
    client.channel.close()
    # Nobody else is.
    with watching(stuck):
        pass


# How many.


def retry_after(error: grpc.RpcError) -> float:
    told = RetryInfo()
    details: list[Any] = list(rpc_status.from_call(error).details)
    assert any(detail.Unpack(told) for detail in details)
    return told.retry_delay.seconds + told.retry_delay.nanos / 1e9


def test_one_watcher_too_many_is_told_to_come_again_and_calls_are_still_answered(one_worker, stuck):
    org = stuck.org
    with watching(stuck, MOST) as streams:
        with pytest.raises(grpc.RpcError) as caught:
            next(watch(org.admin, stuck.name))
        refusal = refusal_of(caught.value)
        assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_WATCHERS")
        assert refusal.details == ("ErrorInfo", "RetryInfo")
        assert retry_after(caught.value) == 10
        # Neither administrators nor services wait for those who watch.
        assert stuck.now().name == stuck.name
        org.generate(org.new_kek().name)
        assert one_worker.serves()
        # Who watches goes on watching.
        assert {next(stream).name for stream in streams} == {stuck.name}
        # One that goes frees its place, however it goes.
        streams[0].cancel()
        eventually(lambda: begins(org.admin, stuck.name), "there is a place again")
    with watching(stuck, MOST):
        pass


def begins(client: Client, name: str) -> bool:
    stream = watch(client, name)
    try:
        next(stream)
    except grpc.RpcError as error:
        if refusal_of(error).reason != "TOO_MANY_WATCHERS":
            raise
        return False
    stream.cancel()
    return True


@pytest.mark.parametrize("goes", ["its connection breaks", "the rotation ends", "it is refused", "its time is over"])
def test_every_watcher_that_is_gone_leaves_its_place(one_worker, stuck, goes):
    for _ in range(MOST + 1):
        if goes == "its connection breaks":
            client = one_worker.new_client(f"admin:{stuck.org.id}")
            next(watch(client, stuck.name))
            client.channel.close()
        elif goes == "the rotation ends":
            stuck.mend()
            *_, last = watch(stuck.org.admin, stuck.name)
            assert last.HasField("end_time")
        elif goes == "it is refused":
            with refused("NOT_FOUND", "NOT_FOUND"):
                next(watch(stuck.org.admin, f"{stuck.org.name}/rotations/{'0' * 32}"))
        else:
            request = rotations.WatchRotationRequest(name=stuck.name)
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                list(stuck.org.admin.rotations.WatchRotation(request, timeout=0.05))
    eventually(lambda: begins(stuck.org.admin, stuck.name), "there is a place again")
    stuck.mend()


def test_a_service_that_stops_does_not_wait_for_who_watches(tmp_path):
    with running(tmp_path) as service, stuck_rotation(service.new_organization()) as stuck:
        client = service.new_client(f"admin:{stuck.org.id}")
        stream = watch(client, stuck.name)
        next(stream)
        begun = time.monotonic()
        assert service.stop() == 0
        # Calls in flight would be given ten seconds.
        assert time.monotonic() - begun < 8
        with refused("UNAVAILABLE", "SERVICE_STOPPING") as refusal:
            list(stream)
        assert "RetryInfo" in refusal[0].details
        client.channel.close()
