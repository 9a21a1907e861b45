"""Every command for callers, as people see it and as programs read it."""

import json
import subprocess

import pytest
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import resources_pb2 as pb

from server.cli.pages import all_of
from tests.support.crypto import encrypt, fingerprint

pytestmark = pytest.mark.slow


def fields(message) -> set[str]:
    """The fields of the contract that are always there."""
    return {field.name for field in message.DESCRIPTOR.fields if not field.has_presence}


def rows(table: str) -> list[dict[str, str]]:
    """Read a table back; no cell of ours has a space."""
    head, *lines = table.splitlines()
    return [dict(zip(head.split(), line.split(), strict=True)) for line in lines]


def lines(shown: str) -> dict[str, str]:
    """Read what `get` shows back."""
    return dict(line.split(maxsplit=1) for line in shown.strip().splitlines())


def test_an_operator_creates_shows_and_lists_organizations(operator, service):
    name = service.new_organization("cli").id + "-x"
    shown = lines(operator.says("organizations", "create", name, "--display-name", "Grün & Co"))
    assert shown["name"] == f"organizations/{name}"
    assert shown["display_name"] == "Grün & Co"
    assert lines(operator.says("organizations", "get", name)) == shown
    assert lines(operator.says("organizations", "get", f"organizations/{name}")) == shown

    message = operator.json("organizations", "get", name)
    assert message.keys() == fields(pb.Organization) | {"create_time"}
    assert (message["epoch"], message["kek_count"]) == (1, 0)
    listed = operator.json("organizations", "list")["organizations"]
    assert message in listed
    assert f"\n{name} " in operator.says("organizations", "list")


def test_others_list_the_organizations_that_they_may_see(admin, org):
    (row,) = rows(admin.says("organizations", "list"))
    assert row == {
        "id": org.id,
        "display_name": "-",
        "byok_enabled": "no",
        "main_key": "common",
        "main_key_state": "ACTIVE",
        "kek_count": "0",
        "rotation_due_time": "-",
    }


def test_an_organization_brings_keys_with_the_commands_that_it_is_shown(admin, user, org):
    kek = user.json("keks", "create", org.id)["name"]

    # The commands of openssl are pasted as they are printed.
    told = admin.says("wrapping-keys", "download", org.id)
    commands = [line.strip() for line in told.splitlines() if line.startswith(("  openssl", "  head"))]
    assert len(commands) == 3
    pasted = subprocess.run(["bash", "-ec", "\n".join(commands)], cwd=admin.folder, capture_output=True, check=True)
    value = (admin.folder / "main_key.bin").read_bytes()
    assert pasted.stdout.decode().split()[-1] == fingerprint(value).hex()
    assert f"keystead main-keys import {org.id} main_key_encrypted.bin" in told

    told = admin.says("main-keys", "import", org.id, "main_key_encrypted.bin")
    first = lines(told[: told.index("\n\n")])
    assert (first["state"], first["fingerprint"]) == ("PENDING", fingerprint(value).hex())
    assert f"Active main key: {org.name}/mainKeys/common" in told
    hint = told.splitlines()[-1].partition(": keystead ")[2]
    assert lines(admin.says(*hint.split()))["state"] == "ACTIVE"
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")

    # The second without openssl.
    admin.says("wrapping-keys", "download", org.id, "--out", "second.pem")
    admin.says("main-keys", "prepare", "--public-key", "second.pem", "--out", "2.bin", "--encrypted-out", "2.enc")
    second = admin.json("main-keys", "import", org.id, "2.enc", "--activate", "now")
    assert second.keys() == {"main_key", "active_main_key", "verified_encrypted_key_crc32c"}
    assert second["main_key"].keys() == fields(pb.MainKey) | {
        "create_time",
        "state_time",
        "activate_time",
        "rotation_due_time",
    }
    assert second["active_main_key"] == second["main_key"]["name"]
    assert second["main_key"]["fingerprint"] == fingerprint((admin.folder / "2.bin").read_bytes()).hex()
    org.await_state(first["name"], "RETIRED")

    listed = admin.json("main-keys", "list", org.id)["main_keys"]
    assert [key["state"] for key in listed] == ["ACTIVE", "RETIRED", "RETIRED"]
    table = rows(admin.says("main-keys", "list", org.id, "--all"))
    assert [row["state"] for row in table] == ["ACTIVE", "RETIRED", "RETIRED"]
    assert [f"{org.name}/mainKeys/{row['id']}" for row in table] == [key["name"] for key in listed]
    assert admin.json("main-keys", "get", org.id, table[0]["id"]) == listed[0]
    assert lines(admin.says("main-keys", "get", org.id, listed[0]["name"]))["kek_count"] == "1"

    rotations = admin.json("rotations", "list", org.id)["rotations"]
    assert [(it["state"], it["done_count"], it["to_main_key"]) for it in rotations] == [
        ("DONE", 1, second["main_key"]["name"]),
        ("DONE", 1, first["name"]),
    ]
    assert rotations[0].keys() == fields(pb.Rotation) | {"start_time", "end_time", "progress_time"}
    table = rows(admin.says("rotations", "list", org.id))
    assert [row["state"] for row in table] == ["DONE", "DONE"]
    assert admin.json("rotations", "get", org.id, table[0]["id"]) == rotations[0]
    assert lines(admin.says("rotations", "get", org.id, table[0]["id"]))["state"] == "DONE"

    shown = user.json("keks", "get", org.id, kek)
    assert shown.keys() == fields(pb.Kek) | {"create_time", "rewrap_time"}
    assert shown["main_key"] == second["main_key"]["name"]
    assert user.json("keks", "list", org.id) == {"keks": [shown]}


