"""What a refused change is told, on the wire: a reason, what stands in the way, and whether to ask again."""

import os
import uuid
from collections.abc import Callable

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RequestInfo, RetryInfo
from grpc_status import rpc_status
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1 import rotation_service_pb2 as rotations

from tests.support.crypto import encrypt
from tests.support.inventory import destroy
from tests.support.service import Organization, eventually, running

pytestmark = pytest.mark.slow


class Told:
    """The details of a refusal."""

    def __init__(self, error: grpc.RpcError) -> None:
        status = rpc_status.from_call(error)
        self.code = error.code().name
        self.message = status.message
        self.kinds = [detail.TypeName().rpartition(".")[2] for detail in status.details]
        self.info, self.precondition, self.bad, self.retry = (
            ErrorInfo(),
            PreconditionFailure(),
            BadRequest(),
            RetryInfo(),
        )
        self.call = RequestInfo()
        for detail in status.details:
            assert any(detail.Unpack(it) for it in (self.info, self.precondition, self.bad, self.retry, self.call))

    def check(self) -> None:
        """Everything that is told fits together, and nothing else is told."""
        assert self.kinds[0] == "ErrorInfo"
        assert len(set(self.kinds)) == len(self.kinds)
        assert self.info.domain == "keystead"
        assert self.call.request_id
        assert ("PreconditionFailure" in self.kinds) == (self.code == "FAILED_PRECONDITION")
        assert ("BadRequest" in self.kinds) == (self.info.reason == "INVALID_FIELD")
        if self.code == "FAILED_PRECONDITION":
            (violation,) = self.precondition.violations
            assert (violation.type, violation.description) == (self.info.reason, self.message)
            metadata = self.info.metadata
            assert violation.subject == (metadata.get("main_key", "") or metadata.get("state", ""))
        if self.info.reason == "INVALID_FIELD":
            (violation,) = self.bad.field_violations
            assert violation.field == self.info.metadata["field"]
            assert violation.description == self.message


def told(attempt: Callable[[], object]) -> Told:
    with pytest.raises(grpc.RpcError) as caught:
        attempt()
    return Told(caught.value)


@pytest.fixture(scope="module")
def stage(service):
    """An organisation in which much is in the way: it has every kind of main key that can be had at once."""
    org = service.new_organization("stage")
    first, value = org.bring(), os.urandom(32)
    active = org.bring(value)
    org.await_state(first.name, "RETIRED")
    dropped = org.bring(activation=main_keys.LATER)
    org.admin.main_keys.DeleteMainKey(main_keys.DeleteMainKeyRequest(name=dropped.name))
    pending = org.bring(activation=main_keys.LATER)
    return Stage(org, value, active.name, pending.name, dropped.name)


class Stage:
    """What is there, and what is tried with it."""

    def __init__(self, org: Organization, value: bytes, active: str, pending: str, dropped: str) -> None:
        self.org, self.value = org, value
        self.active, self.pending, self.dropped = active, pending, dropped
        self.keys, self.organizations = org.admin.main_keys, org.admin.organizations

    def revoke(self, **more):
        return self.keys.RevokeMainKey(main_keys.RevokeMainKeyRequest(name=self.active, **more))

    def delete(self, name: str, **more):
        return self.keys.DeleteMainKey(main_keys.DeleteMainKeyRequest(name=name, **more))

    def undelete(self, name: str):
        return self.keys.UndeleteMainKey(main_keys.UndeleteMainKeyRequest(name=name))

    def upload(self, value: bytes, **more):
        key = self.org.wrapping_key()
        return self.keys.ImportMainKey(
            main_keys.ImportMainKeyRequest(
                parent=self.org.name,
                wrapping_key=more.pop("wrapping_key", key.name),
                encrypted_key=encrypt(key.public_key_pem.encode(), value),
                activation=more.pop("activation", main_keys.NOW),
                **more,
            )
        )

    def pause(self):
        finished = self.org.admin.rotations.ListRotations(rotations.ListRotationsRequest(parent=self.org.name))
        return self.org.admin.rotations.PauseRotation(rotations.PauseRotationRequest(name=finished.rotations[0].name))

    def reuse(self):
        request_id = str(uuid.uuid4())
        name = self.org.name
        self.organizations.EnableByok(organizations.EnableByokRequest(name=name, request_id=request_id))
        self.organizations.DisableByok(organizations.DisableByokRequest(name=name, request_id=request_id))


