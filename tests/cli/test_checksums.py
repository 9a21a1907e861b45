"""What is damaged between the command line and the service is not kept, wherever it is damaged."""

import os
from functools import partial

import pytest
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys

from tests.support.crypto import encrypt
from tests.support.relay import relay

pytestmark = pytest.mark.slow


@pytest.fixture
def line(service, org):
    """A line between a service of the organisation and Keystead."""
    with relay(service, f"service:{org.id}") as line:
        yield line


@pytest.fixture
def files(user, org):
    """A content key, and one that is wrapped."""
    (user.folder / "mine").write_bytes(os.urandom(32))
    kek = org.new_kek().name
    (user.folder / "sealed").write_bytes(org.generate(kek)[0].wrapped)
    return kek


def commands(org, kek):
    """The commands, the messages of their answers, and the fields of each that can be damaged."""
    made, wrapped, unwrapped, rewrapped = (
        content_keys.GenerateContentKeysResponse,
        content_keys.WrapContentKeysResponse,
        content_keys.UnwrapContentKeysResponse,
        content_keys.RewrapContentKeysResponse,
    )
    return [
        (("generate", org.id, kek), made, ("plaintext", "wrapped", "plaintext_crc32c", "wrapped_crc32c")),
        (("wrap", org.id, kek, "mine"), wrapped, ("wrapped", "wrapped_crc32c", "verified_plaintext_crc32c")),
        (("unwrap", org.id, "sealed"), unwrapped, ("plaintext", "plaintext_crc32c", "verified_wrapped_crc32c")),
        (("rewrap", org.id, "sealed"), rewrapped, ("wrapped", "wrapped_crc32c", "verified_wrapped_crc32c")),
    ]


def damaged(answer, field):
    (item,) = getattr(answer, "content_keys", None) or answer.results
    value = getattr(item, field)
    if isinstance(value, bytes):
        setattr(item, field, value[:-1] + bytes([value[-1] ^ 1]))
    else:
        item.ClearField(field)
    return answer.SerializeToString()


def test_an_answer_that_was_damaged_is_not_kept(user, org, line, files):
    for command, message, fields in commands(org, files):
        for field in fields:
            line.damage_answer = lambda answer, of=message, it=field: damaged(of.FromString(answer), it)
            told = user.is_told("content-keys", *command, status=75, KEYSTEAD_ADDRESS=line.address)
            assert "on its way. Nothing was kept; try again." in told, (command, field)
            assert user.files() == ["mine", "sealed"]


def test_a_request_that_was_damaged_is_refused(user, org, line, files):
    for file, words in (
        ("mine", ("wrap", org.id, files, "mine")),
        ("sealed", ("unwrap", org.id, "sealed")),
        ("sealed", ("rewrap", org.id, "sealed")),
    ):
        sent = (user.folder / file).read_bytes()
        line.damage_request = lambda request, it=sent: request.replace(it, os.urandom(len(it)))
        told = user.is_told("content-keys", *words, status=1, KEYSTEAD_ADDRESS=line.address)
        assert "reason: CHECKSUM_MISMATCH" in told
        assert user.files() == ["mine", "sealed"]


def test_an_upload_is_sent_with_its_checksum_and_a_missing_confirmation_is_told(admin, service, org):
    value = os.urandom(32)

    def write_upload():
        (admin.folder / "upload").write_bytes(encrypt(org.wrapping_key().public_key_pem.encode(), value))

    def damage(request):
        return request.replace((admin.folder / "upload").read_bytes(), os.urandom(384))

    def forget(kind, answer):
        message = kind.FromString(answer)
        assert message.verified_encrypted_key_crc32c
        message.ClearField("verified_encrypted_key_crc32c")
        return message.SerializeToString()

    with relay(service, f"admin:{org.id}") as line:
        for command, kind in (
            ("import", main_keys.ImportMainKeyResponse),
            ("verify-copy", main_keys.VerifyMainKeyCopyResponse),
        ):
            key = [] if command == "import" else [org.main_keys()[0].name]
            words = ("main-keys", command, org.id, *key, "upload")
            write_upload()
            line.damage_request = damage
            told = admin.is_told(*words, status=1, KEYSTEAD_ADDRESS=line.address)
            assert "reason: CHECKSUM_MISMATCH" in told
            line.damage_request = lambda request: request
            line.damage_answer = partial(forget, kind)
            done = admin.keystead(*words, KEYSTEAD_ADDRESS=line.address)
            assert "did not compare the checksum" in done.stderr
            line.damage_answer = lambda answer: answer
        write_upload()
        assert admin.keystead(*words, KEYSTEAD_ADDRESS=line.address).stderr == ""
