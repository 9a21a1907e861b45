"""What ends a process also ends it when signals come at the worst moment."""

import subprocess
import sys

import pytest

WHILE_A_WAIT_BEGINS = """
import signal
from server.stop_signal import stop_signal

stopping = stop_signal()
with stopping._cond:  # The main thread is about to wait for the event, or is about to have waited.
    signal.raise_signal(signal.{signal})
stopping.wait()
"""

WHILE_ANOTHER_IS_HANDLED = """
import signal, sys
from server.stop_signal import stop_signal

def another(*_):
    # A terminal and scripts/run send one each. Here they come at every step of the first one's handler.
    global sent
    sent += 1
    signal.raise_signal(signal.SIGTERM)
    return another

sent = 0
stopping = stop_signal()
sys.settrace(another)
signal.raise_signal(signal.SIGINT)
sys.settrace(None)
assert sent
stopping.wait()
"""


@pytest.mark.parametrize(
    "program",
    [
        WHILE_A_WAIT_BEGINS.format(signal="SIGTERM"),
        WHILE_A_WAIT_BEGINS.format(signal="SIGINT"),
        WHILE_ANOTHER_IS_HANDLED,
    ],
    ids=["SIGTERM while a wait begins", "SIGINT while a wait begins", "SIGTERM while SIGINT is handled"],
)
def test_a_signal_ends_a_process_whatever_it_interrupts(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
