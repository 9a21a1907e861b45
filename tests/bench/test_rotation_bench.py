"""The bench of rotation runs and writes what it found; how fast it is, no test asks."""

import json
import os
import subprocess

import pytest

from tests.bench.contest import contender
from tests.support.token import ROOT

pytestmark = pytest.mark.slow


def test_the_bench_of_rotation_runs_and_writes_json(tmp_path):
    out = tmp_path / "found" / "rotation.json"
    command = [ROOT / "scripts/bench", "rotation", "--keks", "4", "--rounds", "2", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert (found["bench"], found["keks"], len(found["rounds"])) == ("rotation", 4, 2)
    for part in ("whole", "token_part", "cpu"):
        rates = found[part]
        assert rates["ratio"] == rates["product_rate"] / rates["plain_rate"] > 0
    assert found["ratio"] == found["whole"]["ratio"]
    assert f"Ratio {found['ratio']:.2f}" in done.stdout
    assert str(out) in done.stdout


def test_the_bench_says_what_it_can_do():
    for arguments in ([], ["nothing"], ["rotation", "--keks", "0"]):
        done = subprocess.run([ROOT / "scripts/bench", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "rotation" in done.stderr


def gone(status):
    """A contender that ends before it is ready."""
    os._exit(status)


def test_a_contender_that_ends_by_itself_is_told():
    with pytest.raises(RuntimeError, match="with status 3"), contender(gone, 3):
        pass
