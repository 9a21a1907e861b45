"""A rotation is watched: on a terminal, down a pipe, by a program; held, and let go on."""

import json
import os
import re
import signal

import pytest
from keystead.v1 import rotation_service_pb2 as rotations

from tests.support.service import Organization, eventually, running
from tests.support.stuck import stuck_rotation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    """A service whose one worker has all the watchers, and may be killed."""
    with running(tmp_path_factory.mktemp("watched"), SERVER__WORKERS="1") as service:
        yield service


def test_a_bar_on_a_terminal_fills_until_the_rotation_ends(admin, org):
    with stuck_rotation(org) as stuck, admin.at_terminal("rotations", "watch", org.id) as terminal:
        terminal.reads("RUNNING")
        terminal.reads("2/3, 1 failed")
        assert "━" in terminal.shown
        admin.says("rotations", "pause", org.id, stuck.name)
        terminal.reads("PAUSED")
        admin.says("rotations", "resume", org.id, stuck.name)
        stuck.mend()
        assert terminal.ends() == 0
    assert "DONE" in terminal.shown
    assert "3/3, 0 failed" in terminal.shown
    assert re.search(r"KEKs re-wrapped: 3, in \d+\.\d s\.\n$", terminal.shown)
    # The cursor is given back.
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l")


@pytest.mark.parametrize("columns", [40, 200])
def test_the_bar_fits_into_its_line(admin, org, columns):
    with stuck_rotation(org) as stuck, admin.at_terminal("rotations", "watch", org.id, columns=columns) as terminal:
        terminal.reads("2/3, 1 failed")
        stuck.mend()
        assert terminal.ends() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.shown)
    assert max(len(line) for line in re.split(r"[\r\n]", plain)) <= columns


def test_down_a_pipe_there_is_a_line_at_each_change(admin, org):
    with stuck_rotation(org) as stuck:
        rotation = stuck.name.rpartition("/")[2]
        with admin.starts("rotations", "watch", org.id, rotation) as watcher:
            assert watcher.stdout.readline().startswith("RUNNING 2/3, 1 failed")
            admin.says("rotations", "pause", org.id, stuck.name)
            assert watcher.stdout.readline() == "PAUSED 2/3, 1 failed\n"
            admin.says("rotations", "resume", org.id, stuck.name)
            assert watcher.stdout.readline().startswith("RUNNING 2/3, 1 failed")
            stuck.mend()
            *_, done, last = watcher.stdout.read().splitlines()
            assert done.startswith("DONE 3/3, 0 failed")
            assert last.startswith("KEKs re-wrapped: 3, in ")
            assert (watcher.wait(30), watcher.stderr.read()) == (0, "")


def test_a_program_gets_an_object_a_line(admin, org):
    with stuck_rotation(org) as stuck, admin.starts("rotations", "watch", org.id, "--json") as watcher:
        first, second = (json.loads(watcher.stdout.readline()) for _ in range(2))
        # Nothing has changed: it comes again all the same.
        assert first == second
        assert (first["name"], first["state"], first["done_count"]) == (stuck.name, "RUNNING", 2)
        assert first["failed_keks"] == [f"{org.name}/keks/{stuck.damaged}"]
        stuck.mend()
        last = json.loads(watcher.stdout.read().splitlines()[-1])
        assert (last["state"], last["done_count"], last["failed_count"]) == ("DONE", 3, 0)
        assert (watcher.wait(30), watcher.stderr.read()) == (0, "")


def test_the_newest_that_has_not_ended_is_watched(admin, org):
    with stuck_rotation(org) as older:
        newer = org.bring().name
        org.await_state(older.to_main_key.name, "RETIRED")
        with admin.starts("rotations", "watch", org.id, "--json") as watcher:
            seen = json.loads(watcher.stdout.readline())
            assert (seen["name"], seen["to_main_key"]) == (older.name, newer)
            older.mend()
            watcher.stdout.read()
            assert watcher.wait(30) == 0


