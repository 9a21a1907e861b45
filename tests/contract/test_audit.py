"""The contract of the audit log in storage: the same on every database."""

import secrets
import threading
from dataclasses import fields, replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from server.domain.audit import AuditAction, AuditEvent, AuditFilter, RecordedEvent
from server.domain.checkpoints import AuditKey, Checkpoint, SignatureAlgorithm, TreeHead
from server.domain.errors import ConcurrentChangeError
from server.domain.ids import OrganizationId
from server.domain.intents import Intent, ObjectRole, Purpose
from server.domain.receipts import Receipt
from server.observability.current_call import begin_call
from server.storage import SqlStorage, audit, migrate
from tests.support.factories import ACME, NOW, main_key, new_id, put
from tests.support.migrations import migrated_to

SECOND = timedelta(seconds=1)
OTHER = OrganizationId("other")
USED = AuditEvent(ACME, NOW, "spiffe://test/files", AuditAction.CONTENT_KEYS_USED, new_id(), count=7, since=NOW)


@pytest.fixture
def acme(storage):
    """A storage with two organisations, of which one has a log of one event."""
    put(storage, main_key())
    put(storage, main_key(org=OTHER))
    with storage.write() as tx:
        tx.audit.append(AuditEvent(ACME, NOW, "spiffe://test/operator", AuditAction.ORGANIZATION_CREATED, None))
    return storage


def events(storage, organization=ACME):
    with storage.read() as tx:
        found = tx.audit.events(organization, 1, 1000)
        assert tx.audit.size(organization) == len(found)
        return found


WHOLE = AuditEvent(
    ACME,
    NOW,
    "spiffe://test/admin \u00e9\u4e16",
    AuditAction.MAIN_KEY_MOVED,
    new_id(),
    from_state="ACTIVE",
    to_state="REVOKED",
    main_key=new_id(),
    kek_count=2**40,
    operation="RevokeMainKey",
    reason="ORGANIZATION_LOCKED",
    due_time=NOW + SECOND,
    resource="organizations/acme/mainKeys/common",
    note="stolen laptop",
    wrapping_key=new_id(),
    count=3,
    since=NOW - SECOND,
    request_id="0b3f9a4e-7e1b-4a53-9c55-1f0f6a2f3a10",
    call_id="a-call",
)


def test_an_event_is_read_as_it_was_written(acme):
    assert all(getattr(WHOLE, field.name) is not None for field in fields(WHOLE))
    with acme.write() as tx:
        tx.audit.append(WHOLE)
    assert events(acme)[1] == RecordedEvent(2, WHOLE)


def test_what_a_call_changes_has_the_ids_of_the_call(acme):
    def call():
        begin_call([("x-request-id", "from-the-caller")]).request_id = "an-id"
        with acme.write() as tx:
            tx.audit.append(replace(USED, action=AuditAction.KEK_CREATED))

    thread = threading.Thread(target=call)  # It has a context of its own, as each call has.
    thread.start()
    thread.join()
    (told,) = events(acme)[1:]
    assert (told.event.call_id, told.event.request_id) == ("from-the-caller", "an-id")


def record(storage, *events):
    """Write events that were collected; return the organisations that were told to be kept."""
    by_organization = {}
    for event in events:
        by_organization.setdefault(event.organization, []).append(event)
    return list(storage.record(by_organization))


def test_what_was_counted_is_numbered_with_the_rest_and_strangers_logs_do_not_begin(acme):
    foreign = [replace(USED, organization=OrganizationId(name)) for name in ("nobody", "other")]
    assert record(acme, USED, *foreign, replace(USED, count=8)) == [ACME, "nobody", OTHER]
    with acme.write() as tx:
        tx.audit.append(AuditEvent(OTHER, NOW, "steward", AuditAction.ORGANIZATION_CREATED, None))
    record(acme, *foreign)
    assert [(it.sequence, it.event.count) for it in events(acme)] == [(1, None), (2, 7), (3, 8)]
    assert [(it.sequence, it.event.count) for it in events(acme, OTHER)] == [(1, None), (2, 7)]
    assert events(acme, OrganizationId("nobody")) == []


def test_everything_of_an_event_that_was_counted_is_kept(acme):
    record(acme, WHOLE, USED)
    assert [it.event for it in events(acme)[1:]] == [WHOLE, USED]


