"""A rotation loses nothing and ends, however often its processes are killed."""

import json
import os
import secrets
import signal
import threading
from collections import Counter
from dataclasses import dataclass

import grpc
import pytest
from cryptography.hazmat.primitives import keywrap
from keystead.v1 import rotation_service_pb2 as rotations
from keystead.v1.content_key_service_pb2 import GeneratedContentKey
from keystead.v1.resources_pb2 import MainKey, Rotation

from tests.support.crowd import Witness, dice, make_keks, one_content_key_each, unwrap_all
from tests.support.inventory import inventory
from tests.support.rows import rows_of
from tests.support.service import Organization, eventually, running

pytestmark = pytest.mark.slow

KEKS = 5000

_HOLDS_A_BATCH = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE '%SKIP LOCKED%'
"""


class Killer:
    """Kills processes of a service without a word."""

    def __init__(self, service, rng) -> None:
        self._service = service
        self._rng = rng
        self._moments = threading.Event()
        self.killed: Counter[str] = Counter()

    def kill(self, kind: str, within: float) -> None:
        """Kill one of this kind, some time within so many seconds."""
        self._moments.wait(self._rng.uniform(0, within))
        pids = eventually(lambda: self._service.pids(kind), f"a {kind} runs")
        os.kill(self._rng.choice(pids), signal.SIGKILL)
        self.killed[kind] += 1

    def check_log(self) -> None:
        """The processes that ended are those that were killed, and nothing unforeseen happened."""
        events = [json.loads(line) for line in self._service.log.read_text().splitlines() if line.startswith("{")]
        assert "incident" not in {event["event"] for event in events}
        ends = [event for event in events if event["event"] == "ended"]
        ended = Counter((event["child"].partition("-")[0], event["status"]) for event in ends)
        assert ended == {(kind, -signal.SIGKILL): times for kind, times in self.killed.items()}


@dataclass
class Move:
    """An organisation's KEKs, each with a content key, that are to move from its first main key to its second."""

    org: Organization
    keys: list[GeneratedContentKey]
    first: MainKey
    value: bytes
    """That of the second key."""

    @classmethod
    def prepared(cls, org: Organization, count: int) -> "Move":
        first = org.bring()
        org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
        return cls(org, one_content_key_each(org, make_keks(org, count)), first, secrets.token_bytes(32))

    def await_end(self, rows) -> None:
        """Wait until the first key is RETIRED: by its row, since callers' connections may have died too."""
        query = "SELECT state FROM main_keys WHERE id = :id"
        first = self.first.name.rpartition("/")[2]
        eventually(lambda: rows.one(query, id=first) == ("RETIRED",), "the first key is RETIRED", patience=60)
        for client in (self.org.admin, self.org.user):
            grpc.channel_ready_future(client.channel).result(30)

    def check(self, rows) -> None:
        """Look at everything that may have gone wrong."""
        org, count = self.org, len(self.keys)
        request = rotations.ListRotationsRequest(parent=org.name)
        last, before = org.admin.rotations.ListRotations(request).rotations
        second = org.main_key(last.to_main_key)
        assert (last.from_main_key, last.state) == (self.first.name, Rotation.DONE)
        assert (last.total_count, last.done_count, last.failed_count) == (count, count, 0)
        assert (before.total_count, before.done_count, before.state) == (0, 0, Rotation.DONE)
        assert (second.kek_count, org.main_key(self.first.name).kek_count) == (count, 0)
        unwrap_all(org, self.keys)
        self._check_keks(rows, second.name.rpartition("/")[2])
        self._check_leftovers(rows)

    def _check_keks(self, rows, in_charge: str) -> None:
        keks = rows.all("SELECT main_key, wrapped, retry_time FROM keks")
        assert {(main_key, retry_time) for main_key, _, retry_time in keks} == {(in_charge, None)}
        # Each unwraps under the customer's own copy of the key, and no two are the same KEK.
        assert len({keywrap.aes_key_unwrap(self.value, bytes(wrapped)) for _, wrapped, _ in keks}) == len(self.keys)

    def _check_leftovers(self, rows) -> None:
        assert rows.all("SELECT * FROM intents") == []
        numbers = [number for (number,) in rows.all("SELECT sequence FROM audit_events ORDER BY sequence")]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert rows.all("SELECT id FROM wrapping_keys WHERE state = 'USABLE'") == []
        main_keys = {object_id for (object_id,) in rows.all("SELECT object_id FROM main_keys")}
        assert len(main_keys) == 3
        ((audit_key,),) = rows.all("SELECT object_id FROM audit_key")
        expected = {**dict.fromkeys(main_keys, "keystead main-key"), audit_key: "keystead audit-key"}
        assert inventory(self.org.service.folder / "token") == expected


def done_so_far(rows) -> int:
    running_ones = rows.all("SELECT done FROM rotations WHERE state = 'RUNNING'")
    assert running_ones, "the rotation was over before everything was killed"
    return running_ones[0][0]


@pytest.mark.timeout(420)
def test_thousands_of_keks_rotate_while_processes_are_killed(tmp_path, rng):
    with running(tmp_path) as service, rows_of(f"sqlite:///{tmp_path}/keystead.db") as rows:
        move, killer = Move.prepared(service.new_organization(), KEKS), Killer(service, rng)
        kinds = ["steward"] * 5 + ["worker"] * 3
        rng.shuffle(kinds)
        with Witness(move.org, move.keys, dice(rng.randrange(2**32))) as witness:
            move.org.bring(move.value)
            seen = 0
            for kind in kinds:
                if kind == "steward":
                    # One that has done something: it dies in the middle of a later batch.
                    eventually(lambda: done_so_far(rows) > seen, "the rotation goes on", interval=0.01)  # noqa: B023
                killer.kill(kind, within=0.08)
                seen = done_so_far(rows)
            assert seen < KEKS
            move.await_end(rows)
        assert witness.opened > 1000
        move.check(rows)
        killer.check_log()


@pytest.mark.timeout(180)
def test_a_batch_that_a_killed_steward_held_in_postgresql_is_free_again(tmp_path, postgres_server, rng):
    database = postgres_server.new_database()
    with running(tmp_path, database=database) as service, rows_of(database) as rows:
        move, killer = Move.prepared(service.new_organization(), 1000), Killer(service, rng)
        with Witness(move.org, move.keys, dice(rng.randrange(2**32))) as witness:
            move.org.bring(move.value)
            for kind in ("steward", "worker", "steward", "steward"):
                eventually(lambda: rows.one(_HOLDS_A_BATCH)[0], "a batch is held", interval=0.005)
                killer.kill(kind, within=0.02)
            move.await_end(rows)
        assert witness.opened > 100
        move.check(rows)
        killer.check_log()
