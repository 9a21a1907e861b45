"""An answer that is lost, or put off: the change is made once, and who gets no answer is told how to ask again."""

import json
import time
import uuid

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations

from tests.support.crypto import encrypt
from tests.support.relay import relay
from tests.support.service import free_port
from tests.support.stuck import stuck_rotation

pytestmark = pytest.mark.slow


@pytest.fixture
def lossy(service, admin, org):
    """Between the administrator and the service: what loses answers."""
    with relay(service, f"admin:{org.id}") as lossy:
        admin.environment["KEYSTEAD_ADDRESS"] = lossy.address
        yield lossy


def epoch(org) -> int:
    return org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name)).epoch


def only(requests: list[bytes], times: int) -> bytes:
    """The one request that was sent so many times."""
    assert len(requests) == times
    assert len(set(requests)) == 1
    return requests[0]


def test_a_lost_answer_is_asked_for_again_and_the_change_made_once(admin, org, lossy):
    key, before = org.bring().name, epoch(org)
    lossy.losses = 2
    answer = admin.json("main-keys", "revoke", org.id, key, "--yes")
    assert answer["main_key"]["state"] == "REVOKED"
    assert epoch(org) == before + 1
    sent = main_keys.RevokeMainKeyRequest.FromString(only(lossy.requests["RevokeMainKey"], 3))
    assert str(uuid.UUID(sent.request_id, version=4)) == sent.request_id
    assert sent.etag == ""
    # Another command is another request.
    admin.says("main-keys", "activate", org.id, key)
    admin.says("main-keys", "revoke", org.id, key, "--yes")
    assert (
        len({main_keys.RevokeMainKeyRequest.FromString(it).request_id for it in lossy.requests["RevokeMainKey"]}) == 2
    )


def test_every_command_that_changes_something_sends_it_again(service, person, admin, org, lossy):
    """With its own id, whatever the method."""
    with stuck_rotation(org) as stuck:
        key = stuck.to_main_key.name
        wrapping_key = org.wrapping_key()
        (admin.folder / "k").write_bytes(encrypt(wrapping_key.public_key_pem.encode(), bytes(range(1, 33))))
        for words in (
            ("organizations", "enable-byok", org.id),
            ("rotations", "pause", org.id, stuck.name),
            ("rotations", "resume", org.id, stuck.name),
            ("main-keys", "import", org.id, "k", "--wrapping-key", wrapping_key.name),
            ("main-keys", "revoke", org.id, key, "--yes"),
            ("main-keys", "delete", org.id, key, "--yes"),
            ("main-keys", "undelete", org.id, key),
            ("main-keys", "activate", org.id, key),
            ("organizations", "disable-byok", org.id, "--yes"),
        ):
            lossy.losses = 1
            admin.says(*words)
            assert lossy.losses == 0, words
        stuck.mend()
    changes = {it: them for it, them in lossy.requests.items() if not it.startswith(("Get", "List", "Preview"))}
    assert len(changes) == 9
    for requests in changes.values():
        only(requests, 2)
    for who, words in (
        ("operator", ("organizations", "create", f"{org.id}-2")),
        (f"service:{org.id}", ("keks", "create", org.id)),
    ):
        with relay(service, who) as another:
            another.losses = 1
            person(who).says(*words, KEYSTEAD_ADDRESS=another.address)
            (requests,) = another.requests.values()
            only(requests, 2)
    listed = org.user.content_keys.ListKeks(content_keys.ListKeksRequest(parent=org.name)).keks
    assert len(listed) == 4


def test_whoever_gets_no_answer_is_told_how_to_ask_again(admin, service, org, lossy):
    key, before = org.bring().name, epoch(org)
    lossy.losses = 99
    words = ("main-keys", "revoke", org.id, key, "--yes")
    told = admin.is_told(*words, status=75)
    only(lossy.requests["RevokeMainKey"], 4)
    (advice,) = (line for line in told.splitlines() if "--request-id" in line)
    assert advice.startswith("  It may have been done all the same. Repeat the command with --request-id ")
    option = advice.partition("with ")[2].partition(":")[0].split()
    answer = admin.json(*words, *option, KEYSTEAD_ADDRESS=service.address)
    assert answer["main_key"]["state"] == "REVOKED"
    assert epoch(org) == before + 1


