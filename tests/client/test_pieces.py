"""Requests cut to size, errors, repeats and settings: what needs no service."""

from typing import NamedTuple

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status
from keystead.client import (
    Client,
    ContentKey,
    DamagedError,
    Item,
    LockedError,
    Outcome,
    RefusedError,
    SettingsError,
    UnavailableError,
)
from keystead.client.calls import _pause
from keystead.client.content_keys import batches, wrap_item
from keystead.client.errors import error_of_call, error_of_item
from keystead.v1.content_key_service_pb2 import WrapContentKeysRequest

from server.cli.dev_pki import DevelopmentCa

SECRET = b"a content key in clear"


class Metadatum(NamedTuple):
    """One entry of a call's metadata, as gRPC gives it."""

    key: str
    value: bytes


def packed(*details) -> list[Any]:
    found = [Any() for _ in details]
    for it, detail in zip(found, details, strict=True):
        it.Pack(detail)
    return found


def status(code: grpc.StatusCode, *details) -> Status:
    return Status(code=code.value[0], message="what happened", details=packed(*details))


def told(reason: str, **metadata: str) -> ErrorInfo:
    return ErrorInfo(reason=reason, domain="keystead", metadata=metadata)


class Fault(grpc.RpcError):
    """A call that failed."""

    def __init__(self, code: grpc.StatusCode, message: str = "", *details) -> None:
        detail = Metadatum("grpc-status-details-bin", status(code, *details).SerializeToString())
        self._told = code, message, [detail] if details else []

    def code(self):
        return self._told[0]

    def details(self):
        return self._told[1]

    def trailing_metadata(self):
        return self._told[2]


# Batches.


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1000, [1000]), (1001, [1000, 1]), (2500, [1000, 1000, 500])])
def test_a_call_has_at_most_a_thousand_items(count, sizes):
    items = [wrap_item(Item(b"x" * 32)) for _ in range(count)]
    assert [len(it) for it in batches(items)] == sizes


def test_a_call_has_at_most_four_megabytes():
    items = [wrap_item(Item(b"x" * 4096, {"k": "v" * 4000})) for _ in range(1000)]
    cut = list(batches(items))
    assert [it for batch in cut for it in batch] == items
    sizes = [WrapContentKeysRequest(kek=f"organizations/{'o' * 63}/keks/{'0' * 32}", items=it).ByteSize() for it in cut]
    assert len(sizes) == 2
    assert 4_000_000 < sizes[0] <= 4 * 1024 * 1024


def test_an_item_that_no_request_takes_is_refused():
    with pytest.raises(ValueError, match="Item 1 has"):
        list(batches([wrap_item(Item(b"x")), wrap_item(Item(b"x" * 4 * 1024 * 1024))]))


# Nothing secret is shown.


@pytest.mark.parametrize("it", [Item(SECRET, {"a": "b"}), ContentKey(SECRET, b"wrapped"), Outcome(SECRET)], ids=repr)
def test_a_content_key_is_not_shown(it):
    assert "content key" not in repr(it)
    assert "content key" not in str(it)


# Errors.


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("FAILED_PRECONDITION", [told("ORGANIZATION_LOCKED", state="REVOKED")], LockedError),
        ("INVALID_ARGUMENT", [told("WRAPPED_KEY_REJECTED")], RefusedError),
        ("INVALID_ARGUMENT", [told("CHECKSUM_MISMATCH")], DamagedError),
        ("DATA_LOSS", [told("KEK_DAMAGED")], DamagedError),
        ("UNAVAILABLE", [told("MAIN_KEY_MISSING")], UnavailableError),
        ("RESOURCE_EXHAUSTED", [told("OVERLOADED"), RetryInfo(retry_delay=Duration(seconds=1))], UnavailableError),
        ("INTERNAL", [told("INTERNAL", incident="17")], RefusedError),
        ("DEADLINE_EXCEEDED", [], UnavailableError),
    ],
)
def test_an_error_is_of_the_kind_that_says_what_to_do(code, details, kind):
    error = error_of_item(status(grpc.StatusCode[code], *details), "mine")
    assert type(error) is kind
    assert error.code == code
    assert error.reason == (details[0].reason if details else "")
    assert error.metadata == (dict(details[0].metadata) if details else {})
    assert str(error) == f"{' '.join(filter(None, (code, error.reason)))}: what happened (call mine)"


