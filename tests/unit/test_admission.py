"""Turns at the token: how many wait, for how long, and for whom nothing is begun."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import grpc
import pytest

from server.domain.errors import CallerGoneError, OverloadedError, TokenExhaustedError, TokenHangsError
from server.grpc_api import admission
from server.grpc_api.admission import Admission, WaitingCaller

METHOD = "/tests.Waiting/Wait"


class Calls(grpc.GenericRpcHandler):
    """A server whose calls are answered by `answer`."""

    def __init__(self) -> None:
        self.answer = lambda _caller: None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        assert handler_call_details.method == METHOD

        def answered(_request: bytes, context: grpc.ServicerContext) -> bytes:
            self.answer(WaitingCaller(context))
            return b""

        return grpc.unary_unary_rpc_method_handler(answered)


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def call(calls):
    server = grpc.server(ThreadPoolExecutor(4), handlers=(calls,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.unary_unary(METHOD)
    server.stop(None).wait()


def answers() -> None:
    """The token does."""


class Caller(WaitingCaller):
    """One that waits for so many seconds."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._hung_up = False
        self._deadline = admission.time.monotonic() + seconds


@contextmanager
def turn(turns: Admission, caller: Caller):
    """Have a place for a block."""
    turns.enter(caller)
    try:
        yield
    finally:
        turns.leave()


def test_a_caller_is_waited_for_as_long_as_it_says(calls, call):
    seen: list[float] = []
    calls.answer = lambda caller: seen.append(caller.seconds_left()) or caller.demand()
    call(b"", timeout=50)
    call(b"")
    assert 40 < seen[0] < 51  # gRPC rounds.
    assert seen[1] > 1e6


def test_a_caller_that_hangs_up_is_known_to_be_gone(calls, call):
    arrived, gone = threading.Event(), threading.Event()

    def look(caller: WaitingCaller) -> None:
        arrived.set()
        while not gone.is_set():
            try:
                caller.demand()
            except CallerGoneError:
                gone.set()

    calls.answer = look
    future = call.future(b"")
    assert arrived.wait(10)
    future.cancel()
    assert gone.wait(10)


def test_more_than_may_wait_are_refused_at_once():
    turns = Admission(2, 0, answers)
    with ExitStack() as kept:
        for _ in range(2):
            kept.enter_context(turn(turns, Caller()))
        with pytest.raises(OverloadedError), turn(turns, Caller()):
            pass
    with turn(turns, Caller()):
        pass


def test_nobody_waits_for_ever(monkeypatch):
    monkeypatch.setattr(admission, "_PATIENCE", 0.05)
    turns = Admission(1, 1, answers)
    with turn(turns, Caller()), pytest.raises(TokenExhaustedError), turn(turns, Caller()):
        pass


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_nobody_waits_for_longer_than_its_own_deadline(seconds):
    turns = Admission(1, 1, answers)
    with turn(turns, Caller()), pytest.raises(CallerGoneError), turn(turns, Caller(seconds)):
        pass
    with turn(turns, Caller()):
        pass


def test_what_comes_too_late_is_not_begun_though_there_is_a_place():
    turns = Admission(1, 0, answers)
    with pytest.raises(CallerGoneError), turn(turns, Caller(0.0)):
        pass
    with turn(turns, Caller()):
        pass


def test_while_a_call_hangs_nobody_waits():
    def hangs() -> None:
        raise TokenHangsError

    with pytest.raises(TokenHangsError), turn(Admission(1, 1, hangs), Caller()):
        pass


def test_who_waits_gets_the_place_that_is_given_back():
    turns = Admission(1, 1, answers)
    has_turn = threading.Event()

    def take() -> None:
        with turn(turns, Caller()):
            has_turn.set()

    with turn(turns, Caller()):
        thread = threading.Thread(target=take)
        thread.start()
        assert not has_turn.wait(0.1)
    thread.join(10)
    assert has_turn.is_set()
