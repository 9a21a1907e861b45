"""Receipts are checked offline: a genuine one is found genuine, and one that differs in anything is not."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from keystead.v1.audit_service_pb2 import AuditCheckpoint, Receipt

from server.cli import signed_files
from server.cli.receipts import RECEIPT, verified
from server.cli.signed_files import NotGenuineError
from server.domain.merkle import inclusion_path, leaf_hash, node_hash, root_hash

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key()
EVENTS = [
    json.dumps({"organization": "acme", "sequence": number}, sort_keys=True, separators=(",", ":")).encode()
    for number in range(1, 8)
]


def nodes(level, place):
    if level == 0:
        return leaf_hash(EVENTS[place])
    return node_hash(nodes(level - 1, 2 * place), nodes(level - 1, 2 * place + 1))


def statement(**changed):
    told = {
        "type": "keystead.receipt.v1",
        "act": "REVOCATION",
        "organization": "acme",
        "main_key": "organizations/acme/mainKeys/common",
        "event": EVENTS[4].decode(),
        "checkpoint": {"size": 7, "root": root_hash(7, nodes).hex()},
        "path": [it.hex() for it in inclusion_path(4, 7, nodes)],
    }
    return {name: value for name, value in {**told, **changed}.items() if value is not None}


def receipt(**changed) -> bytes:
    """A receipt that the key has signed."""
    signed = signed_files.canonical(statement(**changed))
    der = PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    message = Receipt(
        signed_bytes=signed,
        algorithm=AuditCheckpoint.ECDSA_P256_SHA256,
        signature=KEY.sign(signed, ec.ECDSA(hashes.SHA256())),
        public_key_sha256=hashlib.sha256(der).digest(),
    )
    return signed_files.signed_line(RECEIPT, message) + b"\n"


GENUINE = receipt()


def test_a_genuine_receipt_is_found_genuine():
    assert verified(GENUINE, PUBLIC) == statement()


@given(place=st.integers(0, len(GENUINE) - 1), other=st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_no_byte_can_be_another(place, other):
    edited = bytearray(GENUINE)
    edited[place] ^= other
    with pytest.raises(NotGenuineError):
        verified(bytes(edited), PUBLIC)


OTHER_ROOT = {"size": 7, "root": "00" * 32}
SIZES = [{"size": size, "root": root_hash(7, nodes).hex()} for size in (0, -1, 4, 16)]


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "keystead.audit.checkpoint.v1"},
        {"event": EVENTS[3].decode()},
        {"event": "[]"},
        {"event": 7},
        {"event": None},
        {"path": []},
        {"path": None},
        {"path": ["00" * 32, *statement()["path"]]},
        {"organization": "other"},
        {"checkpoint": OTHER_ROOT},
        *({"checkpoint": it} for it in SIZES),
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_not_genuine_though_it_is_signed(changed):
    with pytest.raises(NotGenuineError):
        verified(receipt(**changed), PUBLIC)


def test_an_export_is_no_receipt():
    with pytest.raises(NotGenuineError, match="There is no receipt"):
        verified(GENUINE.replace(b'"receipt"', b'"checkpoint"'), PUBLIC)
    with pytest.raises(NotGenuineError, match="not whole"):
        verified(GENUINE[:-1], PUBLIC)