def test_the_id_of_the_call_is_the_services():
    details = told("X"), RequestInfo(request_id="theirs"), RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000))
    error = error_of_item(status(grpc.StatusCode.INTERNAL, *details), "mine")
    assert (error.call_id, error.retry_after) == ("theirs", 2.5)


def test_an_outcome_without_a_value_raises_its_error():
    error = RefusedError("INVALID_ARGUMENT", "no")
    with pytest.raises(RefusedError) as caught:
        _ = Outcome(None, error).value
    assert caught.value is error
    assert Outcome(b"").value == b""


# Repeats.


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        (Fault(grpc.StatusCode.UNAVAILABLE, "", told("X"), RetryInfo(retry_delay=Duration(seconds=3))), 3.0),
        (Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "", told("X"), RetryInfo(retry_delay=Duration(seconds=1))), 1.0),
        (Fault(grpc.StatusCode.UNAVAILABLE, "connection refused"), 0.4),
        (Fault(grpc.StatusCode.UNAVAILABLE, "", told("MAIN_KEY_MISSING")), None),
        (Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "", told("X")), None),
        (Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "2048 calls"), None),
        (Fault(grpc.StatusCode.DEADLINE_EXCEEDED), None),
        (Fault(grpc.StatusCode.UNAVAILABLE, "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED"), None),
        (Fault(grpc.StatusCode.FAILED_PRECONDITION, "", told("ORGANIZATION_LOCKED")), None),
    ],
)
def test_a_call_is_repeated_when_the_service_says_so_or_nobody_answered(fault, least):
    pauses = [_pause(fault, error_of_call(fault, ""), 3) for _ in range(20)]
    if least is None:
        assert pauses == [None] * 20
    else:
        assert min(pauses) >= least
        assert max(pauses) <= least * 1.5 + 0.1
        assert len(set(pauses)) > 1


# Settings.


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    ca = DevelopmentCa(tmp_path_factory.mktemp("pki"))
    ca.ensure()
    certificate, key = ca.issue_client("me", "spiffe://keystead.dev/me")
    return {"authority": certificate.parent / "ca.pem", "certificate": certificate, "key": key}


def test_a_client_is_made_without_a_service_and_shows_no_secret(pki):
    with Client("127.0.0.1:1", **pki) as client:
        assert repr(client) == "<Client of 127.0.0.1:1>"
        with pytest.raises(UnavailableError):
            client.generate("organizations/acme/keks/1", timeout=0.3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"authority": "key"}, "holds no certificate"),
        ({"certificate": "authority"}, "are not a certificate and its private key"),
        ({"key": "authority"}, "are not a certificate and its private key"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_named(pki, wrong, message):
    files = {**pki, **{name: pki[other] for name, other in wrong.items()}}
    with pytest.raises(SettingsError, match=message) as caught:
        Client("127.0.0.1:1", **files)
    assert all(str(pki[other]) in str(caught.value) for other in wrong.values())


def test_a_file_that_is_not_there_is_named(pki, tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        Client("127.0.0.1:1", **{**pki, "key": tmp_path / "nothing"})


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", "localhost:99999", "local host:1"])
def test_an_address_is_host_and_port(pki, address):
    with pytest.raises(SettingsError, match="must be HOST:PORT"):
        Client(address, **pki)


def test_the_environment_says_where_the_service_is_and_who_one_is(pki, monkeypatch):
    for name in ("ADDRESS", "CA", "CERT", "KEY"):
        monkeypatch.delenv(f"KEYSTEAD_{name}", raising=False)
    with pytest.raises(SettingsError, match="KEYSTEAD_ADDRESS, KEYSTEAD_CA, KEYSTEAD_CERT, KEYSTEAD_KEY: not set"):
        Client.from_environment()
    for name, value in zip(("ADDRESS", "CA", "CERT", "KEY"), ("127.0.0.1:1", *pki.values()), strict=True):
        monkeypatch.setenv(f"KEYSTEAD_{name}", str(value))
    with Client.from_environment() as client:
        assert repr(client) == "<Client of 127.0.0.1:1>"
