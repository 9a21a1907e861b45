"""The contract of storage: the same on every database."""

import secrets
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import ConcurrentChangeError, OrganizationExistsError, StorageUnavailableError
from server.domain.ids import COMMON, OrganizationId
from server.domain.intents import Intent, ObjectRole, Purpose
from server.domain.main_keys import Origin, State
from server.domain.ports import Rewrap
from server.domain.rotations import Rotation, RotationCounts, RotationState
from server.domain.wrapping_keys import Algorithm, WrappingKeyState
from server.storage import SqlStorage, migrate, schema
from tests.support.factories import ACME, NOW, kek, main_key, new_id, organization, put, wrapping_key
from tests.support.migrations import migrated_to

SECOND = timedelta(seconds=1)


def version_of(tx, organization, kek):
    return tx.keks.find_many(organization, frozenset({kek})).get(kek)


def events(storage):
    with storage.connected(writes=False) as connection:
        rows = connection.execute(sa.text("SELECT organization, sequence FROM audit_events ORDER BY 1, 2"))
        return [tuple(row) for row in rows]


def test_migrating_twice_changes_nothing(database_url):
    migrate(database_url)
    migrate(database_url)
    with SqlStorage.open(database_url) as storage:
        storage.check()


def test_a_database_without_schema_is_not_available(database_url):
    with SqlStorage.open(database_url) as storage, pytest.raises(StorageUnavailableError):
        storage.check()


def test_what_is_kept_is_read_again(storage):
    key = main_key(purge_time=NOW + timedelta(days=1))
    put(storage, key)
    wrapping, row = wrapping_key(), kek(key)
    with storage.write() as tx:
        tx.wrapping_keys.add(wrapping)
        tx.keks.add(row)
    with storage.read() as tx:
        assert tx.organizations.find(ACME) == organization("acme", key.id)
        assert tx.main_keys.find(ACME, key.id) == key
        assert tx.main_keys.find_by_fingerprint(ACME, key.fingerprint) == key
        assert tx.wrapping_keys.find(ACME, wrapping.id) == wrapping
        assert version_of(tx, ACME, row.id) == row
        assert tx.keks.find_many(ACME, frozenset({row.id, new_id()})) == {row.id: row}


def test_another_organisation_does_not_see_it(storage):
    key = main_key()
    put(storage, key)
    row, wrapping = kek(key), wrapping_key()
    with storage.write() as tx:
        tx.keks.add(row)
        tx.wrapping_keys.add(wrapping)
    other = OrganizationId("other")
    with storage.read() as tx:
        assert tx.main_keys.find(other, key.id) is None
        assert version_of(tx, other, row.id) is None
        assert tx.keks.find_many(other, frozenset({row.id})) == {}
        assert tx.wrapping_keys.find(other, wrapping.id) is None


def test_an_exception_rolls_everything_back(storage):
    with pytest.raises(KeyError), storage.write() as tx:
        tx.organizations.add(organization())
        tx.main_keys.add(main_key(State.ACTIVE, key_id=COMMON, origin=Origin.COMMON))
        raise KeyError
    with storage.read() as tx:
        assert tx.organizations.find(ACME) is None


def test_an_organisation_exists_only_once(storage):
    put(storage, main_key())
    with pytest.raises(OrganizationExistsError), storage.write() as tx:
        tx.organizations.add(organization())


def test_an_organisation_without_its_main_key_does_not_commit(storage):
    with pytest.raises(ConcurrentChangeError), storage.write() as tx:
        tx.organizations.add(organization())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (State.PENDING, State.PENDING),
        (State.ACTIVE, State.ACTIVE),
        (State.REVOKED, State.REVOKED),
        (State.ACTIVE, State.REVOKED),
        (State.DELETED, State.DELETED),
    ],
)
def test_the_database_refuses_two_main_keys_of_a_kind(storage, first, second):
    with pytest.raises(ConcurrentChangeError):
        put(storage, main_key(first), main_key(second))


@pytest.mark.parametrize("state", [State.ROTATING, State.RETIRED, State.REMOVED])
def test_any_number_may_be_on_their_way_out(storage, state):
    put(storage, main_key(), main_key(state), main_key(state))
    with storage.read() as tx:
        assert len(tx.main_keys.in_state(state, 10)) == 2


