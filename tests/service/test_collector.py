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


def test_a_worker_lets_it_pass_over_all_that_was_there_before_the_first_call(service):
    command = [sys.executable, "-c", WORKER, str(service.config)]
    told = subprocess.run(command, env=service.environment(), check=True, capture_output=True, text=True).stdout
    frozen, looked_at, (youngest, *_) = json.loads(told)
    assert frozen > 50_000
    assert looked_at < 2000
    assert youngest >= 10_000
