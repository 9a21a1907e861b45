"""The contract of storage for how things stand by the audit log: the same on every database."""

import re
from dataclasses import replace

import sqlalchemy as sa

from server.domain.audit import AuditAction, AuditEvent
from server.domain.ids import OrganizationId
from server.domain.main_keys import State
from server.domain.standing import STANDING, is_main_key_recorded
from server.storage import SqlStorage, migrate
from server.storage.tables import TELLS_STANDING
from tests.support.factories import ACME, NOW, main_key, new_id, put
from tests.support.migrations import migrated_to


def test_what_stands_by_an_older_schema_is_recorded_by_the_new_one(database_url):
    columns = (
        "organization, id, object_id, origin, state, prior_state, fingerprint, create_time, state_time, purge_time"
    )
    with migrated_to(database_url, "0005") as connection:
        connection.execute(sa.text("INSERT INTO organizations VALUES ('acme', 'A', 'common', 1, 0, false)"))
        connection.execute(sa.text("INSERT INTO audit_logs VALUES ('acme', 1)"))
        for place, (key, origin, state, prior, purge) in enumerate(
            [
                ("common", "COMMON", "ACTIVE", None, None),
                ("a" * 32, "UPLOADED", "RETIRED", None, 10**6),
                ("b" * 32, "UPLOADED", "DELETED", "PENDING", 10**6),
                ("c" * 32, "UPLOADED", "REMOVED", None, 10**6),
            ]
        ):
            connection.execute(
                sa.text(
                    f"INSERT INTO main_keys ({columns}, revoke_reason, is_reminded)"  # noqa: S608 - our own columns
                    " VALUES ('acme', :key, :key, :origin, :state, :prior, :print, 0, 0, :purge, '', false)"
                ),
                {
                    "key": key,
                    "origin": origin,
                    "state": state,
                    "prior": prior,
                    "print": bytes([place] * 32),
                    "purge": purge,
                },
            )
    migrate(database_url)
    with SqlStorage.open(database_url) as storage, storage.read() as tx:
        keys = {key.state: key for key in tx.main_keys.walk(None, 10)}
        assert len(keys) == 4
        for state in (State.ACTIVE, State.RETIRED, State.DELETED):
            assert is_main_key_recorded(keys[state], tx.audit.standing(ACME, keys[state].id))
        assert tx.audit.standing(ACME, keys[State.REMOVED].id) is None
        assert tx.audit.size(ACME) == 3


def test_the_last_event_that_tells_how_something_stands_is_found(storage):
    put(storage, main_key())
    key = new_id()
    moved = AuditEvent(ACME, NOW, "steward", AuditAction.MAIN_KEY_MOVED, key, to_state="ACTIVE")
    with storage.write() as tx:
        assert tx.audit.standing(ACME, key) is None
        for event in (moved, replace(moved, to_state="REVOKED"), replace(moved, action=AuditAction.MAIN_KEY_MISSING)):
            tx.audit.append(event)
        tx.audit.append(replace(moved, action=AuditAction.APPROVAL_RULE_CHANGED, subject=None, to_state="OFF"))
        tx.audit.append(replace(moved, action=AuditAction.BYOK_ENABLED, subject=None))
        assert tx.audit.standing(ACME, key).to_state == "REVOKED"
        assert tx.audit.standing(ACME, None).to_state == "OFF"
        assert tx.audit.standing(OrganizationId("other"), key) is None


def test_the_index_of_what_stands_is_for_the_events_that_tell_it():
    assert set(re.findall("'([A-Z_]+)'", str(TELLS_STANDING))) == {str(it) for it in STANDING}