def test_writers_at_once_leave_no_gaps(acme):
    def write(count):
        for _ in range(count):
            record(acme, USED, USED)

    threads = [threading.Thread(target=write, args=(10,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [it.sequence for it in events(acme)] == list(range(1, 82))


def test_who_records_and_is_stopped_in_the_middle_holds_up_nobody(acme):
    # Between two organisations: on SQLite everything is kept by then.
    recording = acme.record({ACME: [USED], OTHER: [replace(USED, organization=OTHER)]})
    assert next(recording) == ACME
    with acme.write() as tx:
        assert tx.organizations.lock(ACME) is not None
        tx.audit.append(replace(USED, action=AuditAction.KEK_CREATED))
    assert next(recording) == OTHER
    assert len(events(acme)) == 3
    # Nor does a change of an organisation wait, as long as it writes nothing down itself.
    if acme._engine.dialect.name == "postgresql":
        with acme.write() as tx:
            assert tx.organizations.lock(ACME) is not None
            assert record(acme, USED) == [ACME]


def test_a_change_that_takes_long_holds_up_the_record_of_its_own_organisation_alone(acme):
    if acme._engine.dialect.name == "sqlite":
        return  # There is one writer at a time, whatever it writes.
    foreign = replace(USED, organization=OTHER)
    record(acme, foreign)
    with acme.write() as tx:
        tx.audit.append(AuditEvent(OTHER, NOW, "steward", AuditAction.ORGANIZATION_CREATED, None))
    with acme.write() as tx:
        tx.audit.append(replace(USED, action=AuditAction.KEK_CREATED))
        recording = acme.record({ACME: [USED], OTHER: [foreign]})
        assert next(recording) == OTHER
        with pytest.raises(ConcurrentChangeError):
            next(recording)
    assert len(events(acme)) == 2
    assert len(events(acme, OTHER)) == 2
    # The connection is as patient as before: the one who comes next waits.
    with acme.connected(writes=True) as connection:
        assert connection.execute(sa.text("SHOW lock_timeout")).scalar_one() == "30s"


@pytest.mark.parametrize("table", ["audit_events", "audit_nodes", "audit_checkpoints"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET organization = 'other'", "DELETE FROM {}"])
def test_what_was_written_down_is_neither_changed_nor_deleted(acme, table, statement):
    keep(acme, 1)
    with pytest.raises(ConcurrentChangeError), acme.connected(writes=True) as connection:
        connection.execute(sa.text(statement.format(table)))


def keep(storage, size, organization=ACME):
    checkpoint = Checkpoint(TreeHead(organization, size, secrets.token_bytes(32), NOW), bytes(32), b"signature")
    with storage.write() as tx:
        tx.audit.add_checkpoint(checkpoint)
        tx.audit.add_nodes(organization, 8, 0, [bytes(32)])
    return checkpoint


def test_the_newest_checkpoint_is_the_one_of_the_largest_size(acme):
    record(acme, *[USED] * 9)
    with acme.write() as tx:
        assert tx.audit.newest_checkpoint(ACME) is None
        assert tx.audit.behind(None, 10) == [ACME]
    keep(acme, 9)
    with acme.read() as tx:
        assert tx.audit.behind(None, 10) == [ACME]
    newest = keep(acme, 10)
    keep(acme, 3)
    with acme.read() as tx:
        assert tx.audit.newest_checkpoint(ACME) == newest
        assert tx.audit.newest_checkpoint(OTHER) is None
        assert tx.audit.behind(None, 10) == []
    record(acme, USED)
    with acme.write() as tx:
        tx.audit.append(AuditEvent(OTHER, NOW, "steward", AuditAction.ORGANIZATION_CREATED, None))
        assert tx.audit.behind(None, 10) == [ACME, OTHER]
        assert tx.audit.behind(None, 1) == [ACME]
        assert tx.audit.behind(ACME, 10) == [OTHER]
    with pytest.raises(ConcurrentChangeError):
        keep(acme, 10)


def test_nodes_are_kept_once_and_read_in_their_order(acme):
    hashes = [secrets.token_bytes(32) for _ in range(5)]
    with acme.write() as tx:
        tx.audit.add_nodes(ACME, 8, 0, hashes[:3])
        tx.audit.add_nodes(ACME, 16, 0, hashes[4:])
        tx.audit.add_nodes(ACME, 8, 2, [bytes(32), hashes[3]])
        tx.audit.add_nodes(ACME, 8, 4, [])
    with acme.read() as tx:
        assert tx.audit.nodes(ACME, 8, 0, 10) == hashes[:4]
        assert tx.audit.nodes(ACME, 8, 1, 2) == hashes[1:3]
        assert tx.audit.nodes(ACME, 16, 0, 10) == hashes[4:]
        assert tx.audit.nodes(OTHER, 8, 0, 10) == []
        assert [tx.audit.node_count(ACME, level) for level in (8, 16, 24)] == [4, 1, 0]


def search(storage, limit=10, before=None, **wanted):
    with storage.read() as tx:
        found, down_to = tx.audit.search(ACME, before, limit, AuditFilter(**wanted))
    return [it.sequence for it in found], down_to


def test_events_are_found_newest_first_by_time_action_and_actor(acme):
    later = replace(USED, action=AuditAction.KEK_CREATED, time=NOW + SECOND, actor="spiffe://test/other")
    record(acme, USED, later, USED)
    assert search(acme) == ([4, 3, 2, 1], 1)
    assert search(acme, limit=3) == ([4, 3, 2], 2)
    assert search(acme, before=2) == ([1], 1)
    assert search(acme, since=NOW + SECOND) == ([3], 1)
    assert search(acme, before=4, limit=1) == ([3], 3)
    assert search(acme, actor="spiffe://test/other") == ([3], 1)
    assert search(acme, actions=frozenset({AuditAction.CONTENT_KEYS_USED})) == ([4, 2], 1)
    assert search(acme, actions=frozenset()) == ([], 1)
    with acme.read() as tx:
        found, _ = tx.audit.search(ACME, None, 10, AuditFilter(before=NOW + SECOND))
        assert [it.sequence for it in found] == [4, 2, 1]
        assert tx.audit.search(OTHER, None, 10, AuditFilter()) == ([], 1)


def test_a_search_looks_through_a_bounded_number_of_events(acme, monkeypatch):
    monkeypatch.setattr(audit, "_LOOKED_THROUGH", 4)
    record(acme, *[USED] * 8)
    wanted = frozenset({AuditAction.ORGANIZATION_CREATED})
    assert search(acme, actions=wanted) == ([], 6)
    assert search(acme, before=6, actions=wanted) == ([], 2)
    assert search(acme, before=2, actions=wanted) == ([1], 1)


def test_there_is_one_audit_key_and_it_may_be_announced(storage):
    key = AuditKey(new_id(), SignatureAlgorithm.ECDSA_P256_SHA256, secrets.token_bytes(91), NOW)
    with storage.write() as tx:
        assert tx.audit.key() is None
        tx.intents.add(Intent(key.object_id, ObjectRole.AUDIT_KEY, Purpose.CREATE, NOW))
        tx.audit.set_key(key)
    with pytest.raises(ConcurrentChangeError), storage.write() as tx:
        tx.audit.set_key(replace(key, object_id=new_id()))
    with storage.read() as tx:
        assert tx.audit.key() == key
        assert tx.audit.are_known([key.object_id, new_id()]) == {key.object_id}


def test_a_log_of_an_older_schema_goes_on(database_url):
    with migrated_to(database_url, "0002") as connection:
        for name in ("acme", "empty"):
            connection.execute(
                sa.text("INSERT INTO organizations VALUES (:name, 'A', 'common', 1, 0, false)"), {"name": name}
            )
            connection.execute(
                sa.text(
                    "INSERT INTO main_keys (organization, id, object_id, origin, state, fingerprint, create_time,"
                    " state_time, revoke_reason, is_reminded)"
                    " VALUES (:name, 'common', :id, 'COMMON', 'ACTIVE', :print, 0, 0, '', false)"
                ),
                {"name": name, "id": "a" * 32, "print": bytes(32)},
            )
        for sequence in (1, 2):
            connection.execute(
                sa.text(
                    "INSERT INTO audit_events VALUES ('acme', :it, 0, 'steward', 'BYOK_ENABLED', NULL, NULL, NULL)"
                ),
                {"it": sequence},
            )
        intent = {"id": "b" * 32}
        connection.execute(sa.text("INSERT INTO intents VALUES (:id, 'MAIN_KEY', 'CREATE', 0)"), intent)
    migrate(database_url)
    with SqlStorage.open(database_url) as storage:
        record(storage, USED)
        with storage.write() as tx:
            tx.intents.settle("b" * 32, Purpose.CREATE)
        assert [it.sequence for it in events(storage)] == [1, 2, 3]
        assert events(storage)[0].event.action is AuditAction.BYOK_ENABLED


def test_a_receipt_is_signed_once_and_stays(acme):
    moved = replace(USED, action=AuditAction.MAIN_KEY_MOVED, to_state="REVOKED", from_state="ACTIVE")
    with acme.write() as tx:
        assert tx.audit.pending_receipts(None, 10) == []
        tx.audit.append(moved)
        tx.audit.append(replace(moved, to_state="RETIRED"))
        tx.audit.append(moved)
    receipt = Receipt(ACME, 2, b"{}", bytes(32), b"signature")
    with acme.write() as tx:
        assert tx.audit.pending_receipts(None, 10) == [(ACME, 2), (ACME, 4)]
        assert tx.audit.pending_receipts(None, 1) == [(ACME, 2)]
        assert tx.audit.pending_receipts((ACME, 2), 10) == [(ACME, 4)]
        assert tx.audit.pending_receipts((ACME, 3), 10) == [(ACME, 4)]
        assert tx.audit.pending_receipts(("aaa", 9), 1) == [(ACME, 2)]
        assert tx.audit.pending_receipts(("zzz", 1), 10) == []
        assert tx.audit.receipt(ACME, 2) is None
        tx.audit.keep_receipt(receipt)
        tx.audit.keep_receipt(replace(receipt, signature=b"another"))
        tx.audit.keep_receipt(replace(receipt, sequence=3))
    with acme.read() as tx:
        assert tx.audit.receipt(ACME, 2) == receipt
        assert tx.audit.receipt(ACME, 3) is None
        assert tx.audit.pending_receipts(None, 10) == [(ACME, 4)]
    for statement in ("UPDATE audit_receipts SET signature = NULL WHERE sequence = 2", "DELETE FROM audit_receipts"):
        with pytest.raises(ConcurrentChangeError), acme.connected(writes=True) as connection:
            connection.execute(sa.text(statement))
