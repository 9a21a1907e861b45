"""docs/api.md says what the contract, the roles and the errors are."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.descriptor_pool import Default
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from keystead.v1 import resources_pb2

from server.domain import approvals, content_keys, keks, organizations, wrapping_keys
from server.domain.change_requests import REMEMBERED
from server.domain.limits import Limits
from server.domain.roles import ALLOWED, Operation, Role
from server.grpc_api import boundary, conversations, health, server
from server.grpc_api.errors import incident_status, to_status
from server.grpc_api.policy import Policy
from server.people import people
from server.people.person import Person
from server.use_cases import move_main_key, paging
from tests.docs.errors import leaves, raised
from tests.docs.pages import blocks, page, prose, table, words

API = page("docs/api.md")
PEOPLE = page("docs/people.md")
TEXT = " ".join(prose(API).split())
TERMS = ("request_id", "etag")


ACTING = [role for role in Role if any(role in allowed for allowed in ALLOWED.values())]
"""Roles that may do anything by themselves: each has a column."""
METHODS = {
    f"{service.name}.{method.name}": method
    for service in map(Default().FindServiceByName, server.SERVICES)
    for method in service.methods
}
TOLD = {words(method)[0]: rest for method, *rest in table(API, "Methods", "method")}


def test_every_method_is_listed_with_those_who_may_call_it():
    told = {
        method: {role for role, cell in zip(ACTING, rest, strict=False) if cell == "yes"}
        for method, rest in TOLD.items()
    }
    assert told == {method: ALLOWED[Operation(it.name)] for method, it in METHODS.items()}
    assert {cell for rest in TOLD.values() for cell in rest[: len(ACTING)]} == {"yes", ""}
    assert all(meaning for *_, meaning in TOLD.values())


def test_every_method_is_listed_with_the_terms_that_it_takes():
    taken = {method: [it for it in TERMS if it in METHODS[method].input_type.fields_by_name] for method in METHODS}
    assert {method: words(terms) for method, (*_, terms, _) in TOLD.items()} == taken
    assert f"within {REMEMBERED // timedelta(hours=1)} hours is given it again" in TEXT


def test_the_roles_are_those_of_the_policy():
    assert [words(role)[0] for role, _ in table(API, "Calling it", "role")] == list(Role)


def as_told(status) -> tuple[str, tuple[str, ...], str]:
    """Code, metadata and whether a retry makes sense, as the table tells them."""
    (info,) = [detail for detail in status.details if detail.Is(ErrorInfo.DESCRIPTOR)]
    metadata = ErrorInfo()
    info.Unpack(metadata)
    retry = any(detail.TypeName() == "google.rpc.RetryInfo" for detail in status.details)
    assert metadata.domain == "keystead"
    return Code.Name(status.code), tuple(metadata.metadata), "yes" if retry else "no"


def told_reasons() -> dict[str, tuple[str, tuple[str, ...], str]]:
    rows = table(API, "Reasons", "reason")
    assert all(advice for *_, advice in rows)
    return {
        words(reason)[0]: (code, tuple(sorted(words(metadata))), retry) for reason, code, metadata, retry, _ in rows
    }


def test_every_reason_is_listed_with_its_code():
    found = {"INTERNAL": as_told(incident_status("0123"))}
    for leaf in leaves():
        code, metadata, retry = as_told(to_status(raised(leaf)))
        found[leaf.reason] = (code, tuple(sorted(metadata)), retry)
    assert told_reasons() == found


def test_every_form_of_a_name_is_told():
    told = {words(form)[0] for _, form in table(API, "Names", "resource")}
    assert told == {
        pattern for message in resources_pb2.DESCRIPTOR.message_types_by_name.values() for pattern in _patterns(message)
    }


def _patterns(message) -> list[str]:
    (found,) = [value for option, value in message.GetOptions().ListFields() if option.name == "resource"]
    return list(found.pattern)


def test_the_policy_that_is_shown_can_be_used(tmp_path):
    (block,), (people,) = blocks(API, "toml"), blocks(PEOPLE, "toml")
    (tmp_path / block.file).write_text(block.text + people.text)
    policy = Policy(tmp_path / "policy.toml")
    shown = [
        policy.caller(f"spiffe://example.com/keystead/{name}")
        for name in ("platform", "admin", "review", "files", "console")
    ]
    assert [[grant.role for grant in caller.grants] for caller in shown] == [[role] for role in Role]
    person = policy.person(Person("https://login.example.com", "alice", {"groups": ["others", "keystead-acme"]}))
    assert (person.identity, [it.role for it in person.grants]) == (
        "oidc:https://login.example.com#alice",
        [Role.ADMINISTRATOR],
    )


def test_the_limits_are_those_of_the_code():
    made = content_keys.GENERATED_SIZES
    small, large = (it.encrypted_size for it in wrapping_keys.Algorithm)
    assert dict(table(API, "Limits", "what")) == {
        "items of a call": f"1 to {content_keys.ITEMS_LIMIT}",
        "a content key that a caller brings": f"1 to {content_keys.CONTENT_KEY_LIMIT} bytes",
        "a content key that Keystead makes": f"{made.start} to {made.stop - 1} bytes, 32 by default",
        "context": f"{content_keys.CONTEXT_ENTRIES_LIMIT} entries, {content_keys.CONTEXT_BYTES_LIMIT} bytes of UTF-8 "
        "in all, no key empty",
        "encryptions under one KEK": f"2^{keks.ENCRYPTIONS_LIMIT.bit_length() - 1}",
        "an encrypted main key": f"exactly the modulus: {small} or {large} bytes",
        "failed uploads under one wrapping key": str(wrapping_keys.FAILED_UPLOADS_LIMIT),
        "display name, reason of a revocation": f"{organizations.DISPLAY_NAME_LIMIT} printable characters",
        "a revocation for a time": "1 minute to 24 hours",
        "streams at one process": str(boundary.WATCHERS_LIMIT),
        "a request": f"{server._MESSAGE_LIMIT // 2**20} MiB",
    }
    assert organizations.DISPLAY_NAME_LIMIT == move_main_key.REVOKE_REASON_LIMIT
    assert (timedelta(minutes=1), timedelta(hours=24)) == move_main_key.TIMED_REVOCATION
    assert f"{content_keys.OVERHEAD} bytes longer than the content key" in TEXT
    assert f"no sooner than {Limits().rejection_floor.total_seconds() * 1000:.0f} ms" in TEXT
    assert f"(0 to {paging.SIZE_LIMIT}; 0 means {paging.DEFAULT_SIZE})" in TEXT
    assert f"more than {server._CALLS_LIMIT} calls at once at one process" in TEXT
    assert f"keeps {boundary.WATCHERS_LIMIT} streams" in TEXT
    assert f"the beginning of HTTP/2 after {server.HANDSHAKE_WITHIN.total_seconds():.0f} seconds" in TEXT
    assert f"One connection has {server._CALLS_PER_CONNECTION} calls at once" in TEXT
    assert (boundary._TICK, "it looks twice a second" in TEXT) == (0.5, True)
    assert (conversations._TICK, "at the latest half a second later" in TEXT) == (0.5, True)
    assert (conversations.AHEAD, "Two batches of a stream at most are in the service" in TEXT) == (2, True)
    told = " ".join(prose(PEOPLE).split())
    assert f"of at most {people.TOKEN_LIMIT} characters" in told
    assert f"good for at most {people.LIFETIME_LIMIT // timedelta(hours=1)} hours" in told
    assert f"the approval of 1 to {approvals.APPROVALS_LIMIT} other administrators" in told
    assert (approvals.LIFETIMES, "or from 1 minute to 24 hours" in told) == (move_main_key.TIMED_REVOCATION, True)
    assert (approvals.DEFAULT_LIFETIME, "good for one hour" in told) == (timedelta(hours=1), True)
    assert f"checked every {health.INTERVAL:.0f} seconds" in TEXT


def test_a_wrapped_content_key_has_the_parts_that_are_told(service):
    org = service.new_organization()
    kek = org.new_kek().name
    (made,) = org.generate(kek, document="report")
    sizes = {part.split(",")[0]: size for part, size in table(API, "Wrapped content keys", "part")}
    assert sizes.pop("ciphertext") == "as long as the content key"
    assert list(sizes) == ["version", "KEK id", "IV", "tag"]
    assert len(made.wrapped) == sum(map(int, sizes.values())) + len(made.plaintext)
    assert made.wrapped[:17] == b"\x01" + bytes.fromhex(kek.rpartition("/")[2])


def test_reflection_shows_what_is_told_to_whoever_has_a_certificate(service):
    database = ProtoReflectionDescriptorDatabase(service.client("service:nobody").channel)
    shown = set(database.get_services())
    assert shown == {*server.SERVICES, "grpc.health.v1.Health", reflection.SERVICE_NAME}
    assert {f"`{name}`" in TEXT for name in shown - set(server.SERVICES)} == {True}


@pytest.mark.parametrize(
    ("version", "certificate", "taken"),
    [("-tls1_1", True, False), ("-tls1_2", True, True), ("-tls1_3", True, True), ("-tls1_2", False, False)],
)
def test_tls_is_taken_as_it_is_told(service, version, certificate, taken):
    files = service.identity("operator")
    command = ["openssl", "s_client", "-connect", service.address, version, "-alpn", "h2", "-brief"]
    command += ["-CAfile", files["KEYSTEAD_CA"], "-verify_return_error"]
    if certificate:
        assert Path(files["KEYSTEAD_KEY"]).is_file()
        command += ["-cert", files["KEYSTEAD_CERT"], "-key", files["KEYSTEAD_KEY"]]
    done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=20)
    assert (done.returncode == 0) is taken, done.stderr
    assert "Mutual TLS, 1.3 or 1.2." in TEXT
