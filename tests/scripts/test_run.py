"""scripts/run, stop and demo, as a newcomer uses them, in a folder whose name has a space."""

import fcntl
import json
import os
import re
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.service import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def newcomer(new_checkout):
    """A checkout whose service runs."""
    checkout = new_checkout("a check out")
    done = checkout.run("run", "--detach")
    assert f" serving on {checkout.address}\n" in done.stdout
    assert "Stop: scripts/stop" in done.stdout
    assert done.stderr == ""
    return checkout


@pytest.fixture(scope="module")
def checkout(new_checkout):
    """A checkout for tests that start its service and end it."""
    return new_checkout("keystead")


def _mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_service_has_a_supervisor_two_workers_and_a_steward(newcomer):
    assert eventually(lambda: len(newcomer.processes()) == 4, "all processes run")
    assert newcomer.kinds() == ["serve", "steward", "worker", "worker"]


def test_once_it_runs_it_is_not_started_again(newcomer):
    before = newcomer.processes()
    for arguments in ((), ("--detach",)):
        done = newcomer.run("run", *arguments)
        assert done.stdout == "Keystead is running already. scripts/stop ends it.\n"
    assert newcomer.processes() == before


def test_the_demo_plays_the_whole_story(newcomer):
    told = newcomer.run("demo").stdout
    assert told.endswith("\nThe demo is complete.\n")
    assert len(re.findall(r"^\d+\. ", told, re.MULTILINE)) == 15
    assert "the quarterly report" in told
    assert [
        told.count(f"reason: {reason}") for reason in ("WRAPPING_KEY_NOT_USABLE", "WRAPPED_KEY_REJECTED", "FORBIDDEN")
    ] == [1, 1, 1]
    (fingerprint,) = re.findall(r"^SHA2-256\(stdin\)= ([0-9a-f]{64})$", told, re.MULTILINE)
    assert re.search(rf"^fingerprint +{fingerprint}$", told, re.MULTILINE)
    assert "\x1b" not in told


def test_nothing_is_made_but_what_git_ignores(newcomer):
    made = {str(file.relative_to(newcomer.root)) for file in newcomer.root.rglob("*")} - newcomer.given
    outside = [name for name in made if "__pycache__" not in name and not name.startswith((".venv", ".keystead"))]
    assert outside == []
    assert not os.path.lexists("/nonexistent")


def test_secrets_are_their_owners_alone(newcomer):
    home = newcomer.home
    assert [_mode(home / name) for name in ("token", "token/tokens", "pki")] == [0o700] * 3
    secret = [home / "token" / "pin", home / "token" / "so_pin", *(home / "pki").glob("*.key"), *home.glob("*.db*")]
    assert len(secret) >= 5
    assert {file.name: oct(_mode(file)) for file in secret if _mode(file) != 0o600} == {}
    assert _mode(home / "log" / "keystead.log") == 0o600


def test_the_pin_is_in_its_file_and_nowhere_else(newcomer):
    pins = [(newcomer.home / "token" / name).read_bytes().strip() for name in ("pin", "so_pin")]
    assert {len(pin) for pin in pins} == {24}
    processes = newcomer.processes()
    assert len(processes) == 4
    told = [Path(f"/proc/{pid}/{name}") for pid in processes for name in ("cmdline", "environ")]
    files = [file for file in newcomer.home.rglob("*") if file.is_file() and file.name not in ("pin", "so_pin")]
    assert newcomer.home / "log" / "keystead.log" in files
    assert newcomer.home / "log" / "setup.log" in files
    contents = {place: place.read_bytes() for place in [*told, *files]}
    assert all(contents[place] for place in told)
    assert [place for place, content in contents.items() if any(pin in content for pin in pins)] == []


def test_the_log_is_json_and_without_faults(newcomer):
    events = [json.loads(line) for line in newcomer.log().splitlines()]
    assert {event["event"] for event in events} >= {"started", "health"}
    assert [event for event in events if event["level"] in ("error", "critical")] == []


def test_a_service_that_is_stopped_says_so_once(checkout):
    assert checkout.run("stop").stdout == "Keystead is not running.\n"
    done = checkout.run("demo", status=1)
    assert done.stdout == "keystead: the service is not running. Start it with: scripts/run --detach\n"
    checkout.run("run", "--detach")
    checkout.run("stop", "--check")
    assert checkout.run("stop").stdout == "Keystead is stopped.\n"
    assert checkout.processes() == {}
    assert checkout.run("stop").stdout == "Keystead is not running.\n"
    checkout.run("stop", "--check", status=1)


def test_a_process_id_that_is_left_over_is_passed_over(checkout):
    checkout.run("bootstrap")
    gone = subprocess.Popen(["true"])
    gone.wait()
    for pid in (str(gone.pid), str(os.getpid()), ""):
        (checkout.home / "keystead.pid").write_text(pid)
        done = checkout.run("stop")
        assert (done.stdout, done.stderr) == ("Keystead is not running.\n", "")


