"""The id of a call, and the lines of the log that carry it."""

import contextvars
import io
import json
import logging
import sys

import pytest

from server.observability import logging as ours
from server.observability.current_call import begin_call, current_call


@pytest.fixture
def log(monkeypatch):
    """Return what is logged in a block, as the service logs it."""
    written = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", written)
        root.handlers = []
        ours.configure("worker-1")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:], root.level = before


def in_a_call(metadata, work):
    def run():
        begin_call(metadata)
        return work()

    return contextvars.Context().run(run)


def id_of(*metadata):
    return in_a_call(metadata, lambda: current_call().id)


@pytest.mark.parametrize("given", ["a", "0", "6f9b2c1e-1111-4222-8333-444455556666", "a.b_c:d-e", "x" * 64])
def test_a_caller_may_name_its_call(given):
    assert id_of(("user-agent", "x"), ("x-request-id", given)) == given


@pytest.mark.parametrize("given", ["", "x" * 65, "-a", "a b", 'a"b', "a\nb", "\u00e4", b"raw", "../x", "a;b"])
def test_a_name_that_is_not_well_formed_is_replaced(given):
    made = id_of(("x-request-id", given))
    assert made != given
    assert made


def test_two_names_are_none():
    assert id_of(("x-request-id", "one"), ("x-request-id", "two")) not in {"one", "two"}


def test_ids_that_are_made_differ():
    assert len({id_of() for _ in range(1000)}) == 1000


def test_the_id_of_a_call_stays_what_it_is():
    first, second = in_a_call((), lambda: (current_call().id, current_call().id))
    assert first == second


def test_a_line_of_a_call_carries_its_id_and_other_lines_carry_none(log):
    in_a_call((("x-request-id", "mine"),), lambda: logging.getLogger("server.x").info("something"))
    logging.getLogger("server.x").info("something_else")
    of_the_call, of_nobody = log()
    assert (of_the_call["event"], of_the_call["call_id"], of_the_call["process"]) == ("something", "mine", "worker-1")
    assert "call_id" not in of_nobody


def test_lines_are_counted_by_level_and_event_and_those_of_others_together(log):
    def counted(level, event):
        return ours.log_events.samples()["keystead_log_events_total"].get((level, event), 0)

    before = counted("warning", "something"), counted("warning", "other")
    logging.getLogger("server.x").warning("something")
    logging.getLogger("server.x").warning("Not the name of an event: %s", "x")
    logging.getLogger("grpc").warning("something")
    assert len(log()) == 3
    assert (counted("warning", "something"), counted("warning", "other")) == (before[0] + 1, before[1] + 2)


def test_bytes_and_the_messages_of_errors_never_reach_the_log(log):
    secret = b"0123456789abcdef"
    try:
        int(secret)
    except ValueError:
        logging.getLogger("server.x").exception("failed", extra={"a": secret, "b": {"c": [bytearray(secret)]}})
    (line,) = log()
    assert (line["a"], line["b"], line["error"]) == ("<16 bytes>", {"c": ["<16 bytes>"]}, "ValueError")
    assert secret.decode() not in json.dumps(line)
