"""Many administrators change one organisation at once, and all that they are told fits into one order of events."""

import json
import os
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle

import grpc
import pytest
from google.protobuf.message import Message
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1 import rotation_service_pb2 as rotations
from keystead.v1.resources_pb2 import MainKey, Rotation

from server.domain.audit import AuditAction
from server.domain.main_keys import State
from tests.support.administrators import Office, Outcome, Upload
from tests.support.crowd import make_keks, one_content_key_each, unwrap_all
from tests.support.crypto import encrypt
from tests.support.replay import Event, Replay, check_counts, events_of
from tests.support.rows import rows_of
from tests.support.service import Organization, eventually, refusal_of, running

pytestmark = pytest.mark.slow

ADMINISTRATORS, UPLOADS, KEKS = 40, 12, 600

ILLEGAL = ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")
LOCKED = ("FAILED_PRECONDITION", "ORGANIZATION_LOCKED")
PENDING_KEY_EXISTS = ("FAILED_PRECONDITION", "PENDING_KEY_EXISTS")
REFUSALS: dict[type[Message], set[tuple[str, str]]] = {
    main_keys.ActivateMainKeyRequest: {ILLEGAL, LOCKED, ("FAILED_PRECONDITION", "BYOK_DISABLED")},
    main_keys.RevokeMainKeyRequest: {ILLEGAL},
    main_keys.DeleteMainKeyRequest: {ILLEGAL, ("FAILED_PRECONDITION", "DELETED_KEY_EXISTS")},
    main_keys.UndeleteMainKeyRequest: {ILLEGAL, PENDING_KEY_EXISTS},
    main_keys.ImportMainKeyRequest: {
        LOCKED,
        PENDING_KEY_EXISTS,
        ("FAILED_PRECONDITION", "WRAPPING_KEY_NOT_USABLE"),
        ("ALREADY_EXISTS", "DUPLICATE_KEY"),
    },
    organizations.EnableByokRequest: set(),
    organizations.DisableByokRequest: {LOCKED},
    rotations.PauseRotationRequest: {("FAILED_PRECONDITION", "ROTATION_FINISHED")},
    rotations.ResumeRotationRequest: {("FAILED_PRECONDITION", "ROTATION_FINISHED")},
}
"""What each method may refuse, beside what any change may be refused for."""
STALE, CONFLICT = ("ABORTED", "STALE_ETAG"), ("ABORTED", "CONCURRENT_CHANGE")
REUSED = ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")


