"""Python's collector of cycles, which stops all threads of a process while it looks at objects."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# A worker in all but this: when it would begin to serve, it says what the collector looks at.
WORKER = """
import gc, json, sys, threading
from pathlib import Path
from server import bootstrap
from server.settings import load_settings

def serve(*_, **__):
    print(json.dumps([gc.get_freeze_count(), len(gc.get_objects()), gc.get_threshold()]))

bootstrap.serve = serve
bootstrap.run_worker(load_settings(Path(sys.argv[1])), threading.Event())
"""

# A steward in all but this: when it would begin its work, it says whether the collector looks at what is new.
STEWARD = """
import gc, json, sys
from server import bootstrap
from server.__main__ import main

bootstrap.run_steward = lambda *_: print(json.dumps([gc.isenabled(), gc.get_freeze_count()]))
sys.argv = ["keystead", "steward", "--config", sys.argv[1]]
main()
"""


def told(service, program: str):
    command = [sys.executable, "-c", program, str(service.config)]
    return json.loads(subprocess.run(command, env=service.environment(), check=True, capture_output=True).stdout)


def test_a_worker_lets_it_pass_over_all_that_was_there_before_the_first_call(service):
    frozen, looked_at, (youngest, *_) = told(service, WORKER)
    assert frozen > 50_000
    assert looked_at < 2000
    assert youngest >= 10_000


def test_a_process_lets_it_pass_over_its_program_alone(service):
    looks, frozen = told(service, STEWARD)
    assert looks
    assert frozen > 50_000
