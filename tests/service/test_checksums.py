"""Checksums beside bytes that matter: a wrong one fails its own item only and changes nothing; others are confirmed."""

import os

import google_crc32c
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1.resources_pb2 import MainKey

from tests.support.crypto import encrypt
from tests.support.rows import rows_of
from tests.support.service import refused

crc32c = google_crc32c.value
MANY = 1000


def reason_of(status):
    info = ErrorInfo()
    return info.reason if any(detail.Unpack(info) for detail in status.details) else ""


@pytest.fixture(scope="module")
def home(service):
    org = service.new_organization()
    return org, org.new_kek().name


def wrap(org, kek, items):
    return org.user.content_keys.WrapContentKeys(content_keys.WrapContentKeysRequest(kek=kek, items=items)).results


def unwrap(org, items):
    request = content_keys.UnwrapContentKeysRequest(parent=org.name, items=items)
    return org.user.content_keys.UnwrapContentKeys(request).results


def to_wrap(plaintext, checksum=None, **context):
    return content_keys.WrapContentKeysItem(plaintext=plaintext, plaintext_crc32c=checksum, context=context)


def to_unwrap(wrapped, checksum=None, **context):
    return content_keys.UnwrapContentKeysItem(wrapped=wrapped, wrapped_crc32c=checksum, context=context)


def test_what_is_made_comes_with_its_checksums(home):
    org, kek = home
    for key in org.generate(kek, 20, document="a"):
        assert (key.plaintext_crc32c, key.wrapped_crc32c) == (crc32c(key.plaintext), crc32c(key.wrapped))


def test_right_checksums_are_confirmed_and_those_of_the_answer_are_right(home):
    org, kek = home
    plaintext = os.urandom(32)
    with_it, without = wrap(org, kek, [to_wrap(plaintext, crc32c(plaintext)), to_wrap(plaintext)])
    assert (with_it.verified_plaintext_crc32c, without.verified_plaintext_crc32c) == (True, False)
    for result in (with_it, without):
        assert result.wrapped_crc32c == crc32c(result.wrapped)
    sealed = with_it.wrapped
    with_it, without = unwrap(org, [to_unwrap(sealed, crc32c(sealed)), to_unwrap(sealed)])
    assert (with_it.verified_wrapped_crc32c, without.verified_wrapped_crc32c) == (True, False)
    for result in (with_it, without):
        assert (result.plaintext, result.plaintext_crc32c) == (plaintext, crc32c(plaintext))


def test_every_third_of_a_thousand_is_damaged_and_the_others_come_in_their_order(home):
    org, kek = home
    plaintexts = [os.urandom(32) for _ in range(MANY)]
    damaged = set(range(0, MANY, 3))
    sums = [crc32c(it) ^ (place in damaged) for place, it in enumerate(plaintexts)]
    wrapped = wrap(org, kek, map(to_wrap, plaintexts, sums))
    assert {place for place, result in enumerate(wrapped) if result.status.code} == damaged
    for place in damaged:
        result = wrapped[place]
        assert reason_of(result.status) == "CHECKSUM_MISMATCH"
        assert (result.wrapped, result.HasField("wrapped_crc32c")) == (b"", False)
        assert not result.verified_plaintext_crc32c
    good = [place for place in range(MANY) if place not in damaged]
    sealed = [wrapped[place].wrapped for place in good]
    worse = [crc32c(it) ^ (0x80000000 * (place % 2)) for place, it in enumerate(sealed)]
    results = unwrap(org, map(to_unwrap, sealed, worse))
    for place, result in enumerate(results):
        if place % 2:
            assert reason_of(result.status) == "CHECKSUM_MISMATCH"
            assert (result.plaintext, result.kek, result.HasField("plaintext_crc32c")) == (b"", "", False)
            assert not result.verified_wrapped_crc32c
        else:
            assert (result.plaintext, result.verified_wrapped_crc32c) == (plaintexts[good[place]], True)


def test_a_thousand_are_rewrapped_in_their_order_and_the_damaged_ones_are_not(home):
    org, kek = home
    keys = org.generate(kek, MANY, document="a")
    target = org.new_kek().name
    damaged = set(range(1, MANY, 5))
    items = [
        content_keys.RewrapContentKeysItem(
            wrapped=key.wrapped, wrapped_crc32c=key.wrapped_crc32c ^ (place in damaged), context={"document": "a"}
        )
        for place, key in enumerate(keys)
    ]
    request = content_keys.RewrapContentKeysRequest(parent=org.name, kek=target, items=items)
    results = org.user.content_keys.RewrapContentKeys(request).results
    good = [place for place in range(MANY) if place not in damaged]
    again = unwrap(
        org, [to_unwrap(results[place].wrapped, results[place].wrapped_crc32c, document="a") for place in good]
    )
    assert [it.plaintext for it in again] == [keys[place].plaintext for place in good]
    assert {it.kek for it in again} == {results[place].kek for place in good} == {target}
    for place, result in enumerate(results):
        assert result.verified_wrapped_crc32c == (place not in damaged)
        if place in damaged:
            assert reason_of(result.status) == "CHECKSUM_MISMATCH"
            assert (result.wrapped, result.kek, result.HasField("wrapped_crc32c")) == (b"", "", False)