def test_what_has_ended_is_told_at_once(admin, org):
    done = admin.keystead("rotations", "watch", org.id)
    assert (done.stdout, done.stderr) == ("", "No rotation is under way.\n")
    org.bring()
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
    name = admin.json("rotations", "list", org.id)["rotations"][0]["name"]
    told = admin.says("rotations", "watch", org.id, name).splitlines()
    assert told[0] == "DONE 0/0, 0 failed"
    assert told[1].startswith("KEKs re-wrapped: 0, in ")
    done = admin.keystead("rotations", "watch", org.id)
    assert done.stderr == "No rotation is under way. This is the newest:\n"
    assert done.stdout.splitlines() == told
    with admin.at_terminal("rotations", "watch", org.id, name) as terminal:
        assert terminal.ends() == 0
    assert "DONE" in terminal.shown


def test_a_rotation_whose_key_came_back_is_cancelled(admin, org):
    with stuck_rotation(org) as stuck, admin.starts("rotations", "watch", org.id, stuck.name) as watcher:
        watcher.stdout.readline()
        admin.says("organizations", "disable-byok", org.id, "--yes")
        *_, state, last = watcher.stdout.read().splitlines()
        assert state == "CANCELLED 2/3, 0 failed"
        assert last == "The replaced key was put in charge again. KEKs re-wrapped until then: 2."
        assert watcher.wait(30) == 0
        stuck.mend()


def test_whoever_stops_watching_stops_nothing(admin, org):
    with stuck_rotation(org) as stuck, admin.starts("rotations", "watch", org.id) as watcher:
        watcher.stdout.readline()
        watcher.send_signal(signal.SIGINT)
        assert (watcher.wait(30), watcher.stderr.read()) == (
            130,
            "The rotation goes on; nobody is watching any more.\n",
        )
        stuck.mend()
        org.await_state(f"{org.name}/mainKeys/common", "RETIRED")


@pytest.mark.parametrize(("rotation", "reason"), [("0" * 32, "NOT_FOUND"), ("x", "MALFORMED_NAME")])
def test_what_is_not_there_is_told(admin, org, rotation, reason):
    assert f"  reason: {reason}\n" in admin.is_told("rotations", "watch", org.id, rotation, status=1)


def test_what_has_ended_is_neither_paused_nor_resumed(admin, org):
    org.bring()
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
    name = admin.json("rotations", "list", org.id)["rotations"][0]["name"]
    for verb in ("pause", "resume"):
        assert "  reason: ROTATION_FINISHED\n" in admin.is_told("rotations", verb, org.id, name, status=1)


# A service that is busy, or dies.


def someone(person, service, org: Organization):
    admin = person(f"admin:{org.id}")
    admin.environment = {**service.environment(), **service.identity(f"admin:{org.id}")}
    return admin


def test_without_room_for_one_more_stream_the_service_is_polled(one_worker, person):
    org = one_worker.new_organization()
    admin = someone(person, one_worker, org)
    with stuck_rotation(org) as stuck:
        streams = [
            org.admin.rotations.WatchRotation(rotations.WatchRotationRequest(name=stuck.name)) for _ in range(64)
        ]
        for stream in streams:
            next(stream)
        with admin.starts("rotations", "watch", org.id, "--json") as watcher:
            for _ in range(3):
                assert json.loads(watcher.stdout.readline())["state"] == "RUNNING"
            stuck.mend()
            assert json.loads(watcher.stdout.read().splitlines()[-1])["state"] == "DONE"
            assert (watcher.wait(30), watcher.stderr.read()) == (0, "")


def test_a_watcher_outlives_the_process_that_it_asked(one_worker, person):
    org = one_worker.new_organization()
    admin = someone(person, one_worker, org)
    with stuck_rotation(org) as stuck, admin.starts("rotations", "watch", org.id) as watcher:
        assert watcher.stdout.readline().startswith("RUNNING")
        (pid,) = one_worker.pids("worker")
        os.kill(pid, signal.SIGKILL)
        eventually(one_worker.serves, "another worker serves")
        stuck.mend()
        assert "DONE 3/3" in watcher.stdout.read()
        assert (watcher.wait(30), watcher.stderr.read()) == (0, "")
