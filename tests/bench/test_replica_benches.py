"""What the benches of three replicas make of what they measured; tests/endurance shows that they can run."""

import argparse
import subprocess
import sys
from collections import Counter

import pytest

from tests.bench import revocation, survival
from tests.support.revocations import Round
from tests.support.survival import Killed
from tests.support.token import ROOT


def test_a_report_of_revocations_tells_median_and_extremes_for_each_fault():
    rounds = [Round("none", number / 1000, 5 - number / 1000, 0.1, 0.2) for number in range(200)]
    rounds.append(Round("replica stopped", -0.5, 5.5, 1.5, 2.5))
    options = argparse.Namespace(bound=5, organizations=4)
    found = revocation.report(options, rounds, Counter({"": 7, "ORGANIZATION_LOCKED": 3}), Counter())
    none, stopped = found["by_fault"]["none"], found["by_fault"]["replica stopped"]
    assert (none["rounds"], none["median"], none["p99"], none["max"]) == (200, 0.0995, 0.197, 0.199)
    assert none["least_left_of_bound"] == 4.801
    assert (stopped["max"], stopped["until_known_max"], stopped["until_served_max"]) == (-0.5, 1.5, 2.5)
    assert "Told with no fault: 7 served, 3 ORGANIZATION_LOCKED." in revocation.table(found)


@pytest.mark.parametrize(("longest", "told"), [(2.9, "reached"), (3.1, "missed")])
def test_a_report_of_kills_tells_whether_the_target_was_reached(longest, told):
    killed = [Killed(1, 0.0, 0.1), Killed(2, longest, 0.3)]
    found = survival.report(120, 1, killed, Counter({"": 9, "UNAVAILABLE": 1}))
    assert found["until_full"] == {"median": longest / 2, "max": longest}
    assert f"Target 3 s: {told}." in survival.table(found)


@pytest.mark.parametrize(("bench", "option"), [("revocation", "--rounds"), ("survival", "--seconds")])
def test_numbers_have_their_limits(bench, option):
    command = [sys.executable, "-m", f"tests.bench.{bench}", option, "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"argument {option}" in done.stderr
