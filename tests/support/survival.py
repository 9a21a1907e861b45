"""Workers killed under load: who notices, and for how long."""

import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.support.cluster import Cluster
from tests.support.everywhere import connections_of
from tests.support.pressure import SERVED, Caller, Outcome

WINDOW = 1.0
"""Seconds over which a rate is taken."""
_STEP = 0.1
_LONGEST = 30.0
_GONE = "UNAVAILABLE"
"""Told without a reason: it is the connection's end, and not an answer."""


@dataclass(frozen=True)
class Kill:
    """A worker of a replica that was killed."""

    replica: int
    at: float
    """A time of `time.monotonic`."""


@dataclass(frozen=True)
class Killed:
    """What came of it."""

    replica: int
    until_full: float
    """Seconds from the kill until the replica's callers were served at the rate of before the first kill."""
    longest_wait: float
    """Seconds that one of them was without an answer, from its last to its next."""


def kill_workers(cluster: Cluster, rng: random.Random, *, times: int, interval: float) -> list[Kill]:
    """Kill a worker that has callers after each `interval` seconds, and wait for as long after the last."""
    kills = []
    moments = threading.Event()
    for _ in range(times):
        moments.wait(interval)
        number = rng.randrange(len(cluster.replicas))
        replica = cluster.replicas[number]
        pids = [pid for pid in replica.pids("worker") if connections_of(replica, pid)]
        os.kill(rng.choice(pids), signal.SIGKILL)
        kills.append(Kill(number + 1, time.monotonic()))
    moments.wait(interval)
    return kills


def what_came_of(kills: Sequence[Kill], callers: Sequence[Caller], began: float, full: float) -> list[Killed]:
    """Return what came of each kill under a load that began at `began`; `full` is the part of it that counts as all."""
    found = []
    windows = int((kills[0].at - began) / WINDOW)
    for kill in kills:
        served = _served(callers, kill.replica)
        before = statistics.median(_rate(served, began + number * WINDOW) for number in range(windows))
        steps = (number * _STEP for number in range(int(_LONGEST / _STEP)))
        until_full = next((it for it in steps if _rate(served, kill.at + it) >= full * before), _LONGEST)
        found.append(Killed(kill.replica, until_full, max(_gap(ends, kill.at) for ends in served)))
    return found


def _served(callers: Sequence[Caller], replica: int) -> list[list[float]]:
    """Return, for each caller of a replica, when its calls that were served ended."""
    return [[it.end for it in caller.outcomes if it.told == SERVED] for caller in callers if caller.replica == replica]


def _rate(served: Sequence[Sequence[float]], start: float) -> float:
    return sum(start <= end < start + WINDOW for ends in served for end in ends) / WINDOW


def _gap(ends: Sequence[float], moment: float) -> float:
    """Return the longest time between two answers that reaches into the seconds after a moment."""
    return max(later - earlier for earlier, later in pairwise(ends) if moment <= later and earlier < moment + _STEP)


def demand_only_lost_connections(callers: Sequence[Caller], kills: Sequence[Kill], within: float) -> Counter[str]:
    """Return how often what was told: the end of connections to who was killed, and what may be tried again."""
    told: Counter[str] = Counter()
    for caller in callers:
        for it in caller.outcomes:
            if it.told == _GONE:
                assert _is_near(it, caller, kills, within), it
            else:
                assert it.told == SERVED or it.may_retry, it
            told[it.told] += 1
    return told


def _is_near(it: Outcome, caller: Caller, kills: Sequence[Kill], within: float) -> bool:
    moments = (kill.at for kill in kills if kill.replica == caller.replica)
    return any(it.start <= moment + within and moment <= it.end for moment in moments)
