"""The audit log over the API and the command line: what is told, exported, signed and proven."""

import json
import subprocess
import sys
from itertools import pairwise
from uuid import uuid4

import grpc
import pytest
from keystead.v1 import audit_service_pb2 as audit
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import rotation_service_pb2 as rotations
from keystead.v1.resources_pb2 import AuditEvent

from tests.support import audit_verifier
from tests.support.service import Organization, eventually, refused
from tests.support.token import ROOT

pytestmark = pytest.mark.slow

Action = AuditEvent.Action


@pytest.fixture(scope="module")
def org(service):
    """An organisation with a life behind it."""
    org = service.new_organization("audit")
    kek = org.new_kek().name
    org.unwrap(org.generate(kek, 3, document="report")[0].wrapped, document="report")
    key = org.bring()
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
    org.admin.main_keys.RevokeMainKey(
        main_keys.RevokeMainKeyRequest(name=key.name, reason="stolen laptop", request_id=REQUEST_ID),
        metadata=[("x-request-id", "the-revocation")],
    )
    org.activate(key.name)
    return org


REQUEST_ID = str(uuid4())


def listed(org, **wanted) -> list[AuditEvent]:
    """All events that are wanted, oldest first."""
    found: list[AuditEvent] = []
    request = audit.ListAuditEventsRequest(parent=org.name, **wanted)
    while True:
        page = org.admin.audit.ListAuditEvents(request)
        found += page.audit_events
        request.page_token = page.next_page_token
        if not request.page_token:
            return found[::-1]


def refusals(org, count) -> list[AuditEvent]:
    """The refusals, as soon as there are so many."""

    def found():
        told = listed(org, actions=[Action.REFUSED])
        return told if len(told) >= count else None

    return eventually(found, f"{count} refusals are recorded")


def test_every_change_is_told_with_who_what_from_and_to(org):
    events = listed(org)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[0].action == Action.ORGANIZATION_CREATED
    (revoked,) = (it for it in events if it.to_state == "REVOKED")
    assert revoked.subject in {it.name for it in org.main_keys()}
    assert revoked.name == f"{org.name}/auditEvents/{revoked.sequence}"
    assert (revoked.action, revoked.from_state, revoked.kek_count) == (Action.MAIN_KEY_MOVED, "ACTIVE", 1)
    assert (revoked.note, revoked.request_id, revoked.call_id) == ("stolen laptop", REQUEST_ID, "the-revocation")
    assert revoked.actor.endswith(f"/administrator/{org.id}")
    retired = next(it for it in events if it.to_state == "RETIRED")
    assert (retired.actor, retired.call_id, retired.HasField("since")) == ("steward", "", False)


def test_the_use_of_content_keys_is_told_by_kek_caller_and_outcome(org):
    (kek,) = {it.subject for it in listed(org, actions=[Action.KEK_CREATED])}
    used = eventually(lambda: listed(org, actions=[Action.CONTENT_KEYS_USED]), "it is recorded")
    told = [(it.operation, it.subject, it.count, it.reason) for it in used]
    assert sorted(told) == [("GenerateContentKeys", kek, 3, ""), ("UnwrapContentKeys", kek, 1, "")]
    assert all(it.actor.endswith(f"service/{org.id}") and it.HasField("since") for it in used)


