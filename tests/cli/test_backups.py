"""Whether a backup is a copy of a main key, asked on the command line."""

import json

import pytest

from tests.support.crypto import encrypt, fingerprint

pytestmark = pytest.mark.slow


@pytest.fixture
def backup(admin, org):
    """Return a function that puts this value, encrypted, into a file."""

    def make(value: bytes) -> str:
        key = org.wrapping_key()
        (admin.folder / "copy.enc").write_bytes(encrypt(key.public_key_pem.encode(), value))
        return key.name

    return make


def test_a_backup_is_verified(admin, org, backup):
    value = bytes(range(1, 33))
    key = org.bring(value).name.rpartition("/")[2]
    wrapping_key = backup(value)
    words = ("main-keys", "verify-copy", org.id, key, "copy.enc")
    told = admin.says(*words, "--wrapping-key", wrapping_key)
    assert told == f"It is a copy of {org.name}/mainKeys/{key}.\nfingerprint: {fingerprint(value).hex()}\n"
    assert "verify_time" in admin.json("main-keys", "get", org.id, key)
    backup(value)
    answer = admin.json(*words)
    assert answer.keys() == {
        "matches",
        "main_key",
        "copy_fingerprint",
        "matching_main_key",
        "verified_encrypted_key_crc32c",
    }
    assert (answer["matches"], answer["copy_fingerprint"]) == (True, fingerprint(value).hex())


def test_a_backup_of_something_else_is_told_and_fails(admin, org, backup):
    first = bytes(range(1, 33))
    other = org.bring(first).name
    key = org.bring().name.rpartition("/")[2]
    words = ("main-keys", "verify-copy", org.id, key, "copy.enc")
    backup(first)
    told = admin.is_told(*words, status=1)
    assert told.startswith(f"keystead: It is no copy of {org.name}/mainKeys/{key}: it is a copy of {other}.\n")
    assert f"fingerprint of the copy: {fingerprint(first).hex()}\n" in told
    backup(b"unknown".ljust(32))
    assert "it is of no key of the organization" in admin.is_told(*words, status=1)
    backup(b"unknown".ljust(32))
    done = admin.keystead(*words, "--json", status=1, prints=True)
    assert (json.loads(done.stdout)["matches"], done.stderr) == (False, "")


def test_a_backup_in_clear_stays_at_home(admin, ear):
    (admin.folder / "main_key.bin").write_bytes(bytes(range(32)))
    words = ("main-keys", "verify-copy", "acme", "k", "main_key.bin")
    told = admin.is_told(*words, status=2, KEYSTEAD_ADDRESS=ear.address)
    assert "as a main key in clear is" in told
    assert not ear.has_heard()