def test_a_pending_and_a_revoked_deletion_stand_side_by_side(storage):
    put(storage, main_key(State.DELETED), main_key(State.DELETED, prior_state=State.PENDING))


def test_one_value_is_one_main_key_of_an_organisation(storage):
    key = main_key()
    with pytest.raises(ConcurrentChangeError):
        put(storage, key, replace(main_key(State.RETIRED), fingerprint=key.fingerprint))


@pytest.mark.parametrize("state", [State.PENDING, State.RETIRED, State.REMOVED])
def test_no_kek_comes_under_a_key_that_must_not_have_any(storage, state):
    bad = main_key(state)
    put(storage, main_key(), bad)
    with pytest.raises(ConcurrentChangeError), storage.write() as tx:
        tx.keks.add(kek(bad))


def test_a_key_with_keks_is_not_retired(storage):
    active, rotating = main_key(), main_key(State.ROTATING)
    put(storage, active, rotating)
    with storage.write() as tx:
        tx.keks.add(kek(rotating))
    for state in (State.RETIRED, State.REMOVED):
        with pytest.raises(ConcurrentChangeError), storage.write() as tx:
            tx.main_keys.update(replace(rotating, state=state, purge_time=NOW))
    with storage.read() as tx:
        assert tx.main_keys.find(ACME, rotating.id) == rotating


def test_the_purge_of_a_deleted_key_keeps_its_keks(storage):
    deleted = main_key(State.DELETED)
    put(storage, replace(deleted, state=State.REVOKED, prior_state=None))
    with storage.write() as tx:
        tx.keks.add(kek(deleted))
    with storage.write() as tx:
        tx.main_keys.update(deleted)
    with storage.write() as tx:
        tx.main_keys.update(replace(deleted, state=State.REMOVED, prior_state=None))


@pytest.mark.parametrize("size", [39, 41])
def test_a_wrapped_kek_has_one_size(storage, size):
    key = main_key()
    put(storage, key)
    row = kek(key)
    with pytest.raises(ConcurrentChangeError), storage.write() as tx:
        tx.keks.add(replace(row, key=replace(row.key, wrapped=bytes(size))))


def test_main_keys_are_listed_newest_first_and_without_those_removed(storage):
    keys = [
        main_key(State.ACTIVE),
        main_key(State.ROTATING, age=SECOND),
        main_key(State.REMOVED, age=2 * SECOND),
        main_key(State.RETIRED, age=3 * SECOND),
        main_key(State.RETIRED, age=3 * SECOND),
    ]
    put(storage, *keys)
    expected = keys[:3] + sorted(keys[3:], key=lambda key: key.id, reverse=True)
    with storage.read() as tx:
        assert tx.main_keys.page(ACME, None, 10, show_removed=True) == expected
        assert tx.main_keys.page(ACME, None, 2, show_removed=True) == expected[:2]
        assert tx.main_keys.page(ACME, expected[1].id, 10, show_removed=True) == expected[2:]
        assert tx.main_keys.page(ACME, expected[3].id, 10, show_removed=True) == expected[4:]
        assert tx.main_keys.page(ACME, None, 10, show_removed=False) == expected[:2] + expected[3:]
        assert tx.main_keys.page(ACME, new_id(), 10, show_removed=True) == []


def test_what_is_due_is_found(storage):
    due = main_key(State.RETIRED, purge_time=NOW)
    later = main_key(State.RETIRED, purge_time=NOW + SECOND)
    put(storage, main_key(), due, later)
    with storage.read() as tx:
        assert tx.main_keys.due(State.RETIRED, NOW, 10) == [due]
        assert tx.main_keys.find_in_state(ACME, State.PENDING) is None


def test_organisations_are_listed_by_id_and_only_those_asked_for(storage):
    for name in ("bbb", "aaa", "ccc"):
        put(storage, main_key(org=OrganizationId(name)))
    with storage.read() as tx:
        assert [o.id for o in tx.organizations.page(None, 10, None)] == ["aaa", "bbb", "ccc"]
        assert [o.id for o in tx.organizations.page(OrganizationId("aaa"), 1, None)] == ["bbb"]
        only = frozenset({OrganizationId("ccc"), OrganizationId("zzz")})
        assert [o.id for o in tx.organizations.page(None, 10, only)] == ["ccc"]


