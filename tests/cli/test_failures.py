"""What people are told when something is wrong, and what programs can tell by the exit status."""

import json
import os
import pty
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import typer
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from server.cli.failures import Refusal
from tests.support.service import eventually, free_port
from tests.support.wire import wire_to

pytestmark = pytest.mark.slow

NAMES = ("KEYSTEAD_ADDRESS", "KEYSTEAD_CA", "KEYSTEAD_CERT", "KEYSTEAD_KEY")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("organizations", "get", "nobody-here"), "NOT_FOUND"),
        (("organizations", "get", "Not An Id"), "MALFORMED_NAME"),
        (("organizations", "create", "x"), "MALFORMED_NAME"),
        (("main-keys", "get", "acme", "common"), "FORBIDDEN"),
        (("keks", "create", "acme"), "FORBIDDEN"),
        (("rotations", "list", "acme"), "FORBIDDEN"),
    ],
)
def test_a_refusal_is_told_with_its_reason(operator, words, reason):
    told = operator.is_told(*words, status=1).splitlines()
    assert told[0].startswith("keystead: ")
    assert told[0].endswith(".")
    assert told[1:] == [f"  reason: {reason}"]


def test_a_refusal_is_one_json_object_for_programs(operator, org):
    told = json.loads(operator.is_told("organizations", "create", org.id, "--json", status=1))
    assert told["error"].pop("call_id")
    assert told == {
        "error": {
            "code": "ALREADY_EXISTS",
            "reason": "ORGANIZATION_EXISTS",
            "message": "An organization of this id exists. Choose another id.",
            "metadata": {},
        }
    }


@pytest.mark.parametrize(
    ("code", "shown"), [("UNAVAILABLE", "  call: it-was-me\n"), ("INTERNAL", "  call: it-was-me\n"), ("NOT_FOUND", "")]
)
def test_what_the_operator_can_mend_is_told_with_what_to_quote(capsys, code, shown):
    with pytest.raises(typer.Exit):
        Refusal(code, "", "It did not work.", {}, 1, "it-was-me").end(as_json=False)
    assert capsys.readouterr().err == f"keystead: It did not work.\n{shown}"


@pytest.mark.parametrize("words", [("main-keys", "get"), ("main-keys", "activate"), ("rotations", "get")])
def test_a_malformed_id_is_refused(admin, org, words):
    assert "reason: MALFORMED_NAME" in admin.is_told(*words, org.id, "0123", status=1)


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("main-keys", "get", "acme", "organizations/other/mainKeys/common"), "organizations/acme/mainKeys"),
        (("main-keys", "activate", "acme", "organizations/acme/keks/0"), "organizations/acme/mainKeys"),
        (("content-keys", "generate", "acme", "organizations/acme-2/keks/0"), "organizations/acme/keks"),
        (("rotations", "get", "organizations/acme", "rotations/0"), "organizations/acme/rotations"),
    ],
)
def test_a_name_of_another_place_is_no_slip_that_passes(operator, ear, words, known):
    told = operator.is_told(*words, status=2, KEYSTEAD_ADDRESS=ear.address)
    assert told == f"keystead: {words[-1]} is not one of {known}.\n"
    assert not ear.has_heard()


@pytest.mark.parametrize("pair", ["document", "=report", "document=a"])
def test_a_context_is_pairs_of_which_each_key_is_named_once(operator, ear, pair):
    command = ("content-keys", "generate", "acme", "0" * 32, "--context", "document=b", "--context", pair)
    told = operator.is_told(*command, status=2, KEYSTEAD_ADDRESS=ear.address)
    assert told == f"keystead: --context {pair}: it must be KEY=VALUE, each KEY once.\n"
    assert not ear.has_heard()


@pytest.mark.parametrize("digits", ["", "ab", "zz" * 32, "ab " * 32])
def test_an_expected_fingerprint_that_is_none_is_no_expectation_to_drop(operator, ear, digits):
    (operator.folder / "key").write_bytes(b"k" * 384)
    command = ("main-keys", "import", "acme", "key", "--expected-fingerprint", digits)
    told = operator.is_told(*command, status=2, KEYSTEAD_ADDRESS=ear.address)
    assert "--expected-fingerprint must be 64 hexadecimal digits" in told
    assert not ear.has_heard()