def test_an_import_is_repeated_with_its_wrapping_key(admin, service, org, lossy):
    wrapping_key = org.wrapping_key()
    (admin.folder / "k").write_bytes(encrypt(wrapping_key.public_key_pem.encode(), bytes(range(1, 33))))
    lossy.losses = 99
    told = admin.is_told("main-keys", "import", org.id, "k", status=75)
    (advice,) = (line for line in told.splitlines() if "--request-id" in line)
    options = advice.partition("with ")[2].partition(": it")[0].split()
    assert options[2:] == ["--wrapping-key", wrapping_key.name]
    answer = admin.json("main-keys", "import", org.id, "k", *options, KEYSTEAD_ADDRESS=service.address)
    assert list(org.states()) == [answer["main_key"]["name"], f"{org.name}/mainKeys/common"]
    # Without it the repeat would name another wrapping key.
    told = admin.is_told("main-keys", "import", org.id, "k", *options[:2], status=2)
    assert (
        told == "keystead: --request-id needs --wrapping-key: a repeat must name the wrapping key of the first time.\n"
    )


def status(code: Code.ValueType, reason: str, retry_after: float | None = None) -> Status:
    details = [ErrorInfo(reason=reason, domain="keystead")]
    if retry_after is not None:
        details.append(RetryInfo(retry_delay=Duration(nanos=round(retry_after * 1e9))))
    packed = [Any() for _ in details]
    for one, detail in zip(packed, details, strict=True):
        one.Pack(detail)
    return Status(code=code, message="Not now.", details=packed)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(Code.ABORTED, "CONCURRENT_CHANGE"), (Code.UNAVAILABLE, "TOKEN_UNAVAILABLE")],
)
def test_what_the_service_puts_off_is_asked_for_again(admin, org, lossy, code, reason):
    lossy.refusals = [status(code, reason, retry_after=0.9)]
    before = time.monotonic()
    admin.says("organizations", "enable-byok", org.id)
    assert time.monotonic() - before > 0.9
    only(lossy.requests["EnableByok"], 2)


def test_what_the_service_goes_on_putting_off_is_to_be_tried_later(admin, org, lossy):
    lossy.refusals = [status(Code.ABORTED, "CONCURRENT_CHANGE", retry_after=0.1)] * 9
    told = admin.is_told("organizations", "enable-byok", org.id, status=75)
    assert told.startswith("keystead: Not now.\n")
    assert "--request-id" in told
    assert told.endswith("  reason: CONCURRENT_CHANGE\n")
    only(lossy.requests["EnableByok"], 4)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(Code.ABORTED, "STALE_ETAG"), (Code.UNAVAILABLE, "MAIN_KEY_MISSING"), (Code.FAILED_PRECONDITION, "BYOK_DISABLED")],
)
def test_what_is_refused_is_not_asked_for_again(admin, org, lossy, code, reason):
    lossy.refusals = [status(code, reason)]
    told = json.loads(admin.is_told("organizations", "enable-byok", org.id, "--json", status=1))
    assert (told["error"]["reason"], told["error"]["message"]) == (reason, "Not now.")
    only(lossy.requests["EnableByok"], 1)


def test_a_service_that_is_down_is_told_after_a_few_tries(admin, org):
    before = time.monotonic()
    told = admin.is_told("keks", "create", org.id, status=75, KEYSTEAD_ADDRESS=f"127.0.0.1:{free_port()}")
    assert time.monotonic() - before < 20
    assert "Is the service running there?" in told
    assert "--request-id" in told


def test_what_is_not_the_service_is_asked_for_nothing_again(operator):
    folder = operator.folder / "other"
    operator.says("dev", "init", "--folder", folder, "--module", "none")
    told = operator.is_told("organizations", "create", "acme-x", status=1, KEYSTEAD_CA=folder / "pki/ca.pem")
    assert "nothing was sent" in told
    assert "--request-id" not in told