def test_there_is_one_common_key(storage):
    object_id, fingerprint = new_id(), secrets.token_bytes(32)
    with storage.write() as tx:
        assert tx.main_keys.common() is None
        tx.main_keys.set_common(object_id, fingerprint, NOW)
    with pytest.raises(ConcurrentChangeError), storage.write() as tx:
        tx.main_keys.set_common(new_id(), secrets.token_bytes(32), NOW)
    with storage.read() as tx:
        assert tx.main_keys.common() == (object_id, fingerprint)


def test_a_usable_wrapping_key_is_the_newest_in_its_time(storage):
    put(storage, main_key())
    good = wrapping_key()
    others = [
        wrapping_key(state=WrappingKeyState.USED),
        wrapping_key(expire_time=NOW),
        replace(wrapping_key(), failed_uploads=5),
        replace(wrapping_key(), create_time=NOW - SECOND),
    ]
    with storage.write() as tx:
        for key in (good, *others):
            tx.wrapping_keys.add(key)
    with storage.read() as tx:
        assert tx.wrapping_keys.usable(ACME, None, NOW) == good
        assert tx.wrapping_keys.usable(ACME, Algorithm.RSA_OAEP_4096_SHA256, NOW) is None
        assert tx.wrapping_keys.expired(NOW, 10) == [others[1]]


def test_encryptions_are_never_taken_beyond_the_limit(storage):
    key = main_key()
    put(storage, key)
    row = kek(key)
    with storage.write() as tx:
        tx.keks.add(row)
        assert tx.keks.reserve_encryptions(ACME, row.id, 7, limit=10)
        assert not tx.keks.reserve_encryptions(ACME, row.id, 4, limit=10)
        assert tx.keks.reserve_encryptions(ACME, row.id, 3, limit=10)
        assert not tx.keks.reserve_encryptions(ACME, new_id(), 1, limit=10)


def test_an_intent_is_settled_once(storage):
    intent = Intent(new_id(), ObjectRole.MAIN_KEY, Purpose.CREATE, NOW)
    with storage.write() as tx:
        tx.intents.add(intent)
    with storage.read() as tx:
        assert tx.intents.page(Purpose.CREATE, NOW + SECOND, 10) == [intent]
        assert tx.intents.page(Purpose.CREATE, NOW, 10) == []
    with storage.write() as tx:
        tx.intents.add(replace(intent, purpose=Purpose.DESTROY))
    with pytest.raises(ConcurrentChangeError), storage.write() as tx:
        tx.intents.settle(intent.object_id, Purpose.CREATE)
    with storage.write() as tx:
        tx.intents.settle(intent.object_id, Purpose.DESTROY)
    with pytest.raises(ConcurrentChangeError), storage.write() as tx:
        tx.intents.settle(intent.object_id, Purpose.DESTROY)


def test_the_record_of_changes_has_no_gaps(storage):
    for name in ("acme", "other"):
        put(storage, main_key(org=OrganizationId(name)))
    event = AuditEvent(ACME, NOW, "steward", AuditAction.KEK_CREATED, new_id())
    for _ in range(2):
        with storage.write() as tx:
            tx.audit.append(event)
    with pytest.raises(KeyError), storage.write() as tx:
        tx.audit.append(event)
        raise KeyError
    with storage.write() as tx:
        tx.audit.append(event)
        tx.audit.append(replace(event, organization=OrganizationId("other")))
    assert events(storage) == [("acme", 1), ("acme", 2), ("acme", 3), ("other", 1)]


# Rotation.


def rotating(storage, count=3):
    """Return an old and a new main key, KEKs under the old one, and the rotation that is to move them."""
    new, old = main_key(), main_key(State.ROTATING)
    put(storage, new, old)
    rows = sorted((kek(old) for _ in range(count)), key=lambda row: row.id)
    rotation = Rotation(ACME, new_id(), old.id, new.id, RotationState.RUNNING, count, 0, 0, NOW, None, NOW, 0)
    with storage.write() as tx:
        for row in rows:
            tx.keks.add(row)
        tx.rotations.add(rotation)
    return old, new, rows, rotation


