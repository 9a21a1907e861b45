"""The numbers of several processes become those of one machine."""

import json
import os

import pytest
from prometheus_client import CollectorRegistry

from server.observability import catalogue
from server.observability.calls import CallCounts
from server.observability.catalogue import METRICS, Kind
from server.observability.endpoint import Watched
from server.observability.samples import PUBLISHED_IN, Gauge, Publisher, Tally, published_in

CALL = {"service": "S", "method": "M"}


class Machine:
    """A supervisor's view of processes that publish into a folder."""

    def __init__(self, folder):
        self.watched = Watched(folder, ())
        self._registry = CollectorRegistry()
        self._registry.register(self.watched)

    def start(self, process, *sources):
        self.watched.started(process)
        publisher = Publisher(published_in(self.watched.environment(process)), sources)
        publisher.publish()
        return publisher

    def value(self, name, **labels):
        return self._registry.get_sample_value(name, labels)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def calls(*seconds, code=None):
    counts = CallCounts()
    for it in seconds:
        counts.of("S", "M").begun()
        counts.of("S", "M").ended(code, it)
    return counts.samples


def sessions(number):
    gauge = Gauge(catalogue.ROTATION_KEKS_LEFT)
    gauge.set(number)
    return gauge.samples


def test_counters_and_times_of_all_processes_are_added_up(machine):
    machine.start("worker-1", calls(0.002, 0.002))
    machine.start("worker-2", calls(0.02, 20.0))
    assert machine.value("keystead_calls_total", code="OK", **CALL) == 4
    times = [
        machine.value("keystead_call_seconds_bucket", le=le, **CALL) for le in ("0.001", "0.0025", "0.025", "10.0")
    ]
    assert times == [0, 2, 3, 3]
    assert machine.value("keystead_call_seconds_bucket", le="+Inf", **CALL) == 4
    assert machine.value("keystead_call_seconds_count", **CALL) == 4
    assert machine.value("keystead_call_seconds_sum", **CALL) == pytest.approx(20.024)


def test_what_a_dead_process_had_counted_stays_and_what_it_had_measured_goes(machine):
    machine.start("worker-1", calls(0.002), sessions(5))
    machine.start("worker-2", calls(0.002), sessions(7))
    assert machine.value("keystead_rotation_keks_left") == 12
    machine.watched.ended("worker-1", -9)
    assert machine.value("keystead_calls_total", code="OK", **CALL) == 2
    assert machine.value("keystead_rotation_keks_left") == 7
    assert machine.value("keystead_process_up", process="worker-1") == 0
    assert machine.value("keystead_process_exits_total", process="worker-1", status="-9") == 1
    for _ in range(3):
        machine.start("worker-1", calls(0.002))
        assert machine.value("keystead_process_up", process="worker-1") == 1
        machine.watched.ended("worker-1", 75)
    assert machine.value("keystead_calls_total", code="OK", **CALL) == 5
    assert machine.value("keystead_call_seconds_count", **CALL) == 5
    assert machine.value("keystead_process_starts_total", process="worker-1") == 4
    assert machine.value("keystead_process_exits_total", process="worker-1", status="75") == 3


def test_a_dead_process_leaves_no_file_behind(machine, tmp_path):
    machine.start("worker-1", calls(0.002))
    assert [it.name for it in tmp_path.iterdir()] == ["worker-1.json"]
    machine.watched.ended("worker-1", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_has_told_nothing_yet_is_known_all_the_same(machine):
    machine.watched.started("worker-1")
    assert machine.value("keystead_process_up", process="worker-1") == 1
    machine.watched.ended("worker-1", 78)
    assert machine.value("keystead_process_up", process="worker-1") == 0


def test_a_process_that_falls_silent_is_seen(machine, tmp_path):
    machine.start("worker-1", calls(0.002))
    assert machine.value("keystead_process_silent_seconds", process="worker-1") < 60
    then = (tmp_path / "worker-1.json").stat().st_mtime - 3600
    os.utime(tmp_path / "worker-1.json", (then, then))
    assert machine.value("keystead_process_silent_seconds", process="worker-1") >= 3600


def test_a_number_that_each_process_shows_by_itself_names_the_process(machine):
    for number, value in (("1", 1), ("2", 0)):
        gauge = Gauge(catalogue.SERVING)
        gauge.set(value)
        machine.start(f"worker-{number}", gauge.samples)
    assert machine.value("keystead_serving", process="worker-1") == 1
    assert machine.value("keystead_serving", process="worker-2") == 0


def test_what_is_not_known_yet_is_not_shown(machine):
    machine.start("steward", Gauge(catalogue.ROTATION_KEKS_LEFT).samples)
    assert machine.value("keystead_rotation_keks_left") is None


def test_what_may_happen_is_shown_before_it_happens(machine):
    tally = Tally(catalogue.DATABASE_ERRORS, ("conflict",))
    publisher = machine.start("steward", tally.samples)
    assert machine.value("keystead_database_errors_total", kind="conflict") == 0
    tally.add("conflict")
    publisher.publish()
    assert machine.value("keystead_database_errors_total", kind="conflict") == 1


def test_a_full_disk_is_told_once_and_stops_nothing(tmp_path, caplog):
    publisher = Publisher(tmp_path / "missing" / "worker-1.json", (calls(0.002),))
    publisher.publish()
    publisher.publish()
    told = [record.msg for record in caplog.records if record.name == "server.observability.samples"]
    assert told == ["metrics_not_published"]
    (tmp_path / "missing").mkdir()
    publisher.publish()
    assert json.loads((tmp_path / "missing" / "worker-1.json").read_text())


def test_a_process_that_nobody_asked_publishes_nothing():
    assert published_in({}) is None
    assert PUBLISHED_IN.startswith("KEYSTEAD_")


def test_the_table_of_metrics_follows_the_rules_of_prometheus():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith("keystead_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.help.endswith(".")
        assert "process" not in metric.labels


def test_faults_of_ours_are_shown_before_they_happen(machine):
    machine.start("worker-1", calls(0.002))
    for code in ("DATA_LOSS", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE"):
        assert machine.value("keystead_calls_total", code=code, **CALL) == 0
    assert machine.value("keystead_calls_total", code="NOT_FOUND", **CALL) is None
