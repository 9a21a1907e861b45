"""Processes and threads that make and destroy objects of one token do not get into each other's way."""

import subprocess
import sys

from tests.support.token import ROOT, make_token

SECONDS = 5


def test_main_keys_made_side_by_side_are_there_once_for_everybody(tmp_path):
    make_token(tmp_path)
    (tmp_path / "announced").mkdir()
    command = [sys.executable, "-m", "tests.support.token_crowd", tmp_path, str(SECONDS)]
    crowds = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for crowd in crowds:
        told, _ = crowd.communicate(timeout=20 * SECONDS)
        *faults, made = told.splitlines()
        assert faults == []
        assert crowd.returncode == 0
        assert int(made) > 20