def test_refusals_are_told_with_their_reasons_and_who_is_refused_need_not_belong_to_the_organisation(service):
    org, other = (service.new_organization("refused") for _ in range(2))
    stranger = service.client(f"admin:{other.id}")
    name, identity = f"{org.name}/mainKeys/common", f"/administrator/{other.id}"
    call = [("x-request-id", "from-abroad")]
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        stranger.main_keys.GetMainKey(main_keys.GetMainKeyRequest(name=name), metadata=call)
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        stranger.audit.GetAuditCheckpoint(audit.GetAuditCheckpointRequest(organization=org.name))
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        list(stranger.audit.ExportAuditEvents(audit.ExportAuditEventsRequest(parent=org.name)))
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        Organization(service, other.id).generate(f"{org.name}/keks/{'0' * 32}")
    with refused("FAILED_PRECONDITION", "ILLEGAL_TRANSITION"):
        org.admin.main_keys.RevokeMainKey(main_keys.RevokeMainKeyRequest(name=name, request_id=REQUEST_ID))
    # No change, and no matter of permission.
    with refused("NOT_FOUND", "NOT_FOUND"):
        org.admin.rotations.GetRotation(rotations.GetRotationRequest(name=f"{org.name}/rotations/{'0' * 32}"))
    told = {it.operation: it for it in refusals(org, 5)}
    assert {operation: it.reason for operation, it in told.items()} == {
        "GetMainKey": "FORBIDDEN",
        "GetAuditCheckpoint": "FORBIDDEN",
        "ExportAuditEvents": "FORBIDDEN",
        "GenerateContentKeys": "FORBIDDEN",
        "RevokeMainKey": "ILLEGAL_TRANSITION",
    }
    assert told["GetMainKey"].actor.endswith(identity)
    assert (told["GetMainKey"].subject, told["GetMainKey"].call_id) == (name, "from-abroad")
    assert told["GenerateContentKeys"].subject == f"{org.name}/keks/{'0' * 32}"
    assert told["RevokeMainKey"].request_id == REQUEST_ID
    assert listed(other, actions=[Action.REFUSED]) == []


def test_a_flood_of_refusals_is_written_down_as_few(service):
    org = service.new_organization("flooded")
    stranger = service.client("service:nobody")
    for _ in range(50):
        with pytest.raises(grpc.RpcError):
            stranger.main_keys.ListMainKeys(main_keys.ListMainKeysRequest(parent=org.name))
    # Each of the workers tells ten one by one.
    assert 10 <= len(refusals(org, 10)) <= 20


def test_events_are_listed_page_by_page_and_by_what_is_wanted(org):
    whole = listed(org)
    assert listed(org, page_size=3)[: len(whole)] == whole
    moves = [it for it in whole if it.action == Action.MAIN_KEY_MOVED]
    assert listed(org, actions=[Action.MAIN_KEY_MOVED], page_size=2) == moves
    assert {it.actor for it in listed(org, actor="steward")} == {"steward"}
    start, end = moves[0].time, moves[-1].time
    between = listed(org, start_time=start, end_time=end)
    assert moves[0] in between
    assert moves[-1] not in between
    for field, wrong in (
        ("page_size", {"page_size": 1001}),
        ("page_token", {"page_token": "Zm9v"}),
        ("actions", {"actions": [0]}),
        ("actions", {"actions": [1] * 33}),
    ):
        with refused("INVALID_ARGUMENT", "INVALID_FIELD") as told:
            listed(org, **wrong)
        assert told[0].metadata == {"field": field}


def exported(org, **wanted) -> list[bytes]:
    parts = org.admin.audit.ExportAuditEvents(audit.ExportAuditEventsRequest(parent=org.name, **wanted))
    return [event for part in parts for event in part.events]


def test_an_export_is_of_the_events_that_are_asked_for(org):
    whole = exported(org)
    assert [json.loads(it)["sequence"] for it in whole] == list(range(1, len(whole) + 1))
    assert exported(org, first_sequence=2, last_sequence=4) == whole[1:4]
    assert exported(org, first_sequence=10**9) == []
    for field, wrong in (
        ("first_sequence", {"first_sequence": -1}),
        ("last_sequence", {"first_sequence": 3, "last_sequence": 2}),
        ("last_sequence", {"last_sequence": -1}),
    ):
        with refused("INVALID_ARGUMENT", "INVALID_FIELD") as told:
            exported(org, **wrong)
        assert told[0].metadata == {"field": field}


def checkpoint_of(org) -> audit.AuditCheckpoint:
    return org.admin.audit.GetAuditCheckpoint(audit.GetAuditCheckpointRequest(organization=org.name))


