"""Content keys by the client, of a real service: many at once, item by item, with checksums both ways."""

import os
import re
import subprocess
import sys

import pytest
from keystead.client import Client, DamagedError, Item, LockedError, RefusedError, UnavailableError
from keystead.v1 import content_key_service_pb2 as messages
from keystead.v1.content_key_service_pb2_grpc import ContentKeyServiceStub

from tests.support.kept_keys import revoke
from tests.support.service import free_port

pytestmark = pytest.mark.slow

CONTEXT = {"document": "report", "page": "1"}


@pytest.fixture
def client(org, connect):
    return connect(org, cache=None)


def values(outcomes) -> list[bytes]:
    return [it.value for it in outcomes]


def test_more_than_one_call_takes_is_made_unwrapped_and_rewrapped_in_order(org, kek, client):
    keys = client.generate(kek, 1001, size=16, context=CONTEXT)
    assert len({key.plaintext for key in keys}) == 1001
    assert {len(key.plaintext) for key in keys} == {16}
    items = [Item(key.wrapped, CONTEXT) for key in keys]
    assert values(client.unwrap(org.name, items)) == [key.plaintext for key in keys]
    again = values(client.rewrap(org.name, items, kek=org.new_kek().name))
    assert not set(again) & {key.wrapped for key in keys}
    assert values(client.unwrap(org.name, [Item(it, CONTEXT) for it in again])) == [key.plaintext for key in keys]


def test_more_bytes_than_a_request_takes_are_wrapped_and_come_back(org, kek, client):
    plaintexts = [os.urandom(4096) for _ in range(1000)]
    wrapped = values(client.wrap(kek, [Item(it) for it in plaintexts]))
    assert values(client.unwrap(org.name, [Item(it) for it in wrapped])) == plaintexts


def test_each_item_has_its_own_outcome(org, kek, client):
    wrapped = values(client.wrap(kek, [Item(b"one", {"of": "a"}), Item(b"two")]))
    bad = bytearray(wrapped[0])
    bad[-1] ^= 1
    items = [Item(wrapped[0], {"of": "a"}), Item(wrapped[0]), Item(bytes(bad), {"of": "a"}), Item(wrapped[1])]
    for outcomes in (client.unwrap(org.name, items), client.rewrap(org.name, items)):
        assert [it.error and it.error.reason for it in outcomes] == [None, *["WRAPPED_KEY_REJECTED"] * 2, None]
        with pytest.raises(RefusedError):
            _ = outcomes[1].value
    *refused, good = client.wrap(kek, [Item(b""), Item(b"x" * 4097), Item(b"x", {"": "empty"}), Item(b"x")])
    assert [it.error.reason for it in refused] == ["INVALID_FIELD"] * 3
    assert good.error is None


def test_nothing_asked_is_nothing_answered(org, kek, client):
    assert client.generate(kek, 0) == client.wrap(kek, []) == client.unwrap(org.name, []) == []
    assert client.rewrap(org.name, []) == []


