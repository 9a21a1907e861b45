"""request_id and etag over gRPC: a change is made once, by whichever worker and over restarts, and on what was seen."""

import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.message import Message
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1 import rotation_service_pb2 as rotations
from keystead.v1.resources_pb2 import MainKey

from tests.support.crypto import encrypt
from tests.support.everywhere import clients_of_every_worker
from tests.support.service import Client, Organization, refusal_of, refused, running
from tests.support.strangers import grant, stranger

pytestmark = pytest.mark.slow

SERVICES = {
    module.DESCRIPTOR.services_by_name[name].full_name: module
    for module, name in (
        (organizations, "OrganizationService"),
        (main_keys, "MainKeyService"),
        (rotations, "RotationService"),
        (content_keys, "ContentKeyService"),
    )
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def killable(request, tmp_path_factory):
    """A service of this file's own, on each database."""
    settings = {}
    if request.param == "postgresql":
        settings["database"] = request.getfixturevalue("postgres_server").new_database()
    with running(tmp_path_factory.mktemp("service"), **settings) as service:
        yield service


@dataclass(frozen=True)
class Change:
    """A request that changes something, and who asks for it."""

    who: str
    request: Message

    def send(self, client: Client) -> bytes:
        """Return the answer, byte for byte."""
        name = type(self.request).__name__.removesuffix("Request")
        (service,) = (it for it, module in SERVICES.items() if hasattr(module, type(self.request).__name__))
        call = client.channel.unary_unary(f"/{service}/{name}", type(self.request).SerializeToString)
        return call(self.request, timeout=60)


def fresh() -> str:
    return str(uuid.uuid4())


def life(org: Organization):
    """Every change there is, each of which leaves things so that the next is possible."""
    admin, user, o, m = f"admin:{org.id}", f"service:{org.id}", organizations, main_keys
    yield Change("operator", o.CreateOrganizationRequest(organization_id=f"{org.id}-x", request_id=fresh()))
    yield Change(user, content_keys.CreateKekRequest(parent=org.name, request_id=fresh()))
    yield Change(admin, o.EnableByokRequest(name=org.name, request_id=fresh()))
    yield Change(admin, upload(org))
    key = org.main_keys()[0].name
    yield Change(admin, m.DeleteMainKeyRequest(name=key, request_id=fresh()))
    yield Change(admin, m.UndeleteMainKeyRequest(name=key, request_id=fresh()))
    yield Change(admin, m.ActivateMainKeyRequest(name=key, request_id=fresh()))
    yield Change(admin, m.RevokeMainKeyRequest(name=key, reason="once", request_id=fresh()))
    yield Change(admin, m.ActivateMainKeyRequest(name=key, request_id=fresh()))
    yield Change(admin, o.DisableByokRequest(name=org.name, request_id=fresh()))


def changed(change: Change) -> Change | None:
    """The same with another body, if it has any."""
    other = type(change.request).FromString(change.request.SerializeToString())
    if isinstance(other, organizations.CreateOrganizationRequest):
        other.organization.display_name = "another"
    elif "etag" in other.DESCRIPTOR.fields_by_name:
        other.etag = "0" * 16
    else:
        return None
    return Change(change.who, other)


def upload(org: Organization) -> main_keys.ImportMainKeyRequest:
    wrapping_key = org.wrapping_key()
    return main_keys.ImportMainKeyRequest(
        parent=org.name,
        wrapping_key=wrapping_key.name,
        encrypted_key=encrypt(wrapping_key.public_key_pem.encode(), os.urandom(32)),
        activation=main_keys.LATER,
        request_id=fresh(),
    )


def present(org: Organization):
    """All that changes could change: what administrators see of it."""
    organization = org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name))
    keys = {key.name: (key.state, key.state_time.ToNanoseconds()) for key in org.main_keys()}
    return organization.epoch, organization.kek_count, organization.etag, keys


def test_a_repeat_is_told_the_first_answer_byte_for_byte_by_every_worker_and_after_a_kill(killable):
    org = killable.new_organization()
    answers = [(change, change.send(killable.client(change.who))) for change in life(org)]
    org.await_state(org.main_keys()[0].name, "RETIRED")
    before = present(org)
    for was_killed in (False, True):
        if was_killed:
            killable.kill()
            killable.start()
        for who in ("operator", f"admin:{org.id}", f"service:{org.id}"):
            with clients_of_every_worker(killable, who) as clients:
                for client in clients.values():
                    for change, answer in answers:
                        if change.who == who:
                            assert change.send(client) == answer
        assert present(org) == before
    for change, _ in answers:
        if (other := changed(change)) is not None:
            with refused("INVALID_ARGUMENT", "REQUEST_ID_REUSED") as refusal:
                other.send(killable.client(change.who))
            assert refusal[0].details == ("ErrorInfo",)
    # Neither is it another caller's, nor another method's.
    revocation = next(it.request for it, _ in answers if isinstance(it.request, main_keys.RevokeMainKeyRequest))
    other = main_keys.ActivateMainKeyRequest(name=revocation.name, request_id=revocation.request_id)
    with refused("INVALID_ARGUMENT", "REQUEST_ID_REUSED"):
        org.admin.main_keys.ActivateMainKey(other)
    org.user.content_keys.CreateKek(content_keys.CreateKekRequest(parent=org.name, request_id=revocation.request_id))


