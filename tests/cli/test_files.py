"""What the commands read and write: never over another file, never half, never a secret where others see it."""

import base64
import stat
import subprocess

import pytest

from tests.support.crypto import fingerprint

pytestmark = pytest.mark.slow

# Commands and the files that they would write.
WRITERS = [
    (("wrapping-keys", "download", "acme"), ["public.pem"]),
    (("main-keys", "prepare", "--public-key", "key.pem"), ["main_key.bin", "main_key_encrypted.bin"]),
    (("content-keys", "generate", "acme", "0" * 32), ["content_key.bin", "content_key.wrapped"]),
    (("content-keys", "wrap", "acme", "0" * 32, "key.pem"), ["content_key.wrapped"]),
    (("content-keys", "unwrap", "acme", "key.pem"), ["content_key.bin"]),
    (("content-keys", "rewrap", "acme", "key.pem"), ["content_key.rewrapped"]),
]
ONE_BY_ONE = [(command, name) for command, names in WRITERS for name in names]


def _public_key(*options: str) -> bytes:
    private = subprocess.run(["openssl", "genpkey", "-quiet", *options], check=True, capture_output=True).stdout
    return subprocess.run(["openssl", "pkey", "-pubout"], input=private, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def rsa_key() -> bytes:
    return _public_key("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072")


@pytest.fixture
def writer(operator, rsa_key):
    """Somebody who has the public half of a key."""
    (operator.folder / "key.pem").write_bytes(rsa_key)
    return operator


@pytest.mark.parametrize(("command", "name"), ONE_BY_ONE)
def test_a_file_that_exists_is_kept_and_the_service_is_not_asked(writer, ear, command, name):
    (writer.folder / name).write_text("precious")
    told = writer.is_told(*command, status=2, KEYSTEAD_ADDRESS=ear.address)
    assert told == f"keystead: {name} exists, and is not overwritten. Move it away, or choose another name.\n"
    assert (writer.folder / name).read_text() == "precious"
    assert writer.files() == sorted(["key.pem", name])
    assert not ear.has_heard()


def test_a_link_that_leads_nowhere_is_not_followed(operator, ear):
    (operator.folder / "public.pem").symlink_to("elsewhere")
    told = operator.is_told("wrapping-keys", "download", "acme", status=2, KEYSTEAD_ADDRESS=ear.address)
    assert "public.pem exists" in told
    assert operator.files() == ["public.pem"]
    assert not ear.has_heard()


def test_a_folder_that_cannot_be_written_is_told_before_the_service_is_asked(operator, ear, without_privileges):
    operator.folder.chmod(0o500)
    try:
        told = operator.is_told(
            *("content-keys", "generate", "acme", "0" * 32),
            status=2,
            prefix=without_privileges,
            KEYSTEAD_ADDRESS=ear.address,
        )
    finally:
        operator.folder.chmod(0o700)
    assert told == "keystead: content_key.bin: Permission denied.\n"
    assert operator.files() == []
    assert not ear.has_heard()


def test_a_folder_that_is_not_there_is_told(writer, ear):
    told = writer.is_told(
        "wrapping-keys", "download", "acme", "--out", "no/where.pem", status=2, KEYSTEAD_ADDRESS=ear.address
    )
    assert told == "keystead: no/where.pem: No such file or directory.\n"
    assert not ear.has_heard()


@pytest.mark.parametrize(
    "command",
    [
        ("main-keys", "prepare", "--public-key", "key.pem", "--out", "x", "--encrypted-out", "x"),
        ("content-keys", "generate", "acme", "0" * 32, "--out", "x", "--wrapped-out", "./x"),
    ],
)
def test_one_name_cannot_be_two_files(writer, ear, command):
    told = writer.is_told(*command, status=2, KEYSTEAD_ADDRESS=ear.address)
    assert told == "keystead: x cannot be two things. Choose another name for one of them.\n"
    assert writer.files() == ["key.pem"]
    assert not ear.has_heard()


@pytest.mark.parametrize("command", [command for command, _ in WRITERS if "prepare" not in command])
def test_a_refused_call_leaves_no_file(writer, command):
    # An operator has no business with keys.
    assert "FORBIDDEN" in writer.is_told(*command, status=1)
    assert writer.files() == ["key.pem"]


def test_a_main_key_is_prepared_for_its_owner_alone(writer):
    told = writer.says("main-keys", "prepare", "--public-key", "key.pem")
    value = (writer.folder / "main_key.bin").read_bytes()
    assert len(value) == 32
    assert stat.S_IMODE((writer.folder / "main_key.bin").stat().st_mode) == 0o600
    assert (writer.folder / "main_key_encrypted.bin").stat().st_size == 384
    assert f"fingerprint: {fingerprint(value).hex()}\n" in told
    for form in (value.hex(), base64.b64encode(value).decode()):
        assert form not in told


def test_a_content_key_is_written_for_its_owner_alone(user, org):
    kek = org.new_kek().name
    user.says("content-keys", "generate", org.id, kek)
    user.says("content-keys", "unwrap", org.id, "content_key.wrapped", "--out", "again")
    for name in ("content_key.bin", "again"):
        assert stat.S_IMODE((user.folder / name).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("limit", "command"),
    [
        # The first of the two files has room, the second has not.
        (100, ("main-keys", "prepare", "--public-key", "key.pem")),
        (10, ("main-keys", "prepare", "--public-key", "key.pem")),
    ],
)
def test_of_two_files_both_are_there_or_none(writer, limit, command):
    told = writer.is_told(*command, status=1, prefix=("prlimit", f"--fsize={limit}"))
    assert told.endswith(": File too large. Nothing was kept; try again where there is room.\n")
    assert writer.files() == ["key.pem"]


@pytest.mark.parametrize("limit", [100, 50])
def test_a_content_key_that_cannot_be_kept_is_lost_without_harm(user, org, limit):
    # Nothing was encrypted with it yet. The wrapped one is written first: a content key is never there without it.
    kek = org.new_kek().name
    command = ("content-keys", "generate", org.id, kek, "--size", "64")
    user.is_told(*command, status=1, prefix=("prlimit", f"--fsize={limit}"))
    assert user.files() == []
    user.says(*command)


@pytest.mark.parametrize("name", ["public.pem", "short.pem", "ec.pem"])
def test_what_is_no_rsa_key_prepares_nothing(operator, name):
    (operator.folder / "short.pem").write_text("-----BEGIN PUBLIC KEY-----\n")
    (operator.folder / "public.pem").write_bytes(b"\x00\xff")
    (operator.folder / "ec.pem").write_bytes(_public_key("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
    told = operator.is_told("main-keys", "prepare", "--public-key", name, status=2)
    assert f"{name} is not the PEM of an RSA public key" in told
    assert operator.files() == ["ec.pem", "public.pem", "short.pem"]


READERS = [
    ("main-keys", "import", "acme"),
    ("content-keys", "wrap", "acme", "0" * 32),
    ("content-keys", "unwrap", "acme"),
    ("main-keys", "prepare", "--public-key"),
]


@pytest.mark.parametrize(
    ("command", "name", "fault"),
    [
        (READERS[0], "missing", "missing: No such file or directory."),
        (READERS[1], "missing", "missing: No such file or directory."),
        (READERS[2], ".", ".: Is a directory."),
        (READERS[3], "/dev/zero", "/dev/zero is longer than 65536 bytes, and so not what is asked for."),
    ],
)
def test_what_cannot_be_read_is_told(operator, ear, command, name, fault):
    told = operator.is_told(*command, name, status=2, KEYSTEAD_ADDRESS=ear.address)
    assert told == f"keystead: {fault}\n"
    assert operator.files() == []
    assert not ear.has_heard()


def test_a_file_of_others_is_told(operator, ear, without_privileges):
    file = operator.folder / "key"
    file.write_bytes(b"k" * 384)
    file.chmod(0)
    told = operator.is_told(
        "main-keys", "import", "acme", "key", status=2, prefix=without_privileges, KEYSTEAD_ADDRESS=ear.address
    )
    assert "'key' is not readable" in told
    assert not ear.has_heard()


@pytest.mark.parametrize("size", [0, 33, 385])
def test_what_cannot_be_an_encrypted_key_is_not_sent(operator, ear, size):
    (operator.folder / "key").write_bytes(b"k" * size)
    told = operator.is_told("main-keys", "import", "acme", "key", status=2, KEYSTEAD_ADDRESS=ear.address)
    assert told == f"keystead: key is {size} bytes, and an encrypted main key is 384 or 512. It was not sent.\n"
    assert not ear.has_heard()


def test_a_main_key_in_clear_is_not_sent(operator, ear):
    (operator.folder / "main_key.bin").write_bytes(b"k" * 32)
    told = operator.is_told("main-keys", "import", "acme", "main_key.bin", status=2, KEYSTEAD_ADDRESS=ear.address)
    assert "as a main key in clear is. Encrypt it first; it was not sent." in told
    assert not ear.has_heard()