def test_an_empty_wrapping_key_is_not_the_present_one(admin, org):
    (admin.folder / "key").write_bytes(b"k" * 384)
    told = admin.is_told("main-keys", "import", org.id, "key", "--wrapping-key", "", status=1)
    assert "reason: MALFORMED_NAME" in told


@pytest.mark.parametrize("words", [("organizations", "get", b"\xff"), ("keks", "get", "acme", b"\xfe")])
def test_what_is_not_utf8_is_told(operator, words):
    assert operator.is_told(*words, status=2) == "keystead: Names, ids and contexts must be UTF-8.\n"


# The way to the service.


@pytest.mark.parametrize("missing", [NAMES[:1], NAMES[1:2], NAMES])
def test_missing_variables_are_named_together(operator, missing):
    told = operator.is_told("health", status=2, **dict.fromkeys(missing))
    assert told.startswith(f"keystead: {', '.join(missing)}: not set. ")
    assert 'eval "$(keystead dev env --as' in told


@pytest.mark.parametrize("address", ["here", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "a b:1"])
def test_an_address_is_a_host_and_a_port(operator, address):
    told = operator.is_told("health", status=2, KEYSTEAD_ADDRESS=address)
    assert told == f"keystead: KEYSTEAD_ADDRESS is {address!r}; it must be HOST:PORT.\n"


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("KEYSTEAD_CA", None, "KEYSTEAD_CA: file: No such file or directory."),
        ("KEYSTEAD_CERT", None, "KEYSTEAD_CERT: file: No such file or directory."),
        ("KEYSTEAD_CA", b"", "KEYSTEAD_CA: file holds no certificate (PEM)."),
        ("KEYSTEAD_CA", b"\xff", "KEYSTEAD_CA: file holds no certificate (PEM)."),
        ("KEYSTEAD_CERT", b"nothing", "are not a certificate and its private key"),
        ("KEYSTEAD_KEY", b"nothing", "are not a certificate and its private key"),
    ],
)
def test_files_that_cannot_be_used_are_named(operator, name, content, fault):
    if content is not None:
        (operator.folder / "file").write_bytes(content)
    assert fault in operator.is_told("health", status=2, **{name: "file"})


def test_a_key_of_another_certificate_is_told(operator, service):
    other = service.identity("service:another")["KEYSTEAD_KEY"]
    told = operator.is_told("health", status=2, KEYSTEAD_KEY=other)
    assert f"{operator.environment['KEYSTEAD_CERT']} and {other} are not a certificate and its private key" in told


def test_a_key_with_a_passphrase_is_told_and_not_asked_for(operator):
    command = ["openssl", "pkey", "-in", operator.environment["KEYSTEAD_KEY"], "-aes256", "-passout", "pass:secret"]
    sealed = subprocess.run(command, check=True, capture_output=True).stdout
    (operator.folder / "sealed.key").write_bytes(sealed)
    told = operator.is_told("health", status=2, KEYSTEAD_KEY="sealed.key")
    assert "without a passphrase" in told


def test_a_service_that_is_down_is_to_be_tried_again(operator):
    address = f"127.0.0.1:{free_port()}"
    told = operator.is_told("health", status=75, KEYSTEAD_ADDRESS=address)
    assert told.startswith(f"keystead: No answer from {address}. Is the service running there? ")
    assert "\n  detail: " in told
    assert "Connection refused" in told
    told = json.loads(operator.is_told("health", "--json", status=75, KEYSTEAD_ADDRESS=address))
    assert (told["error"]["code"], told["error"]["reason"]) == ("UNAVAILABLE", "")


def test_a_service_that_is_far_away_is_waited_for(operator):
    port = int(operator.environment["KEYSTEAD_ADDRESS"].rpartition(":")[2])
    with wire_to(port) as wire:
        wire.hold()
        with operator.starts("health", KEYSTEAD_ADDRESS=f"127.0.0.1:{wire.port}") as process:
            eventually(lambda: wire.connections, "it connects")
            threading.Timer(0.5, wire.release).start()  # That is how long the handshake takes.
            assert process.communicate()[0] == "SERVING\n"
        assert wire.connections == 1


def test_a_proxy_for_the_world_outside_is_not_asked_for_this_machine(operator, ear):
    proxy = f"http://{ear.address}"
    assert operator.says("health", http_proxy=proxy, https_proxy=proxy, HTTPS_PROXY=proxy) == "SERVING\n"
    assert not ear.has_heard()