def test_an_item_has_its_own_fault_and_no_other(home):
    org, kek = home
    empty, long = wrap(org, kek, [to_wrap(b"", crc32c(b"")), to_wrap(b"x" * 4097, crc32c(b"x" * 4097) ^ 1)])
    # An item can be intact and refused all the same.
    assert (reason_of(empty.status), empty.verified_plaintext_crc32c) == ("INVALID_FIELD", True)
    assert (reason_of(long.status), long.verified_plaintext_crc32c) == ("CHECKSUM_MISMATCH", False)
    (rejected,) = unwrap(org, [to_unwrap(b"never wrapped", crc32c(b"never wrapped"))])
    assert (reason_of(rejected.status), rejected.verified_wrapped_crc32c) == ("WRAPPED_KEY_REJECTED", True)
    assert not rejected.HasField("plaintext_crc32c")


def test_a_batch_in_which_nothing_is_intact_is_still_a_batch(home):
    org, kek = home
    other = org.service.new_organization()
    items = [to_wrap(b"x", 1)] * 3
    assert [reason_of(it.status) for it in wrap(org, kek, items)] == ["CHECKSUM_MISMATCH"] * 3
    assert [reason_of(it.status) for it in unwrap(org, [to_unwrap(b"x", 1)] * 3)] == ["CHECKSUM_MISMATCH"] * 3
    # Who may not ask is told that, and how many there may be is counted before what is damaged is left out.
    with refused("PERMISSION_DENIED", "FORBIDDEN"):
        other.user.content_keys.WrapContentKeys(content_keys.WrapContentKeysRequest(kek=kek, items=items))
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        wrap(org, kek, [to_wrap(b"x", 1)] * (MANY + 1))


# Uploads.


def upload_of(org, checksum_of=crc32c, **more):
    wrapping_key = org.wrapping_key()
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), os.urandom(32))
    return main_keys.ImportMainKeyRequest(
        parent=org.name,
        wrapping_key=wrapping_key.name,
        encrypted_key=encrypted,
        encrypted_key_crc32c=checksum_of(encrypted),
        activation=main_keys.LATER,
        **more,
    )


def tracks(service, org):
    """What an import could leave behind in the database; that it was refused is recorded, a moment later."""
    with rows_of(f"sqlite:///{service.folder}/keystead.db") as rows:
        keys = rows.one("SELECT count(*) FROM main_keys WHERE organization = :id", id=org.id)
        query = "SELECT action FROM audit_events WHERE organization = :id AND action <> 'REFUSED' ORDER BY sequence"
        return keys, rows.all(query, id=org.id)


def test_a_damaged_upload_is_no_failed_upload_and_changes_nothing(service, org):
    request = upload_of(org, lambda encrypted: crc32c(encrypted) ^ 1, request_id="0b3f9a4e-7e1b-4a53-9c55-1f0f6a2f3a10")
    before = tracks(service, org)
    for _ in range(6):
        with refused("INVALID_ARGUMENT", "CHECKSUM_MISMATCH") as refusal:
            org.admin.main_keys.ImportMainKey(request)
    assert refusal[0].metadata == {"field": "encrypted_key"}
    assert "BadRequest" in refusal[0].details
    assert org.wrapping_key().remaining_attempts == 5
    assert tracks(service, org) == before
    # The same upload is good, with its checksum, and also under the id of the request that was refused.
    request.encrypted_key_crc32c ^= 1
    first = org.admin.main_keys.ImportMainKey(request)
    assert first.verified_encrypted_key_crc32c
    assert first.main_key.state == MainKey.PENDING
    assert org.admin.main_keys.ImportMainKey(request) == first


def test_an_upload_without_a_checksum_is_taken_and_not_confirmed(org):
    request = upload_of(org)
    request.ClearField("encrypted_key_crc32c")
    assert not org.admin.main_keys.ImportMainKey(request).verified_encrypted_key_crc32c


def test_a_damaged_copy_is_not_compared(org):
    value = os.urandom(32)
    key = org.bring(value)
    wrapping_key = org.wrapping_key()
    encrypted = encrypt(wrapping_key.public_key_pem.encode(), value)
    request = main_keys.VerifyMainKeyCopyRequest(
        name=key.name, wrapping_key=wrapping_key.name, encrypted_key=encrypted, encrypted_key_crc32c=0
    )
    with refused("INVALID_ARGUMENT", "CHECKSUM_MISMATCH"):
        org.admin.main_keys.VerifyMainKeyCopy(request)
    assert org.wrapping_key().remaining_attempts == 5
    request.encrypted_key_crc32c = crc32c(encrypted)
    answer = org.admin.main_keys.VerifyMainKeyCopy(request)
    assert (answer.matches, answer.verified_encrypted_key_crc32c) == (True, True)
