"""request_id and etag: a change is carried out once, and only on what its caller has seen."""

import os
import uuid
from datetime import timedelta

import pytest

from server.domain.change_requests import check_request_id
from server.domain.errors import (
    IllegalTransitionError,
    InvalidFieldError,
    RequestIdReusedError,
    StaleEtagError,
)
from server.domain.etags import etag_of_main_key, etag_of_organization, etag_of_rotation
from server.domain.ids import MainKeyName, OrganizationId, RotationName
from server.domain.main_keys import State
from server.domain.roles import Caller, Grant, Role
from server.use_cases import AnsweredBefore, Import, PageRequest, Terms


def terms(request_id=None, body=b"body", etag=None):
    packed = request_id and (lambda _: b"the first answer to " + request_id.encode())
    return Terms(request_id, body.ljust(32), etag, *([packed] if packed else []))


def fresh():
    return str(uuid.uuid4())


def test_a_repeat_is_told_the_first_answer_and_changes_nothing(world, org):
    key = world.bring(org)
    admin, name, first = world.admin(org), MainKeyName(org, key.id), fresh()
    world.do.main_key_moves.revoke(admin, name, terms(first))
    world.do.main_key_moves.activate(admin, name)
    epoch = world.epoch(org)
    world.restart()
    with pytest.raises(AnsweredBefore) as repeat:
        world.do.main_key_moves.revoke(admin, name, terms(first))
    assert repeat.value.answer == b"the first answer to " + first.encode()
    assert (world.key(org, key.id).state, world.epoch(org)) == (State.ACTIVE, epoch)


def test_the_same_id_with_another_request_is_refused(world, org):
    key = world.bring(org)
    admin, name, first = world.admin(org), MainKeyName(org, key.id), fresh()
    world.do.main_key_moves.revoke(admin, name, terms(first))
    with pytest.raises(RequestIdReusedError):
        world.do.main_key_moves.activate(admin, name, terms(first, body=b"another"))
    assert world.key(org, key.id).state is State.REVOKED


def test_the_ids_of_two_callers_do_not_meet(world, org):
    other, first = world.new_organization(), fresh()
    world.do.create_kek(world.user(org), org, terms(first))
    world.do.create_kek(world.user(other), other, terms(first))
    assert len(world.keks(org)) == len(world.keks(other)) == 1


def test_an_id_is_remembered_for_a_day(world, org):
    user, first = world.user(org), fresh()
    world.do.create_kek(user, org, terms(first))
    world.pass_time(timedelta(hours=23, minutes=59))
    world.steward()
    with pytest.raises(AnsweredBefore):
        world.do.create_kek(user, org, terms(first))
    world.pass_time(timedelta(minutes=2))
    world.do.create_kek(user, org, terms(first))
    with pytest.raises(AnsweredBefore):
        world.do.create_kek(user, org, terms(first))
    world.pass_time(timedelta(hours=25))
    world.steward()
    with world.storage.read() as tx:
        assert tx.requests.find(user.identity, first) is None


def test_a_refused_change_can_be_asked_for_again_under_its_id(world, org):
    key = world.bring(org)
    admin, name, first = world.admin(org), MainKeyName(org, key.id), fresh()
    with pytest.raises(IllegalTransitionError):
        world.do.main_key_moves.delete(admin, name, terms(first))
    world.do.main_key_moves.revoke(admin, name)
    assert world.do.main_key_moves.delete(admin, name, terms(first)).key.state is State.DELETED


def test_every_change_is_carried_out_once(world):
    org = OrganizationId(f"org-{os.urandom(4).hex()}")
    operator = Caller("spiffe://test/operator", (Grant(Role.OPERATOR, frozenset()),))
    user, admin = world.user(org), world.admin(org)
    moves, byok = world.do.main_key_moves, world.do.byok

    def once(change):
        asked = terms(fresh())
        result = change(asked)
        with pytest.raises(AnsweredBefore):
            change(asked)
        return result

    once(lambda t: world.do.create_organization(operator, org, "", t))
    once(lambda t: world.do.create_kek(user, org, t))
    once(lambda t: byok.enable(admin, org, t))
    value = os.urandom(32)
    upload = world.upload(org, value)
    before = world.object_ids()
    key = once(lambda t: world.do.import_main_key(admin, Import(upload, activate_now=False), t)).main_key.key
    assert world.object_ids() - before == {key.object_id}
    name = MainKeyName(org, key.id)
    once(lambda t: moves.delete(admin, name, t))
    once(lambda t: moves.undelete(admin, name, t))
    once(lambda t: moves.activate(admin, name, t))
    rotation = RotationName(org, world.do.list_rotations(admin, org, PageRequest(0, "")).items[0].rotation.id)
    once(lambda t: world.do.rotation_control.pause(admin, rotation, t))
    once(lambda t: world.do.rotation_control.resume(admin, rotation, t))
    once(lambda t: moves.revoke(admin, name, t))
    once(lambda t: moves.activate(admin, name, t))
    once(lambda t: byok.disable(admin, org, t))


def test_what_was_changed_meanwhile_is_not_changed_again_unseen(world, org):
    key = world.bring(org)
    admin, name = world.admin(org), MainKeyName(org, key.id)
    seen = etag_of_main_key(world.key(org, key.id))
    world.do.main_key_moves.revoke(admin, name, terms(etag=seen))
    present = world.key(org, key.id)
    with pytest.raises(StaleEtagError) as refusal:
        world.do.main_key_moves.activate(admin, name, terms(etag=seen))
    assert refusal.value.metadata["state"] == "REVOKED"
    assert refusal.value.metadata["etag"] == etag_of_main_key(present)
    assert "ACTIVATE" in refusal.value.metadata["next_moves"]
    world.do.main_key_moves.activate(admin, name, terms(etag=refusal.value.metadata["etag"]))


def test_the_etag_of_an_organisation_and_of_a_rotation(world, org):
    admin = world.admin(org)

    def seen():
        return etag_of_organization(world.do.get_organization(admin, org).organization)

    first = seen()
    upload = world.upload(org, os.urandom(32))
    world.do.byok.enable(admin, org, terms(etag=first))
    for change in (
        lambda: world.do.byok.disable(admin, org, terms(etag=first)),
        lambda: world.do.import_main_key(admin, Import(upload, activate_now=True), terms(etag=first)),
    ):
        with pytest.raises(StaleEtagError):
            change()
    world.new_kek(org)
    world.do.import_main_key(admin, Import(upload, activate_now=True), terms(etag=seen()))
    (view,) = world.do.list_rotations(admin, org, PageRequest(0, "")).items
    name, etag = RotationName(org, view.rotation.id), etag_of_rotation(view.rotation)
    world.do.rotation_control.pause(admin, name, terms(etag=etag))
    with pytest.raises(StaleEtagError):
        world.do.rotation_control.resume(admin, name, terms(etag=etag))


@pytest.mark.parametrize(
    "text",
    ["x", "1" * 36, str(uuid.uuid1()), str(uuid.uuid4()) + "\n", "{" + fresh() + "}"],
    ids=["a letter", "no version", "version 1", "a line", "in braces"],
)
def test_an_id_must_be_a_random_uuid(text):
    with pytest.raises(InvalidFieldError):
        check_request_id(text)


def test_an_id_in_capitals_is_the_same_id():
    one = fresh()
    assert check_request_id(one.upper()) == one
