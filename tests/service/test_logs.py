"""The log of a running service: JSON throughout, a line for each change, the ids of calls, and no secret."""

import base64
import json
import os
import re
import socket
import ssl
import uuid

import grpc
import pytest
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations

from tests.support.crypto import encrypt
from tests.support.service import eventually, refusal_of, refused, running

pytestmark = pytest.mark.slow


class Logged:
    """A service, and what it logs."""

    def __init__(self, service):
        self.service = service

    def lines(self):
        return [json.loads(line) for line in self.service.log.read_text().splitlines()]

    def of(self, event, **fields):
        return [it for it in self.lines() if it["event"] == event and it.items() >= fields.items()]

    def last(self, count, event, **fields):
        """Return the last of these lines, once there are so many: the supervisor passes them on a moment later."""
        return eventually(lambda: self.of(event, **fields)[-count:], f"{event} is logged")


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    with running(tmp_path_factory.mktemp("logged"), SERVER__WORKERS="1") as service:
        yield Logged(service)


def test_a_change_is_one_line_with_who_what_and_what_became_of_it(logged):
    org = logged.service.new_organization()
    key = org.bring()
    request_id = str(uuid.uuid4())
    request = main_keys.RevokeMainKeyRequest(name=key.name, request_id=request_id)
    org.admin.main_keys.RevokeMainKey(request, metadata=(("x-request-id", "revocation-1"),))
    (line,) = logged.last(1, "change", method="RevokeMainKey", resource=key.name)
    told = {field: line[field] for field in ("caller", "code", "call_id", "request_id", "process", "level")}
    assert told == {
        "caller": f"spiffe://keystead.dev/administrator/{org.id}",
        "code": "OK",
        "call_id": "revocation-1",
        "request_id": request_id,
        "process": "worker-1",
        "level": "info",
    }
    assert "reason" not in line
    assert 0 < line["seconds"] < 30
    assert len(logged.of("change", method="RevokeMainKey", resource=key.name)) == 1
    assert [it["method"] for it in logged.of("change", resource=org.name)] == ["GetWrappingKey", "ImportMainKey"]


def test_a_change_that_is_refused_is_told_with_its_reason(logged):
    org = logged.service.new_organization()
    key = org.bring()
    with refused("FAILED_PRECONDITION", "ILLEGAL_TRANSITION") as refusal:
        org.activate(key.name)
    (line,) = logged.last(1, "change", method="ActivateMainKey", resource=key.name)
    assert (line["code"], line["reason"]) == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")
    assert line["call_id"] == refusal[0].call_id
    stranger = org.user
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        stranger.main_keys.ActivateMainKey(main_keys.ActivateMainKeyRequest(name=key.name))
    (line,) = logged.last(1, "change", method="ActivateMainKey", reason="FORBIDDEN")
    assert line["caller"] == f"spiffe://keystead.dev/service/{org.id}"


def test_what_changes_nothing_leaves_no_line(logged):
    org = logged.service.new_organization()
    kek = org.new_kek().name
    org.main_keys()  # Whoever is new to the policy has made it be read again.
    first = logged.service.new_organization("before")
    (before,) = logged.last(1, "change", resource=first.id)
    (made,) = org.generate(kek)
    org.unwrap(made.wrapped)
    org.wrap(kek, bytes(32))
    org.main_keys()
    with refused("NOT_FOUND", "NOT_FOUND"):
        org.generate(f"{org.name}/keks/{'0' * 32}")
    last = logged.service.new_organization("after")
    eventually(lambda: logged.of("change", resource=last.id), "what came later is logged")
    lines = logged.lines()
    assert [it.get("resource") for it in lines[lines.index(before) + 1 :]] == [last.id]


def test_a_caller_can_quote_the_id_of_its_call(logged):
    admin = logged.service.client("operator").organizations
    request = organizations.GetOrganizationRequest(name="organizations/nobody-here")
    told = []
    for metadata in ((("x-request-id", "mine-1"),), (("x-request-id", "not well formed"),), ()):
        with pytest.raises(grpc.RpcError) as caught:
            admin.GetOrganization(request, metadata=metadata)
        told.append(refusal_of(caught.value).call_id)
    assert told[0] == "mine-1"
    assert all(re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", it) for it in told[1:])
    assert len(set(told)) == 3


def test_other_lines_that_a_call_causes_carry_its_id_and_the_services_own_carry_none(logged):
    policy = logged.service.folder / "policy.toml"
    policy.write_text(policy.read_text() + "\n")
    operator = logged.service.client("operator").organizations
    operator.ListOrganizations(organizations.ListOrganizationsRequest(), metadata=(("x-request-id", "it-was-me"),))
    eventually(lambda: logged.of("policy_read", call_id="it-was-me"), "the reading of the policy is logged")
    assert logged.of("health")
    assert not any("call_id" in it for it in logged.of("health"))


def test_what_looks_like_no_name_is_not_logged(logged):
    org = logged.service.new_organization()
    for name in ('" , "level": "', "x" * 10_000, "a\nb", "\u202e"):
        with pytest.raises(grpc.RpcError) as caught:
            org.admin.main_keys.ActivateMainKey(main_keys.ActivateMainKeyRequest(name=name, request_id=name))
        (line,) = logged.last(1, "change", call_id=refusal_of(caught.value).call_id)
        assert line["code"] == "INVALID_ARGUMENT"
        assert line.keys().isdisjoint({"resource", "request_id"})


def test_failed_handshakes_are_lines_of_the_log_too(logged):
    host, _, port = logged.service.address.rpartition(":")
    before = len(logged.of("handshake_failed"))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(2):
        with socket.create_connection((host, int(port)), timeout=10) as raw, context.wrap_socket(raw) as stranger:
            stranger.recv(1)
    eventually(lambda: len(logged.of("handshake_failed")) == before + 2, "both are told")
    line = logged.of("handshake_failed")[-1]
    assert line["child"] == "worker-1"
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in line["text"]


def test_no_key_reaches_the_log(logged):
    org = logged.service.new_organization()
    value = os.urandom(32)
    wrapping_key = org.wrapping_key()
    upload = encrypt(wrapping_key.public_key_pem.encode(), value)
    org.upload(upload, wrapping_key.name, main_keys.NOW)
    with refused("FAILED_PRECONDITION", "WRAPPING_KEY_NOT_USABLE"):
        org.upload(upload, wrapping_key.name)
    (made,) = org.generate(org.new_kek().name)
    last = logged.service.new_organization("last")
    eventually(lambda: logged.of("change", resource=last.id), "what came later is logged")
    log = logged.service.log.read_bytes()
    pin = (logged.service.folder / "token/pin").read_bytes()
    for secret in (value, upload, made.plaintext, made.wrapped, pin):
        encoded = base64.b64encode(secret).rstrip(b"=")[:-1]
        assert not any(it in log for it in (secret, secret.hex().encode(), encoded, repr(secret)[2:-1].encode()))
    assert org.id.encode() in log


def test_every_line_is_one_json_object(logged):
    assert {"event", "level", "timestamp", "process"} <= set.intersection(*(set(it) for it in logged.lines()))