@pytest.fixture
def other_authority(operator) -> dict[str, Path]:
    """The files of an authority that has nothing to do with the service."""
    folder = operator.folder / "other"
    operator.says("dev", "init", "--folder", folder, "--module", "none")
    operator.says("dev", "env", "--folder", folder, "--as", "operator")
    pki = folder / "pki"
    return {"KEYSTEAD_CA": pki / "ca.pem", "KEYSTEAD_CERT": pki / "operator.pem", "KEYSTEAD_KEY": pki / "operator.key"}


def test_a_service_of_another_authority_is_not_spoken_to(operator, other_authority):
    told = operator.is_told("health", status=1, KEYSTEAD_CA=other_authority["KEYSTEAD_CA"])
    address = operator.environment["KEYSTEAD_ADDRESS"]
    assert told == (
        f"keystead: What answers at {address} is not a service that KEYSTEAD_CA vouches for. "
        "Check KEYSTEAD_ADDRESS and KEYSTEAD_CA; nothing was sent.\n"
    )


def test_a_caller_of_another_authority_gets_no_answer(operator, other_authority):
    other_authority.pop("KEYSTEAD_CA")
    told = operator.is_told("health", status=75, **other_authority)
    assert "Does it know the authority of KEYSTEAD_CERT?" in told


def test_what_speaks_no_tls_is_no_service(operator):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 hello\r\n")
                connection.recv(4096)

        greeter = threading.Thread(target=greet)
        greeter.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        told = operator.is_told("health", status=75, KEYSTEAD_ADDRESS=address)
        greeter.join()
    assert f"No answer from {address}" in told


@contextmanager
def unwell(folder: Path):
    """A server with the service's certificate, whose health is that of a service without its token."""
    pki = folder / "pki"
    server = grpc.server(ThreadPoolExecutor(1))
    health = HealthServicer()
    health.set("", HealthCheckResponse.NOT_SERVING)
    add_HealthServicer_to_server(health, server)
    read = [(pki / name).read_bytes() for name in ("server.key", "server.pem", "ca.pem")]
    credentials = grpc.ssl_server_credentials([(read[0], read[1])], read[2], require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_a_service_that_does_not_serve_is_to_be_tried_again(operator, service):
    with unwell(service.folder) as address:
        command = [sys.executable, "-m", "server", "health"]
        environment = {**operator.environment, "KEYSTEAD_ADDRESS": address}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (75, "NOT_SERVING\n", "")


# The terminal.


def test_a_reader_that_leaves_early_is_no_error(operator):
    command = f"{sys.executable} -m server organizations list | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], env=operator.environment, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_on_a_terminal_as_in_a_pipe_no_line_is_broken(operator, service):
    name = service.new_organization("a-long-name-of-an-organization-that-has-a-lot-to-tell").id
    piped = operator.says("organizations", "list")
    assert f"\n{name} " in piped
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "server", "organizations", "list"]
    environment = {**operator.environment, "TERM": "xterm", "COLUMNS": "40", "LINES": "10"}
    subprocess.run(command, env=environment, stdout=slave, stderr=slave, check=True)
    os.close(slave)
    with open(master, "rb", buffering=0) as terminal:  # noqa: PTH123 - a descriptor
        shown = b""
        while not shown.endswith(piped.encode()[-20:].replace(b"\n", b"\r\n")):
            shown += terminal.read(65536)
    assert shown.decode().replace("\r\n", "\n") == piped


def test_a_terminal_of_another_encoding_gets_escapes(operator, service):
    name = service.new_organization("latin").id + "x"
    operator.says("organizations", "create", name, "--display-name", "Grün 株式会社")
    told = operator.says("organizations", "get", name, PYTHONIOENCODING="ascii")
    assert "Gr\\xfcn \\u682a" in told


def test_what_would_steer_a_terminal_is_refused_and_never_printed(operator, ear):
    escape = "\x1b[2J"
    told = operator.is_told("organizations", "create", "steer", "--display-name", f"a{escape}", status=1)
    assert "reason: INVALID_FIELD" in told
    told += operator.is_told("main-keys", "get", "acme", f"x/{escape}", status=2)
    told += operator.is_told("content-keys", "generate", "acme", "k", "--context", escape, status=2)
    told += operator.is_told("main-keys", "prepare", "--public-key", f"{escape}.pem", status=2)
    assert escape not in told
    assert told.count("\\x1b[2J") == 3
