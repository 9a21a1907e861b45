"""Each act on a main key has a receipt: signed in the token, with what the token says of the key, and in the log."""

import hashlib
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from server.domain.audit import AuditAction
from server.domain.audit_encoding import encoded
from server.domain.errors import InvalidFieldError, ResourceNotFoundError
from server.domain.ids import COMMON, AuditEventName, MainKeyName
from server.domain.receipts import TokenFacts
from server.use_cases.checkpoints import Checkpoints
from server.use_cases.receipts import Receipts
from tests.support.audit_verifier import inclusion_root
from tests.support.logs import log_of


def receipts_of(world, org):
    """What the receipts of an organisation state, each verified, by the number of its event."""
    stated = {}
    key = Checkpoints(world.env).key()
    for sequence in range(1, len(log_of(world.storage, org)) + 1):
        with world.storage.read() as tx:
            receipt = tx.audit.receipt(org, sequence)
            (recorded,) = tx.audit.events(org, sequence, 1)
        if receipt is None:
            continue
        load_der_public_key(key.public_key).verify(receipt.signature, receipt.statement, ec.ECDSA(hashes.SHA256()))
        told = json.loads(receipt.statement)
        assert (told["type"], told["organization"]) == ("keystead.receipt.v1", org)
        assert told["event"].encode() == encoded(recorded)
        checkpoint = told["checkpoint"]
        root = inclusion_root(
            encoded(recorded), sequence - 1, checkpoint["size"], [bytes.fromhex(it) for it in told["path"]]
        )
        assert root == bytes.fromhex(checkpoint["root"])
        stated[sequence] = told
    return stated


def test_a_whole_life_leaves_a_receipt_of_each_act(world, org):
    world.new_kek(org)
    upload_key = world.do.get_wrapping_key(world.admin(org), org, None)
    key = world.bring(org)
    world.steward()
    admin, name, moves = world.admin(org), MainKeyName(org, key.id), world.do.main_key_moves
    moves.revoke(admin, name)
    moves.delete(admin, name)
    moves.undelete(admin, name)
    moves.delete(admin, name)
    world.steward()
    world.pass_time(timedelta(days=31))
    world.steward()
    stated = list(receipts_of(world, org).values())
    theirs = [it for it in stated if it["main_key"] == str(name)]
    assert [it["act"] for it in theirs] == [
        "ACTIVATION",
        "IMPORT",
        "REVOCATION",
        "DELETION",
        "UNDELETION",
        "DELETION",
        "DESTRUCTION",
    ]
    (rotation,) = (it for it in stated if it["act"] == "ROTATION")
    assert rotation["main_key"] == str(MainKeyName(org, COMMON))
    assert {it["fingerprint"] for it in theirs} == {key.fingerprint.hex()}
    wrapping_keys = {it["act"]: it.get("wrapping_key_sha256") for it in theirs}
    assert wrapping_keys.pop("IMPORT") == hashlib.sha256(upload_key.public_key).hexdigest()
    assert set(wrapping_keys.values()) == {None}
    # What the token says of the key, as long as it has it; the attributes are those that its role has.
    *before, destroyed = theirs
    assert (destroyed["in_token"], "attributes" in destroyed) == (False, False)
    for it in before:
        said = it["attributes"]
        assert (said["CKA_SENSITIVE"], said["CKA_WRAP"], said["CKA_UNWRAP"]) == (True, True, True)
        assert not any(
            said[f"CKA_{right}"] for right in ("EXTRACTABLE", "DECRYPT", "ENCRYPT", "MODIFIABLE", "COPYABLE", "LOCAL")
        )
        assert it["mechanisms"] == ["CKM_AES_KEY_WRAP"]
    assert {it["attestation"] for it in stated} == {"software token, not attested"}
    assert len(theirs[0]["token"]["serial"]) == 16
    assert theirs[0]["time"] == "2026-01-02T03:04:05.678901Z"


def test_a_receipt_that_is_asked_for_at_once_is_the_one_that_stays(world, org):
    key = world.bring(org, activate_now=False)
    admin = world.admin(org)
    (sequence,) = (
        place
        for place, it in enumerate(log_of(world.storage, org), 1)
        if it.action is AuditAction.MAIN_KEY_IMPORTED and it.subject == key.id
    )
    name = AuditEventName(org, sequence)
    first, signer = world.do.get_receipt(admin, name)
    assert signer == Checkpoints(world.env).key()
    world.pass_time(timedelta(hours=1))
    world.steward()
    assert world.do.get_receipt(admin, name)[0] == first
    assert list(receipts_of(world, org)) == [sequence]
    with pytest.raises(InvalidFieldError):
        world.do.get_receipt(admin, AuditEventName(org, 1))
    with pytest.raises(ResourceNotFoundError):
        world.do.get_receipt(admin, AuditEventName(org, 1000))


def test_an_upload_that_was_not_taken_leaves_no_receipt_of_a_destruction(world, org):
    with pytest.raises(Exception, match="not accepted"):
        world.bring(org, b"too short")
    world.steward()
    assert log_of(world.storage, org, AuditAction.MAIN_KEY_DESTROYED) == []
    assert Receipts(world.env).sign_pending() == 0
    assert receipts_of(world, org) == {}


def test_hardware_is_not_called_software_and_nothing_is_said_to_be_attested():
    facts = TokenFacts("vendor", "model", "serial", "7.9", is_software=False)
    assert facts.attestation == "not attested"
