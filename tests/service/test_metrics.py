"""What operators watch: the metrics, and the comparison of token and database that they can ask for."""

import json
import os
import re
import signal
import socket
import urllib.request
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import rotation_service_pb2 as rotations
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from server.observability.catalogue import METRICS
from tests.support.everywhere import sockets_of
from tests.support.inventory import destroy, implant, inventory
from tests.support.rows import rows_of
from tests.support.service import Service, eventually, free_port, refused, running
from tests.support.stuck import stuck_rotation

pytestmark = pytest.mark.slow

GAUGES = (
    "keystead_rotations_due",
    "keystead_main_keys_missing",
    "keystead_states_damaged",
    "keystead_token_objects_unknown",
)


class Measured:
    """A service that tells metrics."""

    def __init__(self, service: Service, address: str) -> None:
        self.service = service
        self.address = address

    def page(self) -> str:
        # Not by way of a proxy for the world outside.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.address}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def value(self, name: str, **labels: str) -> float | None:
        """Return a number, or None while it is not told."""
        (family,) = [it for it in self.families() if name in {it.name, f"{it.name}_total", f"{it.name}_count"}]
        found = [it.value for it in family.samples if it.name == name and it.labels.items() >= labels.items()]
        return sum(found) if found else None

    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.page()))

    def calls(self, method: str, code: str) -> float:
        return self.value("keystead_calls_total", method=method, code=code) or 0

    def gauges(self) -> tuple[float, ...] | None:
        """Rotations due, main keys missing, objects unknown; None while nobody tells them."""
        found = tuple(self.value(name) for name in GAUGES)
        return None if None in found else found

    def look_again(self) -> None:
        """Have the steward look at once at what it otherwise looks at each hour: a new one does."""
        (before,) = self.service.pids("steward")
        self.service.kill_one("steward")
        eventually(lambda: self.service.pids("steward") not in ([], [before]), "there is another steward")

    def reconcile(self, *words, status: int) -> str:
        done = self.service.keystead("hsm", "reconcile", "--config", self.service.config, *words, check=False)
        assert (done.returncode, done.stderr) == (status, "")
        return done.stdout


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    address = f"127.0.0.1:{free_port()}"
    with running(tmp_path_factory.mktemp("measured"), METRICS__ADDRESS=address) as service:
        yield Measured(service, address)


def test_when_all_is_well_every_gauge_is_at_nothing(measured):
    org = measured.service.new_organization()
    org.bring()
    measured.look_again()
    assert eventually(measured.gauges, "the steward tells metrics") == (0, 0, 0, 0)
    told = json.loads(measured.reconcile("--json", status=0))
    assert told == {
        "main_keys_checked": 2,
        "common_key_missing": False,
        "main_keys_missing": [],
        "states_damaged": [],
        "objects_unknown": [],
    }
    assert measured.reconcile(status=0) == (
        "2 main keys looked for in the token, 0 missing.\n0 main keys with another state than the audit log tells.\n"
        "0 keys in the token that no row knows.\n"
    )


def test_what_does_not_fit_is_counted_and_named(measured):
    service = measured.service
    org = service.new_organization()
    lost, old = org.bring(), org.bring()
    org.await_state(lost.name, "RETIRED")
    destroy(service.folder / "token", lost.name.rpartition("/")[2])
    implant(service.folder / "token", b"strange")
    implant(service.folder / "token", b"")
    then = round((datetime.now(UTC) - timedelta(days=366)).timestamp() * 1e6)
    waiting = org.bring(activation=main_keys.LATER)
    with rows_of(f"sqlite:///{service.folder}/keystead.db") as rows:
        rows.change(
            "UPDATE main_keys SET activate_time = :then WHERE id = :id", then=then, id=old.name.rpartition("/")[2]
        )
        edited = "UPDATE main_keys SET state = 'DELETED', prior_state = 'PENDING', purge_time = :then WHERE id = :id"
        rows.change(edited, then=then, id=waiting.name.rpartition("/")[2])
    measured.look_again()
    eventually(lambda: measured.gauges() == (1, 1, 1, 2), f"the gauges tell it: {measured.gauges()}")

    told = json.loads(measured.reconcile("--json", status=1))
    assert told["main_keys_missing"] == [lost.name]
    assert told["states_damaged"] == [waiting.name]
    assert sorted(it["object_id"] for it in told["objects_unknown"]) == ["", b"strange".hex()]
    assert {it["role"] for it in told["objects_unknown"]} == {None}
    told = measured.reconcile(status=1).splitlines()
    assert told[0].endswith(" main keys looked for in the token, 1 missing.")
    assert told[1] == f"  missing: {lost.name}. Restore the token from its backup; the row is kept."
    assert told[2] == "1 main keys with another state than the audit log tells."
    assert told[3] == f"  damaged: {waiting.name}. Restore the database; until then nothing is done with the key."
    assert told[4] == "2 keys in the token that no row knows."
    assert sorted(told[5:]) == [
        f"  unknown: not of Keystead, CKA_ID {b'strange'.hex()}. Kept.",
        "  unknown: not of Keystead, CKA_ID empty. Kept.",
    ]
    # Nothing was mended by destroying it.
    assert json.loads(measured.reconcile("--json", status=1))["objects_unknown"] != []
    assert org.main_key(lost.name).HasField("missing_time")


