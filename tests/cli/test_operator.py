"""The operator's commands, on the machine of the service."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support.service import free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def config(service, nobody):
    """The settings of the service, for another address, to be spoilt."""
    text = service.config.read_text().replace(service.address, f"127.0.0.1:{free_port()}")
    text = text.replace('= "pki/', f'= "{service.folder}/pki/').replace('= "token/', f'= "{service.folder}/token/')
    file = nobody.folder / "keystead.toml"
    file.write_text(text.replace('"policy.toml"', f'"{service.folder}/policy.toml"'))
    return file


def change(file, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_probe_tells_people_what_the_token_can_do(nobody, config):
    told = nobody.says("hsm", "probe").splitlines()
    assert told[0].startswith("keystead · SoftHSM project SoftHSM v2 2.6 · a software token")
    assert len([line for line in told if line.startswith("  ok   ")]) >= 19
    assert told[-3:] == [
        "Audit keys sign with ECDSA_P256_SHA256.",
        "Trust mode flags: who steals the PIN can still take KEKs out of the token.",
        "The service can run on it.",
    ]


def test_the_probe_tells_programs_the_same(nobody, config):
    report = nobody.json("hsm", "probe", "--config", config)
    assert report["ok"] is True
    assert report["token"]["label"] == "keystead"
    assert {check["fault"] for check in report["checks"]} == {None}


def test_the_settings_may_be_named_in_the_environment(nobody, config):
    elsewhere = nobody.folder / "elsewhere"
    elsewhere.mkdir()
    config.rename(elsewhere / "k.toml")
    nobody.says("migrate", KEYSTEAD_CONFIG=elsewhere / "k.toml")
    assert (elsewhere / "keystead.db").exists()
    nobody.says("migrate", KEYSTEAD_CONFIG=elsewhere / "k.toml")


BROKEN = [
    ("[server]", "[server", "Expected ']'"),
    ("workers = 2", "workers = 0", "server.workers: "),
    ("workers = 2", "worker = 2", "server.worker: "),
    ("token_label", "token_name", "hsm"),
    ('profile = "softhsm"', 'profile = "unheard-of"', "hsm.profile"),
    ("address = ", 'address = "nowhere" #', "server.address: "),
    ("url = ", 'url = "mysql://root:hunter2@db/x" #', "The database URL must be"),
    ("token_label = ", 'token_label = "other" #', "The token of label 'other' cannot be used: no token has it."),
    ("module = ", 'module = "/nowhere.so" #', "The PKCS#11 module cannot be loaded: /nowhere.so: "),
    ("module = ", 'module = "policy.toml" #', "The PKCS#11 module cannot be loaded: "),
    ("pin_file = ", 'pin_file = "no-pin" #', "The PIN file"),
    ("file = ", 'file = "no-policy" #', "The policy file"),
    ("certificate = ", 'certificate = "no.pem" #', "no.pem: No such file or directory."),
    ("client_ca = ", 'client_ca = "keystead.toml" #', "keystead.toml holds no certificate (PEM)."),
    ("server.key", "ca.key", "ca.key is not the private key of "),
]


@pytest.mark.parametrize(("old", "new", "told"), BROKEN, ids=[new for _, new, _ in BROKEN])
def test_settings_that_cannot_be_are_told_in_one_line(nobody, config, old, new, told):
    change(config, old, new)
    (line,) = nobody.is_told("serve", status=78).splitlines()
    assert line.startswith("keystead: ")
    assert told in line
    assert "hunter2" not in line


def test_settings_that_are_not_there_are_told(nobody):
    told = nobody.is_told("serve", status=78)
    assert told == "keystead: keystead.toml: No such file or directory. Give a settings file with --config.\n"


def test_a_pin_that_others_may_read_is_told(nobody, config, service):
    pin = nobody.folder / "pin"
    pin.write_bytes((service.folder / "token" / "pin").read_bytes())
    pin.chmod(0o640)
    change(config, "pin_file = ", 'pin_file = "pin" #')
    told = nobody.is_told("serve", status=78)
    assert told == f"keystead: Others may read {pin}. Do: chmod 600 {pin}\n"
    assert pin.read_text().strip() not in told


def test_an_address_that_is_taken_is_told(nobody, config, service):
    change(config, config.read_text().split("address = ")[1].splitlines()[0], f'"{service.address}"')
    told = nobody.is_told("serve", status=78)
    assert told.startswith(f"keystead: {service.address} cannot be listened on")
    assert "Is Keystead running already?" in told


def test_the_number_of_workers_can_be_set_for_once(nobody, config):
    command = [sys.executable, "-m", "server", "serve", "--workers", "1"]
    process = subprocess.Popen(
        command, cwd=nobody.folder, env=nobody.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    seen = []
    for line in process.stderr:
        seen.append(json.loads(line))
        if seen[-1]["event"] == "health":
            break
    os.kill(process.pid, signal.SIGINT)
    seen += map(json.loads, process.communicate()[1].splitlines())
    assert process.returncode == 0
    assert [it["child"] for it in seen if it["event"] == "started"] == ["worker-1", "steward"]
    assert [it for it in seen if it["event"] == "ended"] == []
