"""Exports are checked offline: a genuine one is found genuine, and one that differs in anything is not."""

import base64
import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from keystead.v1.audit_service_pb2 import AuditCheckpoint

from server.cli import audit_file, signed_files
from server.cli.signed_files import NotGenuineError
from server.domain.audit import AuditAction, AuditEvent, RecordedEvent
from server.domain.audit_encoding import encoded
from server.domain.checkpoints import TreeHead
from server.domain.merkle import leaf_hash, node_hash, root_hash
from tests.support.factories import ACME, NOW

KEYS = {
    AuditCheckpoint.ECDSA_P256_SHA256: ec.generate_private_key(ec.SECP256R1()),
    AuditCheckpoint.RSA_PSS_3072_SHA256: rsa.generate_private_key(65537, 2048),
}
ECDSA, PSS = KEYS
PUBLIC = {kind: key.public_key() for kind, key in KEYS.items()}


def event(number: int) -> bytes:
    told = AuditEvent(ACME, NOW + timedelta(seconds=number), "spiffe://é", AuditAction.KEK_CREATED, f"{number:032x}")
    return encoded(RecordedEvent(number, told))


def root_of(events: list[bytes]) -> bytes:
    def node(level, place):
        if level == 0:
            return leaf_hash(events[place])
        return node_hash(node(level - 1, 2 * place), node(level - 1, 2 * place + 1))

    return root_hash(len(events), node)


def checkpoint(events: list[bytes], kind=ECDSA, head: TreeHead | None = None) -> bytes:
    head, key = head or TreeHead(ACME, len(events), root_of(events), NOW), KEYS[kind]
    if kind == PSS:
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        signature = key.sign(head.signed_bytes, scheme, hashes.SHA256())
    else:
        signature = key.sign(head.signed_bytes, ec.ECDSA(hashes.SHA256()))
    der = PUBLIC[kind].public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return signed_files.signed_line(
        audit_file.CHECKPOINT,
        AuditCheckpoint(
            signed_bytes=head.signed_bytes,
            algorithm=kind,
            signature=signature,
            public_key_sha256=hashlib.sha256(der).digest(),
        ),
    )


def export(count: int, kind=ECDSA) -> bytes:
    events = [event(number) for number in range(1, count + 1)]
    return b"".join(line + b"\n" for line in [*events, checkpoint(events, kind)])


GENUINE = export(13)
LINES = GENUINE.splitlines(keepends=True)


@pytest.fixture(scope="module")
def verified(tmp_path_factory):
    file = tmp_path_factory.mktemp("exports") / "audit.jsonl"

    def verified(content: bytes, kind=ECDSA, older: bytes | None = None) -> audit_file.Verified:
        earlier = None
        if older is not None:
            file.write_bytes(older)
            earlier = audit_file.verified(file, PUBLIC[kind])
        file.write_bytes(content)
        return audit_file.verified(file, PUBLIC[kind], earlier)

    return verified


def is_refused(verified, content: bytes) -> bool:
    try:
        verified(content)
    except NotGenuineError:
        return True
    return False


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 64, 100])
def test_a_genuine_export_is_found_genuine(verified, count):
    events = [event(number) for number in range(1, count + 1)]
    found = verified(export(count))
    assert (found.organization, found.size, found.root) == ("acme", count, root_of(events))
    assert found.time == "2026-01-02T03:04:05.678901Z"
    assert verified(export(count, PSS), PSS).root == found.root


