"""Exports and receipts that are given to `verify`: it says whether they are genuine, and never breaks.

That nothing can be changed unseen is shown by tests/unit; here even the key has signed what nobody would write.
"""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from server.cli import audit, receipts
from server.domain.merkle import leaf_hash
from tests.support.damage import damaged, json_values

KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
EVENT = b'{"organization":"acme","sequence":1}'
CHECKPOINT = {
    "type": "keystead.audit.checkpoint.v1",
    "organization": "acme",
    "size": 1,
    "root": leaf_hash(EVENT).hex(),
    "time": "2026-01-02T03:04:05.678901Z",
}
RECEIPT = {
    "type": "keystead.receipt.v1",
    "act": "IMPORT",
    "organization": "acme",
    "main_key": "organizations/acme/mainKeys/common",
    "fingerprint": "ab" * 32,
    "time": "2026-01-02T03:04:05.678901Z",
    "token": {"manufacturer": "m", "model": "m", "serial": "s", "firmware": "1"},
    "attestation": "not attested",
    "in_token": True,
    "attributes": {"CKA_SENSITIVE": True},
    "event": EVENT.decode(),
    "checkpoint": {"size": 1, "root": leaf_hash(EVENT).hex()},
    "path": [],
}
GENUINE, REFUSED, WRONG_USAGE = 0, 1, 2

some = settings(max_examples=30, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def signed(name: str, statement: object) -> bytes:
    """A line that holds anything, and the key's signature over it."""
    signature = KEY.sign(canonical(statement), ec.ECDSA(hashes.SHA256()))
    line = {
        "algorithm": "ECDSA_P256_SHA256",
        name: statement,
        "public_key_sha256": hashlib.sha256(DER).hexdigest(),
        "signature": base64.b64encode(signature).decode(),
    }
    return canonical(line) + b"\n"


KINDS = {
    "export": (audit.app, lambda statement: EVENT + b"\n" + signed("checkpoint", statement), CHECKPOINT),
    "receipt": (receipts.app, lambda statement: signed("receipt", statement), RECEIPT),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def verify(kind, tmp_path):
    """Give a file to the command, and return the status that it ends with; that is one of its own, or it broke."""
    app, _, _ = kind
    file, key = tmp_path / "file", tmp_path / "audit.pem"

    def verify(content: bytes, pem: bytes = PEM) -> int:
        file.write_bytes(content)
        key.write_bytes(pem)
        done = CliRunner().invoke(app, ["verify", str(file), "--key", str(key)])
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        return done.exit_code

    return verify


def test_one_that_is_genuine(verify, kind):
    _, form, statement = kind
    assert verify(form(statement)) == GENUINE


def test_any_bytes(verify, kind):
    _, form, statement = kind

    @some
    @given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda it: it + b"\n") | damaged(form(statement)))
    @example(b"")
    @example(b"[" * 60_000 + b"\n")
    @example(b'{"checkpoint":"\\ud800","sequence":1}\n')
    @example(b'{"sequence":' + b"9" * 5000 + b"}\n")
    def check(content):
        assert verify(content) in {REFUSED, WRONG_USAGE}

    check()


def test_lines_as_deep_as_they_may_be_and_deeper(verify, kind):
    _, form, _ = kind
    good = form("DEEP")
    for levels in [*range(100, 1000, 50), 2000, 30_000]:
        assert verify(good.replace(b'"DEEP"', b"[" * levels + b"]" * levels)) in {REFUSED, WRONG_USAGE}


def test_statements_that_the_key_has_signed_and_that_say_anything(verify, kind):
    _, form, statement = kind

    @some
    @given(st.sampled_from(sorted(statement)), json_values())
    @example("size", float("inf"))
    @example("checkpoint", {"size": float("inf"), "root": ""})
    @example("checkpoint", {"size": 10**30, "root": "00"})
    @example("checkpoint", {"size": 1.5, "root": leaf_hash(EVENT).hex()})
    @example("event", '{"organization":"acme","sequence":1.0}')
    @example("event", '{"organization":"acme","sequence":true}')
    @example("event", "[" * 50_000)
    @example("token", "x")
    def check(field, value):
        verify(form({**statement, field: value}))
        verify(form({name: it for name, it in statement.items() if name != field}))
        verify(form(value))

    check()


def test_files_of_keys(verify, kind):
    _, form, statement = kind

    @some
    @given(st.binary(max_size=80) | damaged(PEM))
    def check(pem):
        verify(form(statement), pem)

    check()
