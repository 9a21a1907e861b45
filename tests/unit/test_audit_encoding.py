"""The bytes of events that are hashed: what was written once is the same for ever."""

import json
from dataclasses import fields, replace
from datetime import timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from server.domain.audit import _COLLECTIONS, AuditAction, AuditEvent, RecordedEvent
from server.domain.audit_encoding import encoded, moment
from server.domain.checkpoints import TreeHead
from tests.support.audit_samples import FULL, KEY
from tests.support.factories import ACME, NOW

BARE = AuditEvent(ACME, NOW.replace(microsecond=0), "steward", AuditAction.ORGANIZATION_CREATED, None)


def test_version_1_is_what_it_was_when_the_first_events_were_hashed():
    # These may never change: they are in the logs of customers.
    assert encoded(RecordedEvent(7, FULL)).decode() == (
        '{"action":"MAIN_KEY_MOVED","actor":"spiffe://test/\\"é\\"\\n\x7f\u2028","call_id":"0123-1","count":3,'
        '"due":"2026-01-02T04:04:05.678901Z","from":"ACTIVE","kek_count":12,"main_key":"organizations/acme/mainKeys/common","note":"stolen","operation":"RevokeMainKey",'
        '"organization":"acme","reason":"NONE","request_id":"0b3f9a4e-7e1b-4a53-9c55-1f0f6a2f3a10","sequence":7,'
        '"since":"2026-01-02T03:04:05.478901Z","subject":"organizations/acme/mainKeys/' + KEY + '",'
        '"time":"2026-01-02T03:04:05.678901Z","to":"REVOKED","version":1,'
        '"wrapping_key":"organizations/acme/wrappingKeys/' + "cd" * 16 + '"}'
    )
    assert encoded(RecordedEvent(1, BARE)).decode() == (
        '{"action":"ORGANIZATION_CREATED","actor":"steward","organization":"acme","sequence":1,'
        '"time":"2026-01-02T03:04:05.000000Z","version":1}'
    )
    assert TreeHead(ACME, 7, bytes(32), NOW).signed_bytes.decode() == (
        '{"organization":"acme","root":"' + "00" * 32 + '","size":7,"time":"2026-01-02T03:04:05.678901Z",'
        '"type":"keystead.audit.checkpoint.v1"}'
    )


OTHERS = {"time": NOW + timedelta(1), "since": NOW, "due_time": NOW, "count": 4, "kek_count": 13}
CHANGED = {
    field.name: replace(FULL, **{field.name: value})
    for field in fields(FULL)
    if (value := OTHERS.get(field.name, "other")) and field.name not in {"action", "resource"}
} | {
    "action": replace(FULL, action=AuditAction.MAIN_KEY_VERIFIED),
    "resource": replace(FULL, action=AuditAction.REFUSED, subject=None, resource="organizations/acme/keks"),
}


def test_every_field_is_hashed():
    bare = encoded(RecordedEvent(7, FULL))
    assert set(CHANGED) == {field.name for field in fields(FULL)}
    found = {encoded(RecordedEvent(7, event)) for event in CHANGED.values()}
    assert bare not in found
    assert len(found) == len(CHANGED)
    assert encoded(RecordedEvent(8, FULL)) != bare


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_it_is_one_line_of_json_in_utf8_that_tells_the_same(text):
    line = encoded(RecordedEvent(1, replace(FULL, actor=text)))
    assert b"\n" not in line
    assert json.loads(line)["actor"] == text


def test_every_action_with_a_subject_says_where_it_is_to_be_found():
    without = {AuditAction.ORGANIZATION_CREATED, AuditAction.BYOK_ENABLED, AuditAction.BYOK_DISABLED}
    without.add(AuditAction.APPROVAL_RULE_CHANGED)
    assert set(AuditAction) - set(_COLLECTIONS) == without | {AuditAction.REFUSED, AuditAction.RECORDS_LOST}


def test_a_moment_is_told_in_utc():
    assert moment(NOW.astimezone(timezone(timedelta(hours=2)))) == moment(NOW) == "2026-01-02T03:04:05.678901Z"