def test_of_two_that_start_it_one_does(checkout):
    checkout.run("bootstrap")
    with (checkout.home / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        both = [checkout.start("run", "--detach") for _ in range(2)]
        inode = f":{(checkout.home / 'run.lock').stat().st_ino} "
        eventually(lambda: _waiting_for(inode) == 2, "both are about to start it")
    told = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(f" serving on {checkout.address}\n" in it for it in told) == [False, True], told
    assert sorted("Keystead is running already. scripts/stop ends it.\n" in it for it in told) == [False, True], told
    assert checkout.kinds().count("serve") == 1
    checkout.run("stop")


def _waiting_for(inode: str) -> int:
    # A line of those who wait: "1: -> FLOCK  ADVISORY  WRITE 4711 08:01:17 0 EOF".
    return sum("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


@pytest.mark.slow
def test_a_service_that_was_killed_is_started_again_when_its_processes_are_gone(checkout):
    checkout.run("run", "--detach")
    eventually(lambda: len(checkout.processes()) == 4, "all processes run")
    before = checkout.processes()
    pids = {kind: pid for pid, kind in before.items()}
    os.kill(pids["worker"], signal.SIGSTOP)  # It cannot end, and holds the address.
    os.kill(pids["serve"], signal.SIGKILL)
    again = checkout.start("run", "--detach")
    try:
        eventually(lambda: again.poll() is not None or checkout.is_waiting_for_orphans(), "it waits")
        assert again.poll() is None, again.communicate()[0]
    finally:
        os.kill(pids["worker"], signal.SIGCONT)
    assert f" serving on {checkout.address}\n" in again.communicate()[0]
    assert again.returncode == 0
    assert not before.keys() & checkout.processes().keys()
    checkout.run("stop")


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_foreground_a_signal_ends_it(checkout, ended_by):
    process = checkout.start("run")
    told = ""
    while "Stop: Ctrl-C" not in told:
        line = process.stdout.readline()
        assert line, told
        told += line
    if ended_by == signal.SIGINT:
        os.killpg(process.pid, ended_by)  # As a terminal does: to every process in the foreground.
    else:
        os.kill(process.pid, ended_by)
    told += process.communicate()[0]
    assert process.returncode == 0, told
    assert told.endswith("\nKeystead is stopped.\n")
    assert checkout.processes() == {}


def test_in_the_foreground_the_end_of_the_service_is_told(checkout):
    process = checkout.start("run")
    told = ""
    while "Stop: Ctrl-C" not in told:
        told += process.stdout.readline()
    (supervisor,) = [pid for pid, kind in checkout.processes().items() if kind == "serve"]
    os.kill(supervisor, signal.SIGKILL)
    told = process.communicate()[0]
    assert process.returncode == 128 + signal.SIGKILL
    assert "Keystead ended with status 137; its log is .keystead/log/keystead.log\n" in told


def test_an_address_that_is_taken_is_told(checkout):
    host, port = checkout.address.split(":")
    with socket.create_server((host, int(port))):
        done = checkout.run("run", "--detach", status=78)
    assert done.stdout.endswith("failed\n")
    assert f"keystead: {checkout.address} cannot be listened on" in done.stderr
    assert "Is Keystead running already?" in done.stderr
    assert checkout.processes() == {}


def test_settings_that_are_broken_are_told_in_one_line(checkout):
    config = checkout.home / "keystead.toml"
    good = config.read_text()
    config.write_text(good.replace("[server]", "[server"))
    try:
        done = checkout.run("run", "--detach", status=78)
    finally:
        config.write_text(good)
    assert done.stderr.splitlines() == [
        "keystead: .keystead/keystead.toml: Expected ']' at the end of a table declaration (at line 3, column 8)",
        "keystead: the service ended with status 78; its log is .keystead/log/keystead.log",
    ]


def test_a_pin_that_others_may_read_is_told(checkout):
    pin = checkout.home / "token" / "pin"
    pin.chmod(0o644)
    try:
        done = checkout.run("run", "--detach", status=78)
    finally:
        pin.chmod(0o600)
    assert f"keystead: Others may read {pin}. Do: chmod 600 {pin}\n" in done.stderr
    assert pin.read_text().strip() not in done.stderr


@pytest.mark.slow
def test_a_checkout_that_was_moved_still_works(new_checkout):
    checkout = new_checkout("first place")
    checkout.run("run", "--detach")
    me = 'export PATH="$PWD/.venv/bin:$PATH"; eval "$(keystead dev env --as operator)"; '
    checkout.bash(me + "keystead organizations create acme")
    checkout.run("stop")
    checkout.root = checkout.root.rename(checkout.root.with_name("another place"))
    checkout.home = checkout.root / ".keystead"
    checkout.borrow()
    checkout.run("run", "--detach")
    assert "\nacme " in checkout.bash(me + "keystead organizations list").stdout


@pytest.mark.parametrize("script", ["run", "stop", "bootstrap"])
def test_an_argument_that_is_unknown_is_told(checkout, script):
    done = checkout.run(script, "--detatch", status=1)
    assert done.stderr.startswith(f"keystead: usage: scripts/{script} [--")


def test_scripts_are_shell_scripts_that_parse(checkout):
    scripts = [file for file in (checkout.root / "scripts").rglob("*") if file.is_file() and not file.suffix]
    assert len(scripts) >= 8
    for script in scripts:
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", script], check=True)
