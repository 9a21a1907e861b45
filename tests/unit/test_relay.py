"""What processes write to standard error becomes lines of the log, and lines of the log stay what they are."""

import io
import logging
import sys

import pytest

from server.observability.relay import relay


@pytest.fixture
def passed(monkeypatch, caplog):
    """Return what becomes of bytes that a process writes: what is passed on, and what is logged."""
    caplog.set_level(logging.INFO)

    def run(written: bytes):
        out = io.TextIOWrapper(io.BytesIO())
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", out)
            relay("worker-1", io.BytesIO(written)).join(10)
        own = [it for it in caplog.records if it.name == "server.observability.relay"]
        told = [(it.levelname, it.msg, it.child, it.text) for it in own]
        caplog.clear()
        return out.buffer.getvalue(), told

    return run


def test_lines_of_the_log_and_last_words_to_people_pass_as_they_are(passed):
    written = b'{"event": "health"}\nkeystead: The PIN is wrong.\n'
    assert passed(written) == (written, [])


def test_a_line_of_grpcs_core_becomes_one_of_the_log(passed):
    written = b"I1125 04:02:14.732627   30330 ssl_transport_security.cc:2563] Handshake failed with error X\n"
    assert passed(written) == (b"", [("INFO", "handshake_failed", "worker-1", "Handshake failed with error X")])
    written = b"E1125 04:02:14.732627   30330 server.cc:12] No address\n"
    assert passed(written) == (b"", [("ERROR", "library_wrote", "worker-1", "No address")])


def test_whatever_else_is_written_becomes_a_warning(passed):
    written = b"Fatal Python error: Segmentation fault\n\xff\xfe\nwithout an end"
    told = ["Fatal Python error: Segmentation fault", "\\xff\\xfe", "without an end"]
    assert passed(written) == (b"", [("WARNING", "library_wrote", "worker-1", it) for it in told])


def test_a_line_without_end_does_not_fill_the_memory(passed):
    _, told = passed(b"x" * 200_000)
    assert [len(text) for *_, text in told] == [65536, 65536, 65536, 200_000 - 3 * 65536]