def rewrapped(row):
    return Rewrap(row, secrets.token_bytes(40), None)


def test_a_batch_moves_and_is_counted(storage):
    old, new, rows, rotation = rotating(storage)
    failure = Rewrap(rows[2], None, NOW + SECOND)
    with storage.claim_keks(ACME, old.id, NOW, 10) as batch:
        assert list(batch.keks) == rows
        assert batch.finish([rewrapped(rows[0]), rewrapped(rows[1]), failure], new.id, NOW) == 2
    with storage.read() as tx:
        moved = version_of(tx, ACME, rows[0].id)
        assert (moved.main_key, moved.rewrap_time, moved.key.binding) == (new.id, NOW, rows[0].key.binding)
        assert moved.key.wrapped != rows[0].key.wrapped
        assert version_of(tx, ACME, rows[2].id) == replace(rows[2], retry_time=NOW + SECOND)
        assert tx.rotations.find(ACME, rotation.id) == replace(rotation, done=2, failed=1, progress_time=NOW)
        assert tx.rotations.unfinished(ACME) == [replace(rotation, done=2, failed=1, progress_time=NOW)]
        assert tx.keks.count_by_main_key([ACME]) == {(ACME, new.id): 2, (ACME, old.id): 1}
        assert tx.keks.are_under(ACME, new.id)
        assert tx.keks.are_under(ACME, old.id)
        assert not tx.keks.are_under(ACME, new_id())
        assert not tx.keks.are_under(OrganizationId("other"), new.id)


def test_a_failed_kek_waits_for_its_retry_time(storage):
    old, new, rows, _ = rotating(storage, 1)
    with storage.claim_keks(ACME, old.id, NOW, 10) as batch:
        batch.finish([Rewrap(rows[0], None, NOW + SECOND)], new.id, NOW)
    with storage.claim_keks(ACME, old.id, NOW, 10) as batch:
        assert batch.keks == []
    with storage.claim_keks(ACME, old.id, NOW + SECOND, 10) as batch:
        assert len(batch.keks) == 1


def test_a_row_that_changed_meanwhile_is_left_alone(storage):
    old, new, rows, _ = rotating(storage, 2)
    stale = replace(rows[0], key=replace(rows[0].key, wrapped=secrets.token_bytes(40)))
    with storage.claim_keks(ACME, old.id, NOW, 10) as batch:
        assert batch.finish([rewrapped(stale), rewrapped(rows[1])], new.id, NOW) == 1
    with storage.read() as tx:
        assert version_of(tx, ACME, rows[0].id) == rows[0]


@pytest.mark.parametrize("state", [State.REVOKED, State.DELETED])
def test_nothing_moves_to_a_key_that_is_not_active(storage, state):
    old, new, rows, _ = rotating(storage)
    with storage.write() as tx:
        prior = State.REVOKED if state is State.DELETED else None
        tx.main_keys.update(replace(new, state=state, prior_state=prior, revoke_time=NOW, purge_time=NOW))
    with storage.claim_keks(ACME, old.id, NOW, 10) as batch:
        assert batch.finish([rewrapped(row) for row in rows], new.id, NOW) == 0
    with storage.read() as tx:
        assert tx.keks.page(ACME, None, 10) == rows


def test_nothing_moves_to_a_key_that_is_not_in_charge(storage):
    old, _, rows, _ = rotating(storage)
    with storage.claim_keks(ACME, old.id, NOW, 10) as batch:
        assert batch.finish([rewrapped(row) for row in rows], new_id(), NOW) == 0


def test_rotations_that_have_not_ended_are_counted(storage):
    with storage.read() as tx:
        assert tx.rotations.count_unfinished() == RotationCounts(running=0, paused=0, keks_left=0, keks_failed=0)
    _, _, rows, rotation = rotating(storage)
    with storage.write() as tx:
        tx.rotations.update(replace(rotation, done=1, failed=1))
    with storage.read() as tx:
        left = len(rows) - 1
        assert tx.rotations.count_unfinished() == RotationCounts(running=1, paused=0, keks_left=left, keks_failed=1)
    with storage.write() as tx:
        tx.rotations.update(replace(rotation, done=1, failed=1, state=RotationState.PAUSED))
    with storage.read() as tx:
        assert tx.rotations.count_unfinished() == RotationCounts(running=0, paused=1, keks_left=left, keks_failed=1)
    with storage.write() as tx:
        tx.rotations.update(replace(rotation, state=RotationState.DONE, end_time=NOW))
    with storage.read() as tx:
        assert tx.rotations.count_unfinished() == RotationCounts(running=0, paused=0, keks_left=0, keks_failed=0)