@given(place=st.integers(0, len(GENUINE) - 1), other=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_no_byte_can_be_another(verified, place, other):
    edited = bytearray(GENUINE)
    edited[place] ^= other
    assert is_refused(verified, bytes(edited))


@given(place=st.integers(0, len(GENUINE)), more=st.binary(min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_nothing_can_be_added(verified, place, more):
    assert is_refused(verified, GENUINE[:place] + more + GENUINE[place:])


@pytest.mark.parametrize("more", [b"\n", b" \n", b"{}\n"])
def test_no_line_can_be_put_in_between(verified, more):
    for place in range(len(LINES) + 1):
        assert is_refused(verified, b"".join([*LINES[:place], more, *LINES[place:]])), place
    for place in range(len(LINES)):
        assert is_refused(verified, b"".join([*LINES[:place], more, *LINES[place + 1 :]])), place


@given(st.sets(st.integers(0, len(LINES) - 1), min_size=1))
@settings(max_examples=200, deadline=None)
def test_no_line_can_be_left_out(verified, dropped):
    assert is_refused(verified, b"".join(line for place, line in enumerate(LINES) if place not in dropped))


@given(st.permutations(range(len(LINES))).filter(lambda order: order != list(range(len(LINES)))))
@settings(max_examples=200, deadline=None)
def test_no_lines_can_change_places(verified, order):
    assert is_refused(verified, b"".join(LINES[place] for place in order))


@given(st.integers(0, len(GENUINE) - 1))
@settings(max_examples=150, deadline=None)
def test_the_end_cannot_be_cut_off(verified, size):
    assert is_refused(verified, GENUINE[:size])


@given(st.integers(0, len(LINES) - 1), st.integers(0, len(LINES)))
@settings(max_examples=100, deadline=None)
def test_no_line_can_be_there_twice(verified, which, place):
    assert is_refused(verified, b"".join([*LINES[:place], LINES[which], *LINES[place:]]))


def test_an_edit_that_keeps_the_meaning_is_found_as_well(verified):
    *events, last = [line[:-1] for line in LINES]
    for edited in (
        [json.dumps(json.loads(events[0])).encode(), *events[1:], last],
        [*events, json.dumps(json.loads(last)).encode()],
        [*events, last.replace(b'"size":13', b'"size":13,"size":13')],
        [*events, last.replace(b"ECDSA_P256_SHA256", b"RSA_PSS_3072_SHA256")],
        [*events, last[:-1] + b',"more":1}'],
    ):
        assert is_refused(verified, b"".join(line + b"\n" for line in edited)), edited[-1]


def test_another_key_another_kind_of_statement_and_a_signature_over_less_are_told_apart(verified):
    events = [event(number) for number in range(1, 4)]

    def told(line: bytes, kind=ECDSA) -> str:
        with pytest.raises(NotGenuineError) as caught:
            verified(b"".join(it + b"\n" for it in [*events, line]), kind)
        return str(caught.value)

    assert "signed by another key" in told(checkpoint(events, PSS))
    assert "is of 2 events, and the file has 3" in told(checkpoint(events[:2]))
    assert "not those that were signed" in told(checkpoint([*events[:2], event(4)]))
    other = json.loads(checkpoint(events))
    other["checkpoint"]["type"] = "keystead.receipt.v1"
    signature = KEYS[ECDSA].sign(signed_files.canonical(other["checkpoint"]), ec.ECDSA(hashes.SHA256()))
    other["signature"] = base64.b64encode(signature).decode()
    assert "no checkpoint as Keystead writes it" in told(signed_files.canonical(other))
    assert "the end of the file is missing" in told(event(4))
    assert "Line of the checkpoint is no JSON." in told(b"")
    assert "Line of the checkpoint is no JSON." in told(b"[" * 60_000)


def test_a_later_export_must_begin_with_the_earlier_one(verified):
    assert verified(export(13), older=export(6)).size == 13
    assert verified(export(6), older=export(6)).size == 6
    rewritten = [event(1), event(2).replace(b"KEK_CREATED", b"KEK_DELETED"), *(event(it) for it in range(3, 14))]
    for content in (
        b"".join(line + b"\n" for line in [*rewritten, checkpoint(rewritten)]),
        export(5),
    ):
        with pytest.raises(NotGenuineError, match="not the beginning of this one"):
            verified(content, older=export(6))
    events = [event(number) for number in range(1, 7)]
    elsewhere = replace(TreeHead(ACME, 6, root_of(events), NOW), organization="other")
    content = b"".join(line + b"\n" for line in [*events, checkpoint(events, head=elsewhere)])
    with pytest.raises(NotGenuineError, match="not the beginning"):
        verified(content, older=export(6))


@pytest.mark.parametrize("pem", [b"", b"no key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_told(pem):
    with pytest.raises(NotGenuineError):
        signed_files.public_key(pem)