def test_a_missing_common_key_is_told_too(tmp_path):
    service = Service(tmp_path)
    service.keystead("prepare", "--config", service.config)
    (common,) = (it for it, label in inventory(service.folder / "token").items() if label == "keystead main-key")
    destroy(service.folder / "token", common)
    done = service.keystead("hsm", "reconcile", "--config", service.config, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[:2] == [
        "1 main keys looked for in the token, 1 missing.",
        "  missing: the common key. Restore the token from its backup; the row is kept.",
    ]
    done = service.keystead("hsm", "reconcile", "--config", service.config, "--json", check=False)
    assert json.loads(done.stdout)["common_key_missing"] is True


def test_calls_are_counted_by_method_and_code_over_all_workers(measured):
    org = measured.service.new_organization()
    kek = org.new_kek().name
    before = measured.calls("GenerateContentKeys", "OK"), measured.calls("GenerateContentKeys", "PERMISSION_DENIED")
    times = measured.value("keystead_call_seconds_count", method="GenerateContentKeys") or 0
    for _ in range(10):
        org.generate(kek)
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        org.generate("organizations/another/keks/0123456789abcdef0123456789abcdef")
    eventually(lambda: measured.calls("GenerateContentKeys", "OK") == before[0] + 10, "ten calls are counted")
    eventually(lambda: measured.calls("GenerateContentKeys", "PERMISSION_DENIED") == before[1] + 1, "so is the refusal")
    assert measured.value("keystead_call_seconds_count", method="GenerateContentKeys") == times + 11
    assert measured.value("keystead_calls_in_flight", method="GenerateContentKeys") == 0
    assert measured.value("keystead_pkcs11_calls_total", function="C_Encrypt", result="CKR_OK") >= 10
    assert measured.value("keystead_pkcs11_seconds_total", function="C_Encrypt") > 0
    assert measured.value("keystead_sessions", state="idle") > 0
    assert measured.value("keystead_kek_hits_total") >= 8
    assert measured.value("keystead_kek_loads_total") >= 1
    assert measured.value("keystead_keks_loaded") >= 1
    assert measured.value("keystead_token_hangs", process="worker-1") == 0
    assert measured.value("keystead_authority_age_seconds", process="worker-1") < 5


def test_a_call_of_a_method_that_does_not_exist_makes_no_new_label(measured):
    channel = measured.service.client("operator").channel
    for name in ("/keystead.v1.ContentKeyService/MadeUp", "/made.up/Method"):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(name)(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    before = measured.calls("CreateOrganization", "OK")
    measured.service.new_organization()
    eventually(lambda: measured.calls("CreateOrganization", "OK") > before, "what came later is counted")
    assert "made" not in measured.page().lower().replace("were made", "")


def test_a_rotation_is_told_and_so_are_those_who_watch_it(measured):
    org = measured.service.new_organization()
    with stuck_rotation(org) as stuck:
        eventually(lambda: measured.value("keystead_rotations", state="RUNNING") == 1, "it is running")
        assert measured.value("keystead_rotation_keks_left") == 1
        assert measured.value("keystead_rotation_keks_failed") == 1
        assert measured.value("keystead_log_events_total", event="kek_not_rewrapped", level="error") >= 1
        org.admin.rotations.PauseRotation(rotations.PauseRotationRequest(name=stuck.name))
        eventually(lambda: measured.value("keystead_rotations", state="PAUSED") == 1, "it is paused")

        request = rotations.WatchRotationRequest(name=stuck.name)
        stream = org.admin.rotations.WatchRotation(request)
        next(stream)
        eventually(lambda: measured.value("keystead_calls_in_flight", method="WatchRotation") == 1, "one watches")
        stream.cancel()
        eventually(lambda: measured.calls("WatchRotation", "CANCELLED") == 1, "it has left")

        def time_was_too_short() -> bool:
            # On a busy machine a call may end on its way to the service, or the service hear that its caller left.
            with pytest.raises(grpc.RpcError):
                list(org.admin.rotations.WatchRotation(request, timeout=0.5))
            return measured.calls("WatchRotation", "DEADLINE_EXCEEDED") >= 1

        eventually(time_was_too_short, "another had no more time")
        org.admin.rotations.ResumeRotation(rotations.ResumeRotationRequest(name=stuck.name))
        stuck.mend()
        list(org.admin.rotations.WatchRotation(request))
    eventually(lambda: measured.calls("WatchRotation", "OK") == 1, "a third has seen the end")
    eventually(lambda: measured.value("keystead_rotation_keks_left") == 0, "no KEK is left")
    assert measured.value("keystead_rotations") == 0
    assert measured.value("keystead_calls_in_flight", method="WatchRotation") == 0
    assert measured.value("keystead_call_seconds_count", method="WatchRotation") is None


def test_a_revocation_is_noticed_by_workers_and_unloads_keks(measured):
    org = measured.service.new_organization()
    key = org.bring()
    kek = org.new_kek().name
    org.generate(kek)
    eventually(lambda: measured.value("keystead_keks_loaded"), "the KEK is loaded")
    before = measured.value("keystead_kek_unloads_total"), measured.value("keystead_authority_changes_total")
    org.admin.main_keys.RevokeMainKey(main_keys.RevokeMainKeyRequest(name=key.name))
    with refused("FAILED_PRECONDITION", "ORGANIZATION_LOCKED"):
        org.generate(kek)
    eventually(lambda: measured.value("keystead_authority_changes_total") > before[1], "the change is noticed")
    eventually(lambda: measured.value("keystead_kek_unloads_total") > before[0], "the KEK is unloaded")


def test_no_counter_falls_when_a_worker_is_killed(measured):
    org = measured.service.new_organization()
    kek = org.new_kek().name
    before = measured.calls("GenerateContentKeys", "OK")
    for _ in range(10):
        org.generate(kek)
    eventually(lambda: measured.calls("GenerateContentKeys", "OK") == before + 10, "they are counted")
    for pid in measured.service.pids("worker"):
        os.kill(pid, signal.SIGKILL)
    killed = "keystead_process_exits_total"
    eventually(lambda: measured.value(killed, process="worker-1", status="-9"), "it has ended")
    assert measured.calls("GenerateContentKeys", "OK") == before + 10
    eventually(measured.service.serves, "it serves again")
    org.generate(kek)
    eventually(lambda: measured.calls("GenerateContentKeys", "OK") == before + 11, "it goes on from there")
    assert measured.value("keystead_process_starts_total", process="worker-1") >= 2
    assert measured.value("keystead_process_up", process="worker-1") == 1
    eventually(lambda: measured.value("keystead_serving", process="worker-1") == 1, "its health is told")


def test_every_metric_is_told_and_no_other(measured):
    names = {it.name for it in measured.families()}
    assert names == {metric.name.removesuffix("_total") for metric in METRICS}
    silent = {it.name for it in measured.families() if not it.samples}
    assert silent <= {"keystead_process_exits"}


def test_the_metrics_name_nobody_and_are_told_on_this_machine_only(measured):
    org = measured.service.new_organization()
    key, kek = org.bring(), org.new_kek()
    page = eventually(lambda: measured.gauges() and measured.page(), "the steward tells metrics")
    for name in (org.id, key.name, kek.name, "spiffe"):
        assert name not in page
        assert name.rpartition("/")[2] not in page
    values = {value for family in measured.families() for it in family.samples for value in it.labels.values()}
    assert [it for it in values if not re.fullmatch(r"[\w.+-]{1,64}", it, re.ASCII)] == []
    port = int(measured.address.rpartition(":")[2])
    for address in ("127.0.0.2", "::1"):
        with pytest.raises(OSError, match=r"refused|not available|unreachable"):
            socket.create_connection((address, port), timeout=5).close()


def test_an_address_that_is_taken_is_told_in_one_line(tmp_path):
    service = Service(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environment = {"KEYSTEAD_METRICS__ADDRESS": address}
        done = service.keystead("serve", "--config", service.config, check=False, env=environment, timeout=60)
    assert done.returncode == 78
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert lines[0].startswith(f"keystead: metrics.address {address} cannot be listened on: ")


def test_a_service_that_is_not_asked_to_tells_no_metrics(measured, service):
    assert not any(it.listens for it in sockets_of(service.supervisor))
    listened = [it.port for it in sockets_of(measured.service.supervisor) if it.listens]
    assert listened == [int(measured.address.rpartition(":")[2])]
    (pid,) = measured.service.pids("steward")
    assert not any(it.listens for it in sockets_of(pid))
