"""Malformed requests to every rpc of a running service: each is answered as the contract says, and harms nothing.

The methods and their messages are found in the descriptors: a new one is tried without a line here.
"""

import json
import os
from itertools import islice

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from keystead.v1 import rotation_service_pb2 as rotations

from server.domain.roles import ALLOWED, Operation, Role
from server.grpc_api.server import SERVICES
from tests.docs.errors import REASONS
from tests.support.every_rpc import METHODS, request_for
from tests.support.footprint import MIB, Footprint
from tests.support.made_messages import MessageMaker
from tests.support.service import Refusal, eventually, refusal_of, refusal_told, running

pytestmark = pytest.mark.slow

few = settings(
    max_examples=16,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),  # To shrink an example takes minutes, when each is a call.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
)
ROOM = 64 * MIB
"""What the worker may grow by."""
ANSWERS = 3
"""Of a stream of batches as many are looked at, and of one that only answers the first."""
OURS = REASONS - {"INTERNAL"}
KINDS_OF_FAULTS = ("Traceback", "Error(", "Exception", "object at 0x", 'File "', "site-packages")
"""What no message for people says."""


class World:
    """A service, with organisations that may be harmed and one that must not be."""

    def __init__(self, service):
        self.service = service
        self.harmed, self.kept = service.new_organization("harmed"), service.new_organization("kept")
        kek = self.kept.new_kek().name
        (self.content_key,) = self.kept.generate(kek)
        main_key = self.harmed.bring()
        listed = self.harmed.admin.rotations.ListRotations(rotations.ListRotationsRequest(parent=self.harmed.name))
        names = {
            "WrappingKey": self.harmed.wrapping_key().name,
            "MainKey": main_key.name,
            "Rotation": listed.rotations[0].name,
        }
        self.makers = {
            self.harmed: self.maker(self.harmed, names),
            self.kept: self.maker(self.kept, {"Kek": kek}),
        }
        self.processes = self.pids()
        (self.worker,) = service.pids("worker")
        self.resident = Footprint.of(self.worker).resident

    def pids(self):
        return self.service.supervisor, self.service.pids("worker"), self.service.pids("steward")

    def maker(self, org, names):
        known = {f"keystead.dev/{kind}": name for kind, name in names.items()}
        return MessageMaker(org.name, known, self.content_key.wrapped)

    def organization(self, method):
        """The one that requests of a method are about."""
        return self.kept if Role.SERVICE in ALLOWED[Operation(method.name)] else self.harmed

    def caller(self, method):
        """A client that may call a method."""
        allowed = ALLOWED[Operation(method.name)]
        if Role.SERVICE in allowed:
            return self.kept.user
        return self.harmed.admin if Role.ADMINISTRATOR in allowed else self.service.client("operator")

    def send(self, method, *requests: bytes) -> list[Message]:
        """Send these bytes as requests of a method; return its answers, or none if it was refused as is documented."""
        shape = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        call = getattr(self.caller(method).channel, shape)(f"/{method.containing_service.full_name}/{method.name}")
        answer_type = message_factory.GetMessageClass(method.output_type)
        try:
            answers = call(iter(requests) if method.client_streaming else requests[0], timeout=20)
            if not method.server_streaming:
                return checked([answer_type.FromString(answers)])
            taken = list(map(answer_type.FromString, islice(answers, ANSWERS if method.client_streaming else 1)))
            answers.cancel()
            return checked(taken)
        except grpc.RpcError as error:
            demand_ours(refusal_of(error))
            return []

    def bad_lines(self):
        lines = [json.loads(line) for line in self.service.log.read_text().splitlines()]
        return [it for it in lines if it["level"] in {"error", "critical"} or it["event"] == "library_wrote"]


def checked(answers: list[Message]) -> list[Message]:
    """Return answers, all of whose items are answered as is documented."""
    for answer in answers:
        for status in statuses_in(answer):
            demand_ours(refusal_told(status))
    return answers


def statuses_in(message: Message) -> list[Status]:
    if isinstance(message, Status):
        return [message]
    found = []
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            found += [it for part in (value if field.is_repeated else [value]) for it in statuses_in(part)]
    return found


def demand_ours(refusal: Refusal) -> None:
    assert refusal.reason in OURS, refusal
    assert "ErrorInfo" in refusal.details
    assert not any(it in refusal.message for it in KINDS_OF_FAULTS), refusal
    assert refusal.message.isprintable(), refusal


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running(tmp_path_factory.mktemp("fuzzed"), SERVER__WORKERS="1") as service:
        yield World(service)


@pytest.fixture(autouse=True)
def unharmed(world):
    yield
    assert world.pids() == world.processes
    assert world.bad_lines() == []


def test_all_methods_of_the_contract_are_tried():
    assert {method.containing_service.full_name for method in METHODS.values()} == set(SERVICES)


@pytest.mark.parametrize("name", METHODS)
def test_bytes_that_are_no_message(world, name):
    @few
    @given(st.binary(max_size=200))
    @example(b"\xff" * 50)
    @example(b"\x0b" * 5000)
    @example(b"\x0a\xff\xff\xff\xff\x07")
    @example(b"\x0a\x02\xc3\x28")
    def send(request):
        world.send(METHODS[name], request)

    send()


@pytest.mark.parametrize("name", METHODS)
def test_a_good_message_that_was_cut_or_changed(world, name):
    method = METHODS[name]
    good = request_for(method.input_type, world.organization(method).id).SerializeToString()

    @few
    @given(st.integers(0, len(good)), st.integers(0, max(0, 8 * len(good) - 1)))
    def send(size, bit):
        world.send(method, good[:size])
        changed = int.from_bytes(good) ^ (1 << bit)
        world.send(method, changed.to_bytes(len(good)) if good else b"\0")

    send()


@pytest.mark.parametrize("name", METHODS)
def test_fields_of_any_value(world, name):
    method = METHODS[name]

    @few
    @given(st.lists(world.makers[world.organization(method)].requests(method.input_type), min_size=1, max_size=3))
    def send(requests):
        world.send(method, *[it.sent for it in requests])

    send()


def test_after_all_that_it_serves_as_before_and_has_not_grown(world):
    assert world.kept.unwrap(world.content_key.wrapped).plaintext == world.content_key.plaintext
    fresh = world.service.new_organization("fresh")
    first = fresh.bring()
    kek = fresh.new_kek().name
    (made,) = fresh.generate(kek)
    fresh.bring(os.urandom(32))
    fresh.await_state(first.name, "RETIRED")
    assert fresh.unwrap(made.wrapped).plaintext == made.plaintext
    eventually(lambda: Footprint.of(world.worker).resident - world.resident < ROOM, "it takes no more memory than that")