def test_of_many_at_once_one_is_carried_out_and_all_are_told_the_same(killable):
    org = killable.new_organization()
    org.bring()
    key = org.main_keys()[0].name
    for change in (
        Change("operator", organizations.CreateOrganizationRequest(organization_id=f"{org.id}-x", request_id=fresh())),
        Change(f"service:{org.id}", content_keys.CreateKekRequest(parent=org.name, request_id=fresh())),
        Change(f"admin:{org.id}", upload(org)),
        Change(f"admin:{org.id}", main_keys.RevokeMainKeyRequest(name=key, request_id=fresh())),
    ):
        assert len(set(at_once(killable, change, 4))) == 1
    epoch, kek_count, _, keys = present(org)
    assert (epoch, kek_count, len(keys)) == (3, 1, 3)


def at_once(service, change: Change, times: int) -> list[bytes]:
    barrier = threading.Barrier(times)

    def send(client: Client) -> bytes:
        barrier.wait()
        return change.send(client)

    with ExitStack() as kept, ThreadPoolExecutor(times) as pool:
        clients = [service.new_client(change.who) for _ in range(times)]
        for client in clients:
            kept.callback(client.channel.close)
        return list(pool.map(send, clients))


# Etags.


def test_of_two_administrators_who_saw_the_same_one_wins(service, org):
    key = org.bring()
    uri = f"spiffe://keystead.dev/second/{org.id}"
    grant(service, uri, "administrator", org.id)
    second = stranger(service, uri)
    revocation = main_keys.RevokeMainKeyRequest(name=key.name, etag=key.etag)
    barrier = threading.Barrier(2)

    def change(client: Client):
        barrier.wait()
        try:
            return client.main_keys.RevokeMainKey(revocation).main_key
        except grpc.RpcError as error:
            return refusal_of(error)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(change, (org.admin, second)))
    second.channel.close()
    (won,) = (it for it in outcomes if isinstance(it, MainKey))
    (lost,) = (it for it in outcomes if it is not won)
    assert won.state == MainKey.REVOKED
    assert (lost.code.name, lost.reason) == ("ABORTED", "STALE_ETAG")
    assert lost.metadata == {"state": "REVOKED", "next_moves": "ACTIVATE,DELETE", "etag": won.etag}
    # With the same request it would be refused again.
    assert lost.details == ("ErrorInfo",)
    assert org.main_key(key.name) == won
    again = main_keys.ActivateMainKeyRequest(name=key.name, etag=lost.metadata["etag"])
    assert org.admin.main_keys.ActivateMainKey(again).state == MainKey.ACTIVE


def test_an_etag_stays_while_nothing_is_decided(org):
    key = org.bring()
    organization = org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name))
    org.await_state(f"{org.name}/mainKeys/common", "RETIRED")
    org.new_kek()
    assert org.main_key(key.name).etag == key.etag
    unchanged = organizations.EnableByokRequest(name=org.name, etag=organization.etag)
    assert org.admin.organizations.EnableByok(unchanged).etag == organization.etag


def test_the_etag_of_an_organisation_guards_imports_and_byok(org):
    seen = org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name)).etag
    org.bring()
    request = upload(org)
    request.etag = seen
    with refused("ABORTED", "STALE_ETAG") as refusal:
        org.admin.main_keys.ImportMainKey(request)
    told = refusal[0].metadata
    with refused("ABORTED", "STALE_ETAG") as refusal:
        org.admin.organizations.DisableByok(organizations.DisableByokRequest(name=org.name, etag=seen))
    present = org.admin.organizations.GetOrganization(organizations.GetOrganizationRequest(name=org.name))
    assert (
        told
        == refusal[0].metadata
        == {
            "main_key": present.main_key,
            "state": "ACTIVE",
            "epoch": str(present.epoch),
            "etag": present.etag,
        }
    )
    request.etag = present.etag
    assert org.admin.main_keys.ImportMainKey(request).main_key.state == MainKey.PENDING
