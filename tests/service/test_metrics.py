"""What operators watch: the steward's metrics, and the comparison of token and database that they can ask for."""

import json
import re
import socket
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.everywhere import sockets_of
from tests.support.inventory import destroy, implant, inventory
from tests.support.rows import rows_of
from tests.support.service import Service, eventually, free_port, running

pytestmark = pytest.mark.slow

GAUGES = ("keystead_rotations_due", "keystead_main_keys_missing", "keystead_token_objects_unknown")


class Measured:
    """A service whose steward tells metrics."""

    def __init__(self, service: Service, address: str) -> None:
        self.service = service
        self.address = address

    def page(self) -> str:
        # Not by way of a proxy for the world outside.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.address}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def gauges(self) -> tuple[float, ...] | None:
        """Rotations due, main keys missing, objects unknown; None while nobody tells them."""
        try:
            page = self.page()
        except OSError:
            return None
        return tuple(float(re.search(rf"^{name} (\S+)$", page, re.MULTILINE)[1]) for name in GAUGES)

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
    assert eventually(measured.gauges, "the steward tells metrics") == (0, 0, 0)
    told = json.loads(measured.reconcile("--json", status=0))
    assert told == {
        "main_keys_checked": 2,
        "common_key_missing": False,
        "main_keys_missing": [],
        "objects_unknown": [],
    }
    assert measured.reconcile(status=0) == (
        "2 main keys looked for in the token, 0 missing.\n0 keys in the token that no row knows.\n"
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
    with rows_of(f"sqlite:///{service.folder}/keystead.db") as rows:
        rows.change(
            "UPDATE main_keys SET activate_time = :then WHERE id = :id", then=then, id=old.name.rpartition("/")[2]
        )
    measured.look_again()
    eventually(lambda: measured.gauges() == (1, 1, 2), f"the gauges tell it: {measured.gauges()}")

    told = json.loads(measured.reconcile("--json", status=1))
    assert told["main_keys_missing"] == [lost.name]
    assert sorted(it["object_id"] for it in told["objects_unknown"]) == ["", b"strange".hex()]
    assert {it["role"] for it in told["objects_unknown"]} == {None}
    told = measured.reconcile(status=1).splitlines()
    assert told[0].endswith(" main keys looked for in the token, 1 missing.")
    assert told[1] == f"  missing: {lost.name}. Restore the token from its backup; the row is kept."
    assert told[2] == "2 keys in the token that no row knows."
    assert sorted(told[3:]) == [
        f"  unknown: not of Keystead, CKA_ID {b'strange'.hex()}. Kept.",
        "  unknown: not of Keystead, CKA_ID empty. Kept.",
    ]
    # Nothing was mended by destroying it.
    assert json.loads(measured.reconcile("--json", status=1))["objects_unknown"] != []
    assert org.main_key(lost.name).HasField("missing_time")


def test_a_missing_common_key_is_told_too(tmp_path):
    service = Service(tmp_path)
    service.keystead("prepare", "--config", service.config)
    (common,) = inventory(service.folder / "token")
    destroy(service.folder / "token", common)
    done = service.keystead("hsm", "reconcile", "--config", service.config, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[:2] == [
        "1 main keys looked for in the token, 1 missing.",
        "  missing: the common key. Restore the token from its backup; the row is kept.",
    ]
    done = service.keystead("hsm", "reconcile", "--config", service.config, "--json", check=False)
    assert json.loads(done.stdout)["common_key_missing"] is True


def test_the_metrics_name_nobody_and_are_told_on_this_machine_only(measured):
    org = measured.service.new_organization()
    page = eventually(lambda: measured.gauges() and measured.page(), "the steward tells metrics")
    assert org.id not in page
    assert "{" not in page
    assert {line.split()[0] for line in page.splitlines() if not line.startswith("#")} == set(GAUGES)
    assert all(f"# HELP {name} " in page for name in GAUGES)
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
    (pid,) = service.pids("steward")
    assert not any(it.listens for it in sockets_of(pid))
    (pid,) = measured.service.pids("steward")
    assert [it.port for it in sockets_of(pid) if it.listens] == [int(measured.address.rpartition(":")[2])]
