"""What is installed is pinned, by hash, and the tests run on what the service runs on."""

import json
import re

import pytest

from tests.support.token import ROOT

FOLDER = ROOT / "requirements"
ENTRY = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+?)(?: ; (.+))?", re.ASCII)
HASH = re.compile(r"sha256:[0-9a-f]{64}")


def _locked(name: str) -> dict[str, tuple[str, str | None]]:
    """Return version and condition of every package in a lock file, having checked that each has its hashes."""
    found = {}
    for entry in (FOLDER / name).read_text().replace(" \\\n    ", " ").splitlines():
        package, *hashes = entry.split(" --hash=")
        match = ENTRY.fullmatch(package)
        assert match, entry
        assert hashes, f"{package} has no hash"
        assert all(HASH.fullmatch(it) for it in hashes), entry
        found[match[1]] = (match[2], match[3])
    return found


@pytest.mark.parametrize(
    ("name", "least"), [("runtime.txt", 20), ("otel.txt", 8), ("test.txt", 20), ("audit.txt", 20), ("fuzz.txt", 20)]
)
def test_a_lock_file_names_packages_versions_and_hashes_and_nothing_else(name, least):
    assert len(_locked(name)) > least
    assert "://" not in (FOLDER / name).read_text()


def test_the_tests_run_on_what_the_service_runs_on():
    runtime, otel, test = (_locked(f"{name}.txt") for name in ("runtime", "otel", "test"))
    assert {name: test.get(name) for name in runtime | otel} == runtime | otel


@pytest.mark.parametrize("name", ["runtime", "otel", "test", "audit", "fuzz"])
def test_what_is_asked_for_is_locked(name):
    asked = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)", (FOLDER / f"{name}.in").read_text(), re.MULTILINE)
    locked = {it.lower() for it in _locked(f"{name}.txt")}
    assert asked
    assert {it.lower() for it in asked} <= locked


def test_the_client_in_another_language_is_locked_too():
    folder = ROOT / "tests/node"
    asked = json.loads((folder / "package.json").read_text())["dependencies"]
    text = (folder / "package-lock.json").read_text()
    locked = {name.removeprefix("node_modules/"): entry for name, entry in json.loads(text)["packages"].items() if name}
    assert {name: locked[name]["version"] for name in asked} == asked
    assert [name for name, entry in locked.items() if not entry["integrity"].startswith("sha512-")] == []
    assert "resolved" not in text
