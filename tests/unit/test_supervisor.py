"""The supervisor's children: loaded ahead, released, and tried again."""

import sys
import time

import pytest

from server.supervisor import EX_CONFIG, EX_TEMPFAIL, _Child, _end, _tend
from tests.support.service import eventually
from tests.support.token import ROOT

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from server.supervisor import await_release
folder = Path(sys.argv[2])
(folder / "loaded").touch()
await_release()
(folder / "begun").touch()
sys.exit(7)
"""


class Nobody:
    """Nobody wants to know how the processes fare."""

    def environment(self, _process):
        return {}

    def started(self, process):
        pass

    def ended(self, process, status):
        pass


def child_of(name, command):
    return _Child(name, command, Nobody())


@pytest.fixture
def child(tmp_path):
    child = child_of("child", [sys.executable, "-c", PROGRAM, str(ROOT), str(tmp_path)])
    yield child
    _end([child])


def test_a_process_that_is_loaded_begins_when_it_is_released(child, tmp_path):
    child.load()
    eventually((tmp_path / "loaded").exists, "it is loaded")
    assert not child.runs
    assert not (tmp_path / "begun").exists()
    child.start()
    assert child.runs
    assert eventually(child.ended, "it ends") == 7
    assert (tmp_path / "begun").exists()


def test_a_process_that_was_not_loaded_begins_at_once(child, tmp_path):
    child.start()
    assert eventually(child.ended, "it ends") == 7
    assert (tmp_path / "begun").exists()


def test_a_process_that_is_not_wanted_any_more_ends_without_having_begun(child, tmp_path):
    child.load()
    process = child.process
    eventually((tmp_path / "loaded").exists, "it is loaded")
    process.stdin.close()
    assert process.wait(20) == EX_TEMPFAIL
    assert not (tmp_path / "begun").exists()


def test_what_ends_again_and_again_is_started_after_longer_pauses():
    child = child_of("child", ["false"])
    pauses = []
    for _ in range(8):
        pauses.append(child.pause)
        child.start()
        eventually(child.ended, "it ends", interval=0.01)
        assert child.not_before > time.monotonic() + child.pause / 4
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_one_that_ends_again_and_again_does_not_stop_another():
    child = child_of("child", ["false"])
    steady = child_of("steady", ["sleep", "60"])
    starts = set()

    def tended() -> bool:
        assert (_tend(child, is_start=True), _tend(steady, is_start=True)) == (0, 0)
        if child.process:
            starts.add(child.process.pid)
        return len(starts) == 3

    try:
        assert _tend(steady, is_start=True) == 0
        before = steady.process
        eventually(tended, "it is started three times", interval=0.01)
        assert steady.process is before
        assert before.poll() is None
    finally:
        _end([child, steady])


@pytest.mark.parametrize(("is_start", "ends_all"), [(True, True), (False, False)])
def test_a_fault_that_the_operator_must_mend_ends_everything_at_the_start_alone(is_start, ends_all):
    child = child_of("child", [sys.executable, "-c", f"raise SystemExit({EX_CONFIG})"])
    child.start()
    child.process.wait(20)
    assert _tend(child, is_start=is_start) == (EX_CONFIG if ends_all else 0)


def test_a_process_that_cannot_be_started_is_tried_again_later(tmp_path):
    child = child_of("child", [str(tmp_path / "nothing")])
    child.start()
    assert not child.runs
    assert child.not_before > time.monotonic()
    assert child.ended() is None
