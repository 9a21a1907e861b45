"""More callers than sessions make content keys at once, and none waits for a session while it holds another."""

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from hsm_adapter import HsmSettings
from server.domain.ids import KekName
from server.use_cases import use_cases

CALLERS = 1 + inspect.signature(HsmSettings).parameters["sessions"].default
"""One more than the token has sessions."""


class Meeting:
    """The custody, in which callers go on from asking for random bytes only when all have come so far."""

    def __init__(self, custody) -> None:
        self._custody = custody
        self._all = threading.Barrier(CALLERS, timeout=20)

    def __getattr__(self, name):
        return getattr(self._custody, name)

    def random(self, size):
        self._all.wait()
        return self._custody.random(size)


def test_callers_of_all_sessions_do_not_wait_for_each_other(world, org):
    kek = KekName(org, world.new_kek(org).id)
    do = use_cases(replace(world.env, custody=Meeting(world.env.custody)))

    def make(_):
        return do.generate_content_keys(world.user(org), kek, count=10, size=32, context={})

    with ThreadPoolExecutor(CALLERS) as pool:
        made = [key.plaintext for keys in pool.map(make, range(CALLERS)) for key in keys]
    assert len(set(made)) == 10 * CALLERS
