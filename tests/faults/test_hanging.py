"""A call that does not return: others are refused at once, and in the end the process gives up."""

import ctypes
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest

from hsm_adapter import HsmHangsError, Patience, watchdog
from hsm_adapter.constants import Rv
from tests.support.service import eventually

LONG = timedelta(minutes=1)
SHORT = timedelta(milliseconds=100)


@contextmanager
def hanging(token, shim):
    """Have a thread that hangs in the library for a block."""
    shim.hang("C_GenerateRandom")
    thread = threading.Thread(target=token.random, args=(8,))
    thread.start()
    try:
        yield
    finally:
        shim.release()
        thread.join(10)
        assert not thread.is_alive()


def refuses(token) -> bool:
    try:
        token.check()
    except HsmHangsError:
        return True
    return False


def told(caplog):
    return [record for record in caplog.records if record.name == "hsm_adapter.watchdog"]


def test_while_a_call_hangs_others_are_refused_and_when_it_returns_they_are_not(token, shim, caplog):
    given_up = threading.Event()
    with watchdog.watched(Patience(SHORT, LONG), given_up.set):
        with hanging(token, shim):
            eventually(lambda: refuses(token), "the breaker opens")
            before = len(shim.calls_file.read_text())
            with pytest.raises(HsmHangsError, match="C_GenerateRandom does not return"):
                token.random(8)
            assert len(shim.calls_file.read_text()) == before
        token.random(8)
        eventually(lambda: len(told(caplog)) == 2, "the watchdog sees that it has returned")
    assert not given_up.is_set()
    hangs, answers = told(caplog)
    assert (hangs.msg, hangs.function, answers.msg) == ("token_hangs", "C_GenerateRandom", "token_answers_again")


def test_who_has_hung_is_not_refused_what_it_asks_next(token, shim):
    with watchdog.watched(Patience(SHORT, LONG), pytest.fail):
        for _ in range(5):
            shim.hang("C_GenerateRandom")
            with ThreadPoolExecutor(1) as threads:
                asked = threads.submit(lambda: (token.random(8), token.random(8)))
                eventually(lambda: refuses(token), "the breaker opens")
                shim.release()
                assert len(asked.result(10)) == 2


def test_a_call_that_hangs_for_too_long_ends_the_process(token, shim):
    given_up = threading.Event()
    with watchdog.watched(Patience(SHORT, 2 * SHORT), given_up.set), hanging(token, shim):
        assert given_up.wait(10)


def test_calls_that_return_are_not_held_to_hang(token, shim):
    given_up = threading.Event()
    shim.fail("C_GenerateRandom", Rv.SESSION_CLOSED)
    with watchdog.watched(Patience(SHORT, 2 * SHORT), given_up.set):
        end = time.monotonic() + 5 * SHORT.total_seconds()
        while time.monotonic() < end:
            token.random(8)
    assert not given_up.is_set()
    assert watchdog.calls == {}


def test_a_call_that_is_asked_wrongly_does_not_stay_under_way(token):
    with pytest.raises(ctypes.ArgumentError):
        token._cryptoki.call("C_GenerateRandom", "no session", None, 0)
    assert watchdog.calls == {}