def proof_of(org, sequence, tree_size=0) -> audit.InclusionProof:
    request = audit.GetInclusionProofRequest(name=f"{org.name}/auditEvents/{sequence}", tree_size=tree_size)
    return org.admin.audit.GetInclusionProof(request)


def test_a_stranger_to_the_code_verifies_a_signature_and_a_proof(org, tmp_path):
    checkpoint = checkpoint_of(org)
    proof = proof_of(org, 2, checkpoint.tree_size)
    files = {
        "key.pem": checkpoint.public_key_pem.encode(),
        "head": checkpoint.signed_bytes,
        "signature": checkpoint.signature,
        "event": proof.event,
        "path": "\n".join(it.hex() for it in proof.path).encode(),
    }

    def verdict(index=proof.leaf_index, **changed) -> str:
        for name, content in files.items():
            (tmp_path / name).write_bytes(changed.get(name, content))
        command = [sys.executable, "-I", ROOT / "tests/support/audit_verifier.py", "key.pem", "head", "signature"]
        done = subprocess.run(
            [*command, "event", str(index), "path"], cwd=tmp_path, check=False, capture_output=True, text=True
        )
        assert bool(done.returncode) is bool(done.stderr)
        return done.stderr.strip()

    assert verdict() == ""
    unsigned, elsewhere = "the signature is not that of", "the event is not at this place"
    assert verdict(head=checkpoint.signed_bytes.replace(b'"size":', b'"size":1')).startswith(unsigned)
    assert verdict(event=proof.event.replace(b'"sequence":2', b'"sequence":3')).startswith(elsewhere)
    assert verdict(index=2).startswith(elsewhere)
    assert verdict(path=b"").startswith(elsewhere)
    # It is small, and -I has kept it from importing anything of ours.
    assert len((ROOT / "tests/support/audit_verifier.py").read_text().splitlines()) <= 100


def test_every_event_is_proven_and_every_growth(org):
    checkpoint = checkpoint_of(org)
    size, whole = checkpoint.tree_size, exported(org)
    for sequence in range(1, size + 1):
        proof = proof_of(org, sequence, size)
        assert (proof.event, proof.leaf_index, proof.tree_size) == (whole[sequence - 1], sequence - 1, size)
        found = audit_verifier.inclusion_root(proof.event, proof.leaf_index, size, list(proof.path))
        assert found == proof.root_hash == checkpoint.root_hash
    for old, new in [*pairwise(range(1, size + 1)), (1, size), (size, size)]:
        request = audit.GetConsistencyProofRequest(organization=org.name, old_size=old, new_size=new)
        proof = org.admin.audit.GetConsistencyProof(request)
        roots = proof.old_root_hash, proof.new_root_hash
        assert audit_verifier.has_grown(old, new, *roots, list(proof.path)), (old, new)
        if old != new:
            assert not audit_verifier.has_grown(old, new, *roots[::-1], list(proof.path))
    assert proof.new_root_hash == checkpoint.root_hash


def test_what_cannot_be_proven_is_refused(org):
    size = checkpoint_of(org).tree_size
    with refused("NOT_FOUND", "NOT_FOUND"):
        proof_of(org, 10**9)
    with refused("INVALID_ARGUMENT", "MALFORMED_NAME"):
        proof_of(org, 0)
    for wrong in (-1, 1, 10**9):
        with refused("INVALID_ARGUMENT", "INVALID_FIELD") as told:
            proof_of(org, 2, wrong)
        assert told[0].metadata == {"field": "tree_size"}
    for field, old, new in (("old_size", 0, size), ("old_size", 3, 2), ("new_size", 1, 10**9)):
        request = audit.GetConsistencyProofRequest(organization=org.name, old_size=old, new_size=new)
        with refused("INVALID_ARGUMENT", "INVALID_FIELD") as told:
            org.admin.audit.GetConsistencyProof(request)
        assert told[0].metadata == {"field": field}


# The command line.