REFUSALS = {
    "ILLEGAL_TRANSITION": lambda it: it.delete(it.active),
    "PENDING_KEY_EXISTS": lambda it: it.undelete(it.dropped),
    "PENDING_KEY_EXISTS (import)": lambda it: it.upload(os.urandom(32), activation=main_keys.LATER),
    "DELETED_KEY_EXISTS": lambda it: it.delete(it.pending),
    "DUPLICATE_KEY": lambda it: it.upload(it.value),
    "FINGERPRINT_MISMATCH": lambda it: it.upload(os.urandom(32), expected_fingerprint=bytes(32)),
    "WEAK_KEY": lambda it: it.upload(bytes(32)),
    "ENCRYPTED_KEY_REJECTED": lambda it: it.upload(os.urandom(31)),
    "WRAPPING_KEY_NOT_USABLE": lambda it: it.upload(
        os.urandom(32), wrapping_key=f"{it.org.name}/wrappingKeys/{'0' * 32}"
    ),
    "NOT_FOUND": lambda it: it.delete(f"{it.org.name}/mainKeys/{'0' * 32}"),
    "MALFORMED_NAME": lambda it: it.delete("it"),
    "FORBIDDEN": lambda it: it.delete("organizations/another/mainKeys/common"),
    "STALE_ETAG": lambda it: it.revoke(etag="0" * 16),
    "ROTATION_FINISHED": lambda it: it.pause(),
    "REQUEST_ID_REUSED": lambda it: it.reuse(),
    "INVALID_FIELD (request_id)": lambda it: it.revoke(request_id="1"),
    "INVALID_FIELD (reason)": lambda it: it.revoke(reason="x" * 201),
    "INVALID_FIELD (reason that steers)": lambda it: it.revoke(reason="\x1b[2J"),
    "INVALID_FIELD (reactivate_after)": lambda it: it.revoke(reactivate_after={"seconds": 1}),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_refusal_that_does_not_pass_says_what_is_in_the_way(stage, reason):
    refusal = told(lambda: REFUSALS[reason](stage))
    assert refusal.info.reason == reason.partition(" ")[0]
    refusal.check()
    assert "RetryInfo" not in refusal.kinds
    assert stage.org.states()[stage.active] == "ACTIVE"


def test_the_way_on_is_in_the_metadata(stage):
    refusal = told(lambda: stage.delete(stage.active))
    assert dict(refusal.info.metadata) == {"state": "ACTIVE", "next_moves": "REVOKE"}
    refusal = told(lambda: stage.undelete(stage.dropped))
    assert dict(refusal.info.metadata) == {"main_key": stage.pending}
    refusal = told(lambda: stage.delete(stage.pending))
    assert dict(refusal.info.metadata) == {"main_key": stage.dropped}


def test_without_byok_no_key_is_activated(service):
    org = service.new_organization()
    pending = org.bring(activation=main_keys.LATER).name
    org.admin.organizations.DisableByok(organizations.DisableByokRequest(name=org.name))
    refusal = told(lambda: org.activate(pending))
    assert refusal.info.reason == "BYOK_DISABLED"
    refusal.check()
    assert "RetryInfo" not in refusal.kinds


def test_what_passes_by_itself_is_told_to_be_asked_again_and_what_does_not_is_not(tmp_path):
    with running(tmp_path) as service:
        org = service.new_organization()
        key = org.bring()
        destroy(tmp_path / "token", key.name.rpartition("/")[2])
        refusal = eventually(lambda: refusal_of_kek(org), "the key is missed")
        assert (refusal.code, refusal.info.reason) == ("UNAVAILABLE", "MAIN_KEY_MISSING")
        refusal.check()
        assert "RetryInfo" not in refusal.kinds

        tokens = tmp_path / "token/tokens"
        tokens.rename(tmp_path / "away")
        refusal = eventually(
            lambda: (it := told(org.wrapping_key)).info.reason == "TOKEN_UNAVAILABLE" and it, "it is gone"
        )
        refusal.check()
        assert "RetryInfo" in refusal.kinds
        assert refusal.retry.retry_delay.seconds == 1
        (tmp_path / "away").rename(tokens)
        eventually(service.serves, "the token is back")


def refusal_of_kek(org: Organization) -> Told | None:
    try:
        org.new_kek()
    except grpc.RpcError as error:
        return Told(error)
    return None