def prepare_uploads(org: Organization, rows, count: int) -> list[Upload]:
    """Make wrapping keys ahead, and encrypt a new main key under each; one value in six is used twice."""
    made = {}
    with ThreadPoolExecutor(2) as pool:
        for _ in range(count):
            if len(made) >= count:
                break
            for key in pool.map(lambda _: org.wrapping_key(), range(2)):
                made[key.name] = key
            # An organisation is given the same wrapping key until it is used: so these are, until all are made.
            rows.change_all("UPDATE wrapping_keys SET state = 'USED'")
    rows.change_all("UPDATE wrapping_keys SET state = 'USABLE'")
    values = cycle([os.urandom(32) for _ in range(5 * count // 6)])
    return [Upload(key.name, encrypt(key.public_key_pem.encode(), next(values))) for key in made.values()]


@contextmanager
def counts_watched(rows, org: Organization):
    """Look at the states in the database all the time."""
    ended, looks = threading.Event(), []
    query = "SELECT state, prior_state FROM main_keys WHERE organization = :organization"

    def watch() -> None:
        while not ended.wait(0.01):
            check_counts(rows.all(query, organization=org.id))
            looks.append(1)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            ended.set()
        watching.result()
    assert len(looks) > 20


def id_of(name: str) -> str:
    return name.rpartition("/")[2]


def moment(timestamp) -> datetime:
    return timestamp.ToDatetime(UTC)


# What they were told, one by one.


def check_refusals(outcomes: Sequence[Outcome], replay: Replay) -> None:
    for it in outcomes:
        if it.refusal is None:
            continue
        told = it.refusal.code.name, it.refusal.reason
        allowed = REFUSALS[type(it.request)] | {CONFLICT}
        allowed |= {STALE} if it.request.etag else set()
        allowed |= {REUSED} if it.request_id else set()
        assert told in allowed, it
        key = it.refusal.metadata.get("main_key") or getattr(it.request, "name", "")
        if told in {ILLEGAL, LOCKED, STALE} and "/mainKeys/" in key:
            # It was in that state while the call was under way.
            stays = replay.stays[id_of(key)]
            states = {stay.state for stay in stays if stay.since <= it.answered and it.asked <= stay.until}
            assert it.refusal.metadata["state"] in states, it


def answers(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return what was carried out, each once: repeats were told the very same."""
    by_id, carried_out = defaultdict(list), []
    for it in outcomes:
        if it.reply is not None:
            (by_id[it.request_id] if it.request_id else carried_out).append(it)
    for same in by_id.values():
        said = {(it.request.SerializeToString(), it.reply.SerializeToString(deterministic=True)) for it in same}
        assert len(said) == 1, same
        carried_out.append(min(same, key=lambda it: it.answered))
    return carried_out


def moved_key(reply: Message) -> MainKey:
    return reply if isinstance(reply, MainKey) else reply.main_key


def check_moves(carried_out: Sequence[Outcome], events: Sequence[Event]) -> None:
    """Each move of a key that was told is one event, and each event of an administrator was told."""
    told = {}
    for it in carried_out:
        if isinstance(it.reply, MainKey | main_keys.ImportMainKeyResponse | main_keys.RevokeMainKeyResponse):
            key = moved_key(it.reply)
            deed = id_of(key.name), MainKey.State.Name(key.state), moment(key.state_time)
            assert it.asked <= deed[2] <= it.answered, it
            assert told.setdefault(deed, it) is it, f"told twice: {deed}"
    imported_later, at_once = set(), {it.time for it in events if it.to_state is State.ACTIVE}
    for event in events:
        if event.action is AuditAction.MAIN_KEY_IMPORTED and event.time not in at_once:
            imported_later.add((event.subject, "PENDING", event.time))
    happened = {
        (event.subject, event.to_state, event.time)
        for event in events
        # That a key was replaced is the other half of an activation.
        if event.to_state not in {None, State.ROTATING} and not event.is_stewards and event.subject != "common"
    }
    assert told.keys() == happened | imported_later


def check_byok(carried_out: Sequence[Outcome], replay: Replay, events: Sequence[Event]) -> None:
    """Each answer is a scene of the play, and every switch was told to somebody who asked for it."""
    scenes = {(scene.epoch, scene.in_charge, scene.state, scene.byok_enabled) for scene in replay.scenes}
    switched = {True: 0, False: 0}
    for it in carried_out:
        if isinstance(it.request, organizations.EnableByokRequest | organizations.DisableByokRequest):
            reply = it.reply
            state = MainKey.State.Name(reply.main_key_state)
            assert (reply.epoch, id_of(reply.main_key), state, reply.byok_enabled) in scenes, it
            assert reply.byok_enabled is isinstance(it.request, organizations.EnableByokRequest)
            switched[reply.byok_enabled] += 1
    imports = {event.time for event in events if event.action is AuditAction.MAIN_KEY_IMPORTED}
    enabled = [it for it in events if it.action is AuditAction.BYOK_ENABLED and it.time not in imports]
    disabled = [it for it in events if it.action is AuditAction.BYOK_DISABLED]
    assert len(enabled) <= switched[True]
    assert len(disabled) <= switched[False]


def check_rotations(carried_out: Sequence[Outcome], events: Sequence[Event]) -> None:
    """Every pause and every end of one was told to somebody who asked for it."""
    for action, kind, state in (
        (AuditAction.ROTATION_PAUSED, rotations.PauseRotationRequest, Rotation.PAUSED),
        (AuditAction.ROTATION_RESUMED, rotations.ResumeRotationRequest, Rotation.RUNNING),
    ):
        told = [it for it in carried_out if isinstance(it.request, kind)]
        assert {it.reply.state for it in told} <= {state}
        for event in events:
            if event.action is action:
                asked = [it for it in told if id_of(it.request.name) == event.subject]
                assert any(it.asked <= event.time <= it.answered for it in asked), event


def check_end(org: Organization, replay: Replay) -> None:
    request = organizations.GetOrganizationRequest(name=org.name)
    now = org.admin.organizations.GetOrganization(request)
    assert (now.epoch, id_of(now.main_key), now.byok_enabled) == (replay.epoch, replay.in_charge, replay.byok_enabled)
    assert {id_of(name): state for name, state in org.states().items()} == replay.states()
    request = rotations.ListRotationsRequest(parent=org.name, page_size=1000)
    unfinished = {
        id_of(it.name): it.state == Rotation.PAUSED
        for it in org.admin.rotations.ListRotations(request).rotations
        if it.state in {Rotation.RUNNING, Rotation.PAUSED}
    }
    assert {name for name, paused in unfinished.items() if paused} == replay.paused & unfinished.keys()


def check_log(service) -> None:
    events = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    assert not [it for it in events if it["event"] in {"incident", "constraint_refused", "ended", "chore_failed"}]


def bring_back(org: Organization) -> None:
    """Unlock the organisation, and let what is paused go on."""
    request = organizations.GetOrganizationRequest(name=org.name)
    name = org.admin.organizations.GetOrganization(request).main_key
    if org.states()[name] == "DELETED":
        org.admin.main_keys.UndeleteMainKey(main_keys.UndeleteMainKeyRequest(name=name))
    if org.states()[name] == "REVOKED":
        org.activate(name)
    request = rotations.ListRotationsRequest(parent=org.name, page_size=1000)
    for rotation in org.admin.rotations.ListRotations(request).rotations:
        if rotation.state == Rotation.PAUSED:
            resume = rotations.ResumeRotationRequest(name=rotation.name)
            try:
                org.admin.rotations.ResumeRotation(resume)
            except grpc.RpcError as error:
                # If no KEK was left, it has ended in its pause.
                if refusal_of(error).reason != "ROTATION_FINISHED":
                    raise


@pytest.mark.timeout(280)
@pytest.mark.parametrize(("database_url", "moves"), [("sqlite", 400), ("postgresql", 1000)], indirect=["database_url"])
def test_what_forty_administrators_are_told_fits_into_one_order_of_events(database_url, moves, tmp_path, rng):
    settings = {"database": database_url, "SERVER__WORKERS": "2", "LIFE__RETIRED_LIFETIME": "PT2S"}
    with running(tmp_path / "service", **settings) as service, rows_of(database_url) as rows:
        org = service.new_organization()
        content_keys = one_content_key_each(org, make_keks(org, KEKS))
        office = Office(org, prepare_uploads(org, rows, UPLOADS), moves, deadline=200)
        with counts_watched(rows, org):
            office.work(ADMINISTRATORS, rng)
        assert len(office.outcomes) == moves

        replay, events = Replay(), events_of(rows, org.id)
        replay.play(events)
        check_refusals(office.outcomes, replay)
        carried_out = answers(office.outcomes)
        check_moves(carried_out, events)
        check_byok(carried_out, replay, events)
        check_rotations(carried_out, events)
        assert len(carried_out) > 0.1 * moves

        bring_back(org)
        eventually(lambda: "ROTATING" not in org.states().values(), "no key rotates any more")
        unwrap_all(org, content_keys)
        replay = Replay()
        replay.play(events_of(rows, org.id))
        check_end(org, replay)
        check_log(service)
