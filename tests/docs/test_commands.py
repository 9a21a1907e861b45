"""Every command that the documentation tells people to paste is executed, in order, against a running service."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1.resources_pb2 import MainKey

from server.grpc_api.convert import OPENSSL_COMMANDS
from tests.docs.pages import PAGES, ROOT, blocks, name, page

pytestmark = pytest.mark.slow

WITH_COMMANDS = [it for it in PAGES if blocks(it, "sh")]

SET_UP = re.compile(r"(scripts/(?:run|stop|test|demo))((?: --[a-z]+)*)")
"""What manages the development set-up: the tests have a set-up of their own."""
ACTIVATE = ". .venv/bin/activate"


def own_set_up(line: str) -> str:
    """Return a line as it is executed here."""
    if line == ACTIVATE:
        assert (Path(sys.prefix) / "bin/activate").is_file()
        return ":"
    match = SET_UP.fullmatch(line)
    if match is None:
        return line
    script = ROOT / match[1]
    assert os.access(script, os.X_OK), line
    assert all(option in script.read_text() for option in match[2].split()), line
    return ":"


def pasted(of: Path, folder: Path, service) -> str:
    """Execute a page's commands, one after the other, and return what they print."""
    (folder / ".keystead").symlink_to(service.folder)
    (service.folder / "log").mkdir(exist_ok=True)
    if not (service.folder / "log/keystead.log").exists():
        (service.folder / "log/keystead.log").symlink_to(service.log)
    for block in blocks(of, "python"):
        (folder / block.file).write_text(block.text)
    lines = [own_set_up(line) for block in blocks(of, "sh") for line in block.text.splitlines()]
    script = folder / "pasted.sh"
    script.write_text("\n".join(lines) + "\n")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "KEYSTEAD_DEV_FOLDER": str(service.folder),
    }
    command = ["bash", "-euo", "pipefail", str(script)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{name(of)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def printed(service, tmp_path_factory):
    """What each page's commands print."""
    return {name(it): pasted(it, tmp_path_factory.mktemp("page"), service) for it in WITH_COMMANDS}


def test_there_are_no_blocks_that_nobody_checks():
    kinds = {block.language for it in PAGES for block in blocks(it)}
    assert kinds == {"sh", "bash", "toml", "python", "mermaid"}
    # Those that start and stop services are executed by test_operations.py.
    assert {name(it) for it in PAGES if blocks(it, "bash")} == {"docs/operations.md"}
    assert {name(it) for it in WITH_COMMANDS} >= {"README.md", "docs/example.md", "docs/hsm.md"}


def test_the_readme_leads_from_nothing_to_a_content_key_under_ones_own_main_key(service, printed):
    assert printed["README.md"].endswith("It is the same content key.\n")
    request = organizations.GetOrganizationRequest(name="organizations/acme")
    acme = service.client("operator").organizations.GetOrganization(request)
    assert acme.main_key != "organizations/acme/mainKeys/common"
    assert acme.kek_count == 1


def test_the_example_does_what_it_says(service, printed):
    active, another_context, another_organization, revoked, too_late = printed["docs/example.md"].splitlines()
    request = organizations.GetOrganizationRequest(name="organizations/globex")
    globex = service.client("operator").organizations.GetOrganization(request)
    assert active == f"active: {globex.main_key}"
    assert not globex.main_key.endswith("/common")
    assert another_context.startswith("another context: The wrapped content key was not accepted")
    assert another_organization == "another organisation: PERMISSION_DENIED FORBIDDEN"
    assert revoked == "revoked: FAILED_PRECONDITION ORGANIZATION_LOCKED"
    assert too_late == "seen too long ago: ABORTED STALE_ETAG"
    assert globex.main_key_state == MainKey.ACTIVE


def test_the_clients_example_does_what_it_says(printed):
    told = ["with another context: WRAPPED_KEY_REJECTED", "no such KEK: NOT_FOUND NOT_FOUND"]
    assert printed["docs/client.md"].splitlines()[-2:] == told


def test_the_probe_of_the_development_token_finds_nothing_wrong(printed):
    assert "The service can run on it." in printed["docs/hsm.md"]


def test_the_customers_openssl_commands_are_the_services_own():
    (walk,) = blocks(page("README.md"), "sh")
    told = [line for line in walk.text.splitlines() if "openssl" in line]
    assert len(told) == len(OPENSSL_COMMANDS)
    for line, command in zip(told, OPENSSL_COMMANDS, strict=True):
        assert line in {command, f"{command} | tee fingerprint.txt"}
