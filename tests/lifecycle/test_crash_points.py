"""kill -9 between every pair of steps of every change: the next start converges; nothing is lost or left over."""

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from server.domain.errors import KeysteadError
from tests.support.crash_scenarios import ORG, SCENARIOS, nothing
from tests.support.token import ROOT
from tests.support.world import opened
from tests.support.world import prepare as prepare_folder

POINTS = [
    pytest.param(scenario, number, id=f"{scenario}-after-{number}-{name}")
    for scenario, (_, _, steps) in SCENARIOS.items()
    for number, name in enumerate(steps, 1)
]

LIMBO = {
    "delete": {"ORGANIZATION_LOCKED"},
    "purge": {"ORGANIZATION_LOCKED"},
    "recover": {"ORGANIZATION_LOCKED", "works"},
}
"""Whether content can be read between the crash and the repeat, where it is not "works"."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a folder in which a scenario is prepared; scenarios that begin alike share it."""
    made = {}

    def prepare(scenario):
        before, _, _ = SCENARIOS[scenario]
        if before not in made:
            folder = tmp_path_factory.mktemp("prepared")
            prepare_folder(folder)
            if before is not nothing:
                with opened(folder) as world:
                    before(world, folder)
            made[before] = folder
        return made[before]

    return prepare


@pytest.fixture
def copied(prepared, tmp_path):
    """Return a folder of this test's own in which a scenario is prepared."""
    return lambda scenario: shutil.copytree(prepared(scenario), tmp_path / "copy")


@pytest.fixture(scope="module")
def run():
    """Make a change in a process of its own; return its exit status and its steps."""
    command = [sys.executable, "-m", "tests.support.crash_scenarios"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as parent:

        def run(folder, scenario, step):
            parent.stdin.write(json.dumps([str(folder), scenario, step]) + "\n")
            parent.stdin.flush()
            return json.loads(parent.stdout.readline())

        yield run
    assert parent.returncode == 0


def content(world, folder):
    """Return whether the content key made before unwraps; it must unwrap to what it was."""
    kept = (folder / "content_key").read_bytes()
    try:
        (result,) = world.do.unwrap_content_keys(world.user(ORG), ORG, [(kept[32:], {})])
    except KeysteadError as error:
        return error.reason
    assert result.plaintext == kept[:32]
    return "works"


def outcome(world, folder):
    """What a person would see in the end: the states of keys, and whether content can be read."""
    if not (folder / "content_key").exists():
        return None
    keys = world.keys(ORG).values()
    states = sorted((key.origin, key.state, key.fingerprint) for key in keys)
    under = sorted(world.keys(ORG)[kek.main_key].fingerprint for kek in world.keks(ORG)[:5])
    return states, content(world, folder), len(set(under))


def settled(world):
    """Let everything come to its end, and see that nothing is left over or missing."""
    world.pass_time(world.limits.intent_age + timedelta(seconds=1))
    world.restart()
    world.steward()
    found = world.reconcile()
    assert (found.unknown, found.missing) == ((), ())
    with world.storage.read() as tx:
        assert tx.main_keys.common() is not None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_change_that_nobody_kills_takes_these_steps(copied, run, scenario):
    status, steps = run(copied(scenario), scenario, 0)
    assert status == 0
    assert tuple(steps) == SCENARIOS[scenario][2]


@pytest.fixture(scope="module")
def whole(prepared, tmp_path_factory):
    """Return the outcome of a scenario that nobody kills."""
    outcomes = {}

    def whole(scenario):
        if scenario not in outcomes:
            folder = tmp_path_factory.mktemp("whole") / "copy"
            shutil.copytree(prepared(scenario), folder)
            with opened(folder) as world:
                SCENARIOS[scenario][1](world)
                settled(world)
                outcomes[scenario] = outcome(world, folder)
        return outcomes[scenario]

    return whole


@pytest.mark.parametrize(("scenario", "step"), POINTS)
def test_a_killed_change_is_finished_or_undone_and_can_be_made_again(copied, whole, run, scenario, step):
    expected = whole(scenario)
    folder = copied(scenario)
    status, _ = run(folder, scenario, step)
    assert status == -signal.SIGKILL
    with opened(folder) as world:
        settled(world)
        if expected is not None:
            assert content(world, folder) in LIMBO.get(scenario, {"works"})
        SCENARIOS[scenario][1](world)
        settled(world)
        assert outcome(world, folder) == expected