def test_keks_and_rotations_have_pages(storage):
    _, _, rows, rotation = rotating(storage)
    with storage.read() as tx:
        assert tx.keks.page(ACME, None, 2) == rows[:2]
        assert tx.keks.page(ACME, rows[1].id, 2) == rows[2:]
        assert tx.rotations.page(ACME, None, 2) == [rotation]
        assert tx.rotations.page(ACME, rotation.id, 2) == []


# Two at once.


def test_the_lock_of_an_organisation_is_held_until_the_commit(storage):
    put(storage, main_key())
    order = []
    locked, done = threading.Event(), threading.Event()

    def second():
        locked.wait(10)
        with storage.write() as tx:
            assert tx.organizations.lock(ACME).epoch == 2
            order.append("second")
        done.set()

    thread = threading.Thread(target=second)
    thread.start()
    with storage.write() as tx:
        first = tx.organizations.lock(ACME)
        locked.set()
        assert not done.wait(0.3)
        tx.organizations.update(replace(first, epoch=2))
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]


def test_a_reader_sees_one_state_throughout(storage):
    put(storage, main_key())
    with storage.read() as reader:
        assert reader.organizations.find(ACME).epoch == 1
        with storage.write() as writer:
            writer.organizations.update(replace(writer.organizations.lock(ACME), epoch=2))
        assert reader.organizations.find(ACME).epoch == 1


def test_the_newest_migration_is_the_one_that_the_program_needs():
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.REVISION]


def test_the_versions_of_a_kek_are_one_kek(storage):
    key = main_key()
    put(storage, key)
    first, other = kek(key), kek(key)
    second, third = (replace(kek(key), kek=first.id, version=version) for version in (2, 3))
    with storage.write() as tx:
        for row in (first, third, second, other):
            tx.keks.add(row)
    with storage.read() as tx:
        assert tx.keks.newest(ACME, first.id) == third
        assert tx.keks.newest(ACME, third.id) is None
        assert {row.id for row in tx.keks.page(ACME, None, 10)} == {third.id, other.id}
        names = sorted((first.id, other.id))
        assert [row.kek for row in tx.keks.page(ACME, names[0], 10)] == names[1:]
        assert tx.keks.find_many(ACME, frozenset({first.id, second.id})) == {first.id: first, second.id: second}
    with pytest.raises(ConcurrentChangeError), storage.write() as tx:
        tx.keks.add(replace(kek(key), kek=first.id, version=3))


def test_a_database_of_the_first_schema_keeps_its_keks(database_url):
    with migrated_to(database_url, "0001") as connection:
        connection.execute(sa.text("INSERT INTO organizations VALUES ('acme', 'Acme', 'common', 1, 0, false)"))
        connection.execute(
            sa.text(
                "INSERT INTO main_keys (organization, id, object_id, origin, state, fingerprint, create_time,"
                " state_time, revoke_reason, is_reminded)"
                " VALUES ('acme', 'common', :id, 'COMMON', 'ACTIVE', :print, 0, 0, '', false)"
            ),
            {"id": "a" * 32, "print": bytes(32)},
        )
        connection.execute(
            sa.text(
                "INSERT INTO keks (organization, id, main_key, algorithm, wrapped, binding, reserved_encryptions,"
                " create_time) VALUES ('acme', :id, 'common', 'AES-KW', :wrapped, :binding, 7, 0)"
            ),
            {"id": "b" * 32, "wrapped": bytes(40), "binding": bytes(28)},
        )
    migrate(database_url)
    with SqlStorage.open(database_url) as storage, storage.read() as tx:
        row = tx.keks.newest(ACME, "b" * 32)
        assert (row.id, row.version, row.reserved_encryptions) == ("b" * 32, 1, 7)