def test_a_wrapping_key_has_the_modulus_that_is_asked_for(admin, org):
    shown = admin.json("wrapping-keys", "download", org.id, "--bits", "4096", "--out", "big.pem")
    assert shown.keys() == fields(pb.WrappingKey) | {"create_time", "expire_time", "file"}
    assert (shown["algorithm"], shown["file"]) == ("RSA_OAEP_4096_SHA256", "big.pem")
    assert (admin.folder / "big.pem").read_text() == shown["public_key_pem"]
    openssl = ["openssl", "pkey", "-pubin", "-in", admin.folder / "big.pem"]
    text = subprocess.run([*openssl, "-noout", "-text"], check=True, capture_output=True, text=True).stdout
    assert "4096 bit" in text
    der = subprocess.run([*openssl, "-outform", "DER"], check=True, capture_output=True).stdout
    digest = subprocess.run(["openssl", "sha256", "-r"], input=der, check=True, capture_output=True).stdout
    assert digest.decode().split()[0] == shown["public_key_sha256"]


def test_the_commands_name_the_file_that_was_written(admin, org):
    told = admin.says("wrapping-keys", "download", org.id, "--out", "the key.pem")
    assert "-inkey 'the key.pem' " in told
    assert "public.pem" not in told


def test_a_service_makes_wraps_and_unwraps_content_keys(user, org):
    kek = user.json("keks", "create", org.id)["name"]
    context = ("--context", "document=report", "--context", "empty=", "--context", "formula=a=b")
    told = user.says("content-keys", "generate", org.id, kek, *context)
    assert "content_key.bin: the content key (32 bytes)" in told
    made = (user.folder / "content_key.bin").read_bytes()
    assert len(made) == 32
    unwrapped = user.json("content-keys", "unwrap", org.id, "content_key.wrapped", "--out", "again", *context)
    assert unwrapped == {"content_key": "again", "kek": kek}
    assert (user.folder / "again").read_bytes() == made

    (user.folder / "mine").write_bytes(b"m" * 48)
    kek_id = kek.rpartition("/")[2]
    assert user.json("content-keys", "wrap", org.id, kek_id, "mine", "--out", "w") == {"wrapped": "w"}
    assert "the wrapped content key (93 bytes)" in user.says("content-keys", "wrap", org.id, kek, "mine", "--out", "v")
    told = user.says("content-keys", "unwrap", org.id, "w", "--out", "back")
    assert f"back: the content key (48 bytes), readable by you alone; it was under {kek}" in told
    assert (user.folder / "back").read_bytes() == b"m" * 48

    another = org.new_kek().name
    assert user.json("content-keys", "rewrap", org.id, "w", "--kek", another) == {
        "wrapped": "content_key.rewrapped",
        "kek": another,
    }
    told = user.says("content-keys", "rewrap", org.id, "content_key.wrapped", "--out", "r", *context)
    assert told == f"r: the wrapped content key (77 bytes), under {kek}\n"
    for file, was, more in (("content_key.rewrapped", "mine", ()), ("r", "content_key.bin", context)):
        user.says("content-keys", "unwrap", org.id, file, "--out", f"{file}.back", *more)
        assert (user.folder / f"{file}.back").read_bytes() == (user.folder / was).read_bytes()
    answer = user.json("content-keys", "generate", org.id, kek, "--size", "64", "--out", "c", "--wrapped-out", "d")
    assert answer == {"content_key": "c", "wrapped": "d"}
    assert [(user.folder / name).stat().st_size for name in "cd"] == [64, 64 + 45]