def test_a_refusal_tells_its_reason_and_the_id_under_which_the_log_has_the_call(org, active, kek, client):
    with pytest.raises(RefusedError) as caught:
        client.generate(kek, size=65)
    assert (caught.value.code, caught.value.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert caught.value.metadata == {"field": "size_bytes"}
    assert re.fullmatch("[0-9a-f]{16}", caught.value.call_id)
    with pytest.raises(RefusedError, match="FORBIDDEN"):
        client.generate(f"organizations/another/keks/{'0' * 32}")
    revoke(org, active)
    with pytest.raises(LockedError) as caught:
        client.generate(kek)
    assert caught.value.metadata == {"main_key": active, "state": "REVOKED"}
    assert caught.value.retry_after is None


def test_the_rest_of_the_contract_is_reached_by_the_channel(org, client):
    made = ContentKeyServiceStub(client.channel).CreateKek(messages.CreateKekRequest(parent=org.name), timeout=10)
    assert client.generate(made.name)


def test_what_is_damaged_on_its_way_fails_alone(org, kek, line, connect):
    client = connect(org, line.address, cache=None)
    sealed = values(client.wrap(kek, [Item(b"one"), Item(b"two"), Item(b"three")]))
    items = [Item(it) for it in sealed]

    def damage(kind, field):
        def change(answer: bytes) -> bytes:
            message = kind.FromString(answer)
            setattr(message.results[1], field, b"other" if field in {"wrapped", "plaintext"} else False)
            return message.SerializeToString()

        return change

    for ask, kind, confirmed, made in (
        (lambda: client.wrap(kek, items), messages.WrapContentKeysResponse, "plaintext", "wrapped"),
        (lambda: client.unwrap(org.name, items), messages.UnwrapContentKeysResponse, "wrapped", "plaintext"),
        (lambda: client.rewrap(org.name, items), messages.RewrapContentKeysResponse, "wrapped", "wrapped"),
    ):
        for field in (f"verified_{confirmed}_crc32c", made):
            line.damage_answer = damage(kind, field)
            assert [type(it.error) for it in ask()] == [type(None), DamagedError, type(None)], field
        line.damage_answer = lambda answer: answer
        line.damage_request = lambda request: request.replace(sealed[1], os.urandom(len(sealed[1])))
        outcomes = ask()
        assert [it.error and it.error.reason for it in outcomes] == [None, "CHECKSUM_MISMATCH", None]
        assert type(outcomes[1].error) is DamagedError
        line.damage_request = lambda request: request


def test_an_answer_with_other_than_what_was_asked_for_is_refused(org, kek, line, connect):
    client = connect(org, line.address, cache=None)
    [sealed] = values(client.wrap(kek, [Item(b"one")]))
    line.damage_answer = lambda _: b""
    for ask in (
        lambda: client.generate(kek),
        lambda: client.wrap(kek, [Item(b"one")]),
        lambda: client.unwrap(org.name, [Item(sealed)]),
        lambda: client.rewrap(org.name, [Item(sealed)]),
    ):
        with pytest.raises(DamagedError):
            ask()

    def damage(answer: bytes) -> bytes:
        message = messages.GenerateContentKeysResponse.FromString(answer)
        message.content_keys[0].plaintext = bytes(32)
        return message.SerializeToString()

    line.damage_answer = damage
    with pytest.raises(DamagedError):
        client.generate(kek)


def test_who_is_not_the_service_is_not_asked_twice(service, org, connect, tmp_path):
    service.keystead("dev", "init", "--folder", tmp_path, "--module", "none", "--address", f"127.0.0.1:{free_port()}")
    files = service.identity(f"service:{org.id}")
    strange = {
        "authority": tmp_path / "pki/ca.pem",
        "certificate": files["KEYSTEAD_CERT"],
        "key": files["KEYSTEAD_KEY"],
    }
    with Client(service.address, **strange) as client, pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAIL"):
        client.generate(f"{org.name}/keks/{'0' * 32}", timeout=60)


FORKING = """
import os, sys
from keystead.client import Client, ClientClosedError, Item

organization, kek = sys.argv[1:]
with Client.from_environment() as client:
    [key] = client.generate(kek)
    [kept] = client.unwrap(organization, [Item(key.wrapped)])
    [value] = [it.value for it in client._cache._known[organization].keys.values()]
    assert value == kept.value == key.plaintext
    child = os.fork()
    if child == 0:
        assert value == bytes(32), "it is overwritten"
        try:
            client.unwrap(organization, [Item(key.wrapped)])
        except ClientClosedError as error:
            client.close()
            os._exit(17 if "forked" in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
    assert value == key.plaintext
    assert client.unwrap(organization, [Item(key.wrapped)])[0].value == key.plaintext
assert value == bytes(32)
"""


def test_a_forked_process_has_no_keys_and_may_not_call(service, org, kek):
    environment = {**service.environment(), **service.identity(f"service:{org.id}")}
    command = [sys.executable, "-c", FORKING, org.name, kek]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