@pytest.fixture
def keystead(service, org, tmp_path):
    """Run an audit command as the organisation's administrator."""

    def run(*words, status=0):
        done = service.cli(f"admin:{org.id}", "audit", *words, check=False, cwd=tmp_path)
        assert done.returncode == status, done
        return done.stdout if status == 0 else done.stderr

    return run


def test_an_export_is_verified_offline_and_a_changed_one_is_not(service, org, keystead, tmp_path):
    assert "SHA-256 of the public key" in keystead("key", org.id)
    fingerprint = json.loads(keystead("key", org.id, "-o", "again.pem", "--json"))["public_key_sha256"]
    assert f"events of {org.name}" in keystead("export", org.id)
    assert "exists, and is not overwritten" in keystead("export", org.id, status=2)
    told = json.loads(service.keystead("audit", "verify", "audit.jsonl", "--json", cwd=tmp_path).stdout)
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    assert (told["organization"], told["tree_size"]) == (org.id, len(lines) - 1)
    assert told["public_key_sha256"] == fingerprint
    org.new_kek()
    later = eventually(lambda: checkpoint_of(org).tree_size >= len(lines), "the log has grown")
    assert later
    keystead("export", org.id, "--out", "later.jsonl")
    assert "is genuine: all" in keystead("verify", "later.jsonl", "--key", "audit.pem", "--extends", "audit.jsonl")
    assert "not the beginning of this one" in keystead("verify", "audit.jsonl", "--extends", "later.jsonl", status=1)
    (tmp_path / "audit.jsonl").write_bytes(b"\n".join([*lines[1:], b""]))
    assert "is not genuine" in keystead("verify", "audit.jsonl", status=1)
    assert "No such file" in keystead("verify", "nothing.jsonl", status=2)


def test_a_receipt_is_verified_offline_and_tells_of_the_key(service, org, tmp_path, keystead):
    imported = listed(org, actions=[Action.MAIN_KEY_IMPORTED])[0]
    (key,) = (it for it in org.main_keys() if it.name == imported.subject)
    keystead("key", org.id)
    command = ("receipts", "get", org.id, str(imported.sequence))
    said = service.cli(f"admin:{org.id}", *command, cwd=tmp_path).stdout
    assert said.startswith(f"receipt.json: IMPORT of {imported.subject}")
    said = service.keystead("receipts", "verify", "receipt.json", cwd=tmp_path).stdout
    assert f"Fingerprint of the main key: {key.fingerprint.hex()}\n" in said
    assert "software token, not attested" in said
    assert "not CKA_EXTRACTABLE" in said
    stated = json.loads(service.keystead("receipts", "verify", "receipt.json", "--json", cwd=tmp_path).stdout)
    assert json.loads(stated["event"])["wrapping_key"] == imported.wrapping_key
    receipt = (tmp_path / "receipt.json").read_bytes()
    (tmp_path / "receipt.json").write_bytes(receipt.replace(b"IMPORT", b"ACTIVATION"))
    done = service.keystead("receipts", "verify", "receipt.json", cwd=tmp_path, check=False)
    assert (done.returncode, "is not genuine" in done.stderr) == (1, True)
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        org.admin.audit.GetReceipt(audit.GetReceiptRequest(name=f"{org.name}/auditEvents/1"))


def test_people_list_what_has_happened(keystead, org):
    (head, *rows) = keystead("list", org.id, "--action", "MAIN_KEY_MOVED", "--limit", "2").splitlines()
    assert head.split()[:4] == ["sequence", "time", "action", "subject"]
    assert [row.split()[2] for row in rows] == ["MAIN_KEY_MOVED"] * 2
    events = json.loads(keystead("list", org.id, "--actor", "steward", "--since", "2020-01-01", "--json"))
    assert {it["actor"] for it in events["audit_events"]} == {"steward"}
    assert keystead("list", org.id, "--before", "2020-01-01") == "No audit events.\n"
    assert "is none of" in keystead("list", org.id, "--action", "NONSENSE", status=2)
    assert "a time as in" in keystead("list", org.id, "--since", "yesterday", status=2)
