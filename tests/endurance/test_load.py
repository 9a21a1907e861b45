"""Under a mixed load nothing ends, no answer is wrong, and no process grows."""

import json
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from keystead.v1 import main_key_service_pb2 as main_keys

from tests.support.crowd import dice
from tests.support.crypto import encrypt
from tests.support.footprint import MIB, Footprint
from tests.support.inventory import inventory
from tests.support.mixed_calls import MixedCaller
from tests.support.rows import rows_of
from tests.support.service import eventually, refused, running

pytestmark = pytest.mark.slow

_CALLERS = 8


class Administrators:
    """Those of all organisations: they bring and activate main keys, one after the other."""

    def __init__(self, orgs) -> None:
        self._orgs = orgs
        self.brought = 0

    def go_on(self, until: float, pause: threading.Event) -> None:
        while time.monotonic() < until:
            for org in self._orgs:
                self._bring(org)
                pause.wait(1.0)

    def _bring(self, org) -> None:
        wrapping_key = org.wrapping_key()
        public, value = wrapping_key.public_key_pem.encode(), os.urandom(32)
        with refused("INVALID_ARGUMENT", "ENCRYPTED_KEY_REJECTED"):
            org.upload(encrypt(public, value[:16]), wrapping_key.name)
        if self.brought % 3:
            org.upload(encrypt(public, value), wrapping_key.name, main_keys.NOW)
        else:
            pending = org.upload(encrypt(public, value), wrapping_key.name, main_keys.LATER).main_key
            with refused("ALREADY_EXISTS", "DUPLICATE_KEY"):
                org.bring(value)
            org.activate(pending.name)
        with refused("FAILED_PRECONDITION", "WRAPPING_KEY_NOT_USABLE"):
            org.upload(encrypt(public, value), wrapping_key.name, main_keys.NOW)
        self.brought += 1


def footprints(service) -> dict[int, Footprint]:
    return {pid: Footprint.of(pid) for kind in ("worker", "steward") for pid in service.pids(kind)}


def check_growth(before: Footprint, after: Footprint) -> None:
    grown = f"{before} became {after}"
    assert after.resident - before.resident < max(before.resident // 10, 12 * MIB), grown
    # What is kept for the next call (threads, connections to the database) has its limits, and is nearly all there.
    assert after.threads - before.threads <= 4, grown
    assert after.files - before.files <= 16, grown


def check_token(service, rows) -> None:
    """What is in the token has its row, and the other way round."""
    eventually(lambda: not rows.all("SELECT * FROM intents"), "nothing is left to be made or destroyed")
    main_keys = rows.all("SELECT object_id, 'keystead main-key' FROM main_keys WHERE state <> 'REMOVED'")
    wrapping_keys = rows.all("SELECT id, 'keystead wrapping-key' FROM wrapping_keys WHERE state = 'USABLE'")
    audit_key = rows.all("SELECT object_id, 'keystead audit-key' FROM audit_key")
    assert inventory(service.folder / "token") == dict([*main_keys, *wrapping_keys, *audit_key])


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("database_url", "seconds"), [("sqlite", 24), ("postgresql", 24)], indirect=["database_url"])
def test_a_mixed_load_is_served(tmp_path, database_url, seconds, rng):
    settings = {"database": database_url, "LIFE__RETIRED_LIFETIME": "PT1S"}
    with running(tmp_path / "service", **settings) as service, ExitStack() as kept:
        orgs = service.new_organization(), service.new_organization()
        pairs = [(orgs[number % 2], orgs[1 - number % 2]) for number in range(_CALLERS)]
        callers = [MixedCaller(own, foreign, dice(rng.randrange(2**32))) for own, foreign in pairs]
        for caller in callers:
            kept.callback(caller.close)
        administrators, pause = Administrators(orgs), threading.Event()
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(_CALLERS + 1) as pool:
            work = [pool.submit(caller.go_on, end, callers) for caller in callers]
            work.append(pool.submit(administrators.go_on, end, pause))
            pause.wait(seconds / 3)
            warm = footprints(service)
            for it in work:
                it.result()
        # Nothing ended, nothing grew.
        at_the_end = footprints(service)
        assert at_the_end.keys() == warm.keys()
        assert len(warm) == 3
        for pid, before in warm.items():
            check_growth(before, at_the_end[pid])
        lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
        # That a log was held by a change for long, so that records wait for the next time, is no fault.
        events = [it["event"] for it in lines if it.get("reason") != "CONCURRENT_CHANGE"]
        assert set(events) <= {"started", "policy_read", "health", "change"}
        assert events.count("started") == 3
        # It was a load, of everything; and every rotation came to its end.
        done = sum((caller.done for caller in callers), Counter())
        assert min(done.values()) >= 10, done
        assert len(done) == 9
        assert administrators.brought >= 4
        for org in orgs:
            eventually(lambda: Counter(org.states().values())["ROTATING"] == 0, "all rotations end")  # noqa: B023
            assert Counter(org.states().values())["ACTIVE"] == 1
        for caller in callers:
            caller.unwrap_all()
        with rows_of(database_url) as rows:
            check_token(service, rows)
