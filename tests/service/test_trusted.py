"""A service in the trust mode `trusted`, from its first start: what waits for the security officer, what he does."""

import json
import os
import re
import sys

import pytest
from keystead.v1 import audit_service_pb2 as audit
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1.resources_pb2 import AuditEvent, MainKey

from tests.support.crypto import encrypt, fingerprint
from tests.support.service import Service, refused
from tests.support.terminal import terminal

pytestmark = pytest.mark.slow

EX_CONFIG = 78


class Officer:
    """The HSM's security officer, at the machine of the service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def command(self, *words) -> list[str]:
        return ["hsm", "trust", "--config", str(self.service.config), *words]

    def runs(self, *words, status: int = 0):
        pin = ("--so-pin-file", self.service.folder / "token/so_pin")
        done = self.service.keystead(*self.command(*words, *pin), check=False)
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
        return done

    def is_told(self, *words, status: int) -> str:
        return self.runs(*words, status=status).stderr


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("service"), HSM__TRUST_MODE="trusted")
    yield service
    if service.is_running:
        assert service.stop() == 0


@pytest.fixture(scope="module")
def officer(service):
    return Officer(service)


def served_not(service) -> str:
    """What is told when the service does not start."""
    done = service.keystead("serve", "--config", service.config, check=False)
    assert done.returncode == EX_CONFIG, done
    return done.stderr


@pytest.fixture(scope="module")
def running(service, officer):
    """The service runs once the officer has marked the common key."""
    assert "keystead hsm trust --common-key" in served_not(service)
    told = officer.is_told("--common-key", "--fingerprint", "00" * 32, status=1)
    found = re.search(r"has the fingerprint ([0-9a-f]{64})\.", told)[1]
    report = json.loads(officer.runs("--common-key", "--fingerprint", found, "--json").stdout)
    assert report == {"main_key": "the common key", "fingerprint": found, "was_trusted": False, "trusted": True}
    assert json.loads(officer.runs("--common-key", "--fingerprint", found, "--json").stdout)["was_trusted"] is True
    service.start()
    return service


@pytest.fixture
def org(running):
    return running.new_organization()


def test_a_main_key_works_when_the_officer_has_marked_it(running, officer, org):
    kek = org.new_kek()
    (made,) = org.generate(kek.name)
    wrapping_key, value = org.wrapping_key(), os.urandom(32)
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), value)
    with refused("FAILED_PRECONDITION", "MAIN_KEY_NOT_TRUSTED"):
        org.upload(encrypted, wrapping_key.name, main_keys.NOW)
    key = org.upload(encrypted, wrapping_key.name, main_keys.LATER).main_key
    with refused("FAILED_PRECONDITION", "MAIN_KEY_NOT_TRUSTED"):
        org.activate(key.name)

    named = ("--organization", org.id, "--main-key", key.name.rpartition("/")[2])
    told = officer.is_told(*named, "--fingerprint", fingerprint(os.urandom(32)).hex(), status=1)
    assert fingerprint(value).hex() in told
    with refused("FAILED_PRECONDITION", "MAIN_KEY_NOT_TRUSTED"):
        org.activate(key.name)
    done = officer.runs(*named, "--fingerprint", fingerprint(value).hex())
    assert done.stdout == f"{key.name} is marked as trusted now: it may wrap KEKs.\n"
    assert org.activate(key.name).state == MainKey.ACTIVE
    events = org.admin.audit.ListAuditEvents(audit.ListAuditEventsRequest(parent=org.name, page_size=1000)).audit_events
    (marked,) = [it for it in events if it.action == AuditEvent.MAIN_KEY_TRUSTED]
    assert (marked.actor, marked.subject) == ("security-officer", key.name)
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
    assert org.unwrap(made.wrapped).plaintext == made.plaintext
    org.new_kek()


def test_the_officer_is_shown_the_fingerprint_and_asked(running, officer, org):
    value = os.urandom(32)
    key = org.bring(value, main_keys.LATER)
    named = ("--organization", org.id, "--main-key", key.name.rpartition("/")[2])
    pin = (running.folder / "token/so_pin").read_text().strip()
    command = [sys.executable, "-m", "server", *officer.command(*named)]
    questions = ("Has its owner told you the same? [y/N]: ", "PIN of the security officer: ")
    for answers, status in ((("n",), 1), (("y", "not the PIN"), EX_CONFIG), (("y", pin), 0)):
        with refused("FAILED_PRECONDITION", "MAIN_KEY_NOT_TRUSTED"):
            org.activate(key.name)
        with terminal(command, cwd=running.folder, env=running.environment(), columns=200) as screen:
            screen.reads(fingerprint(value).hex())
            for question, answer in zip(questions, answers, strict=False):
                screen.reads(question)
                screen.types(f"{answer}\n")
            assert screen.ends() == status, screen.shown
        assert answers[1:] == () or answers[1] not in screen.shown
        assert "Traceback" not in screen.shown
    assert org.activate(key.name).state == MainKey.ACTIVE


def test_what_the_officer_cannot_mark_is_told(running, officer, org):
    unknown = officer.is_told("--organization", org.id, "--main-key", "0" * 32, "--fingerprint", "00", status=EX_CONFIG)
    assert "does not exist" in unknown


def test_the_mode_stays(running):
    """The last test of this file: the service does not start in the other mode on the token of this one."""
    assert running.stop() == 0
    other = {"KEYSTEAD_HSM__TRUST_MODE": "flags"}
    done = running.keystead("serve", "--config", running.config, check=False, env=other)
    assert done.returncode == EX_CONFIG, done
    assert "was not made in the trust mode that hsm.trust_mode says" in done.stderr