@pytest.mark.parametrize("wrong", [["--context", "document=other"], []])
def test_what_is_wrong_with_an_item_is_told_like_any_refusal(user, org, wrong):
    kek = user.json("keks", "create", org.id)["name"]
    user.says("content-keys", "generate", org.id, kek, "--context", "document=report")
    command = ("content-keys", "unwrap", org.id, "content_key.wrapped", "--out", "no", *wrong)
    told = user.is_told(*command, status=1)
    assert told.startswith("keystead: The wrapped content key was not accepted")
    assert "  reason: WRAPPED_KEY_REJECTED\n" in told
    error = json.loads(user.is_told(*command, "--json", status=1))["error"]
    assert (error["code"], error["reason"]) == ("INVALID_ARGUMENT", "WRAPPED_KEY_REJECTED")
    assert "no" not in user.files()


def test_an_expected_fingerprint_is_demanded(admin, org):
    key = org.wrapping_key()
    value = bytes(range(32))
    (admin.folder / "k").write_bytes(encrypt(key.public_key_pem.encode(), value))
    command = ("main-keys", "import", org.id, "k", "--wrapping-key", key.name.rpartition("/")[2])
    told = admin.is_told(*command, "--expected-fingerprint", "ab" * 32, status=1)
    assert "reason: FINGERPRINT_MISMATCH" in told
    assert org.states().keys() == {f"{org.name}/mainKeys/common"}
    key = org.wrapping_key()
    (admin.folder / "k").write_bytes(encrypt(key.public_key_pem.encode(), value))
    command = ("main-keys", "import", org.id, "k", "--wrapping-key", key.name)
    assert fingerprint(value).hex() in admin.says(*command, "--expected-fingerprint", fingerprint(value).hex().upper())


def test_health_is_told(operator):
    assert operator.says("health") == "SERVING\n"
    assert operator.json("health") == {"status": "SERVING"}


def test_an_empty_list_says_so(admin, org):
    assert admin.says("rotations", "list", org.id) == "No rotations.\n"
    assert admin.json("rotations", "list", org.id) == {"rotations": []}


def test_a_list_is_read_to_its_last_page(user, org):
    made = {org.new_kek().name for _ in range(3)}
    assert {kek["name"] for kek in user.json("keks", "list", org.id)["keks"]} == made
    service = org.user.content_keys

    def ask(token: str) -> content_keys.ListKeksResponse:
        return service.ListKeks(content_keys.ListKeksRequest(parent=org.name, page_size=1, page_token=token))

    assert {kek.name for kek in all_of(ask, "keks")} == made
