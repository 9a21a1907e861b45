"""The tables, as the statements need them. What holds between rows is in migrations/, in the database itself."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

import sqlalchemy as sa
from typing_extensions import override

from server.domain.approvals import Act
from server.domain.audit import AuditAction
from server.domain.checkpoints import SignatureAlgorithm
from server.domain.intents import ObjectRole, Purpose
from server.domain.main_keys import Origin, State
from server.domain.rotations import RotationState
from server.domain.wrapping_keys import Algorithm, WrappingKeyState

E = TypeVar("E", bound=StrEnum)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware datetime in UTC, kept as microseconds since 1970: the same on every database, and it sorts."""

    impl = sa.BigInteger
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    @override
    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else _EPOCH + value * _MICROSECOND


class Word(sa.types.TypeDecorator[E]):
    """A member of an enumeration, kept as its word."""

    impl = sa.String
    cache_ok = True

    def __init__(self, words: type[E]) -> None:
        super().__init__()
        self.words = words

    @override
    def process_bind_param(self, value: E | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else str(value)

    @override
    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> E | None:
        return None if value is None else self.words(value)


organizations = sa.table(
    "organizations",
    sa.column("id", sa.String),
    sa.column("display_name", sa.String),
    sa.column("main_key", sa.String),
    sa.column("epoch", sa.BigInteger),
    sa.column("create_time", Moment),
    sa.column("byok_enabled", sa.Boolean),
)

main_keys = sa.table(
    "main_keys",
    sa.column("organization", sa.String),
    sa.column("id", sa.String),
    sa.column("object_id", sa.String),
    sa.column("origin", Word(Origin)),
    sa.column("state", Word(State)),
    sa.column("prior_state", Word(State)),
    sa.column("fingerprint", sa.LargeBinary),
    sa.column("create_time", Moment),
    sa.column("state_time", Moment),
    sa.column("purge_time", Moment),
    sa.column("activate_time", Moment),
    sa.column("revoke_time", Moment),
    sa.column("revoke_reason", sa.String),
    sa.column("reactivate_time", Moment),
    sa.column("verify_time", Moment),
    sa.column("missing_time", Moment),
    sa.column("is_reminded", sa.Boolean),
)

common_key = sa.table(
    "common_key",
    sa.column("singleton", sa.Integer),
    sa.column("object_id", sa.String),
    sa.column("fingerprint", sa.LargeBinary),
    sa.column("create_time", Moment),
)

wrapping_keys = sa.table(
    "wrapping_keys",
    sa.column("organization", sa.String),
    sa.column("id", sa.String),
    sa.column("algorithm", Word(Algorithm)),
    sa.column("public_key", sa.LargeBinary),
    sa.column("state", Word(WrappingKeyState)),
    sa.column("failed_uploads", sa.Integer),
    sa.column("create_time", Moment),
    sa.column("expire_time", Moment),
)

keks = sa.table(
    "keks",
    sa.column("organization", sa.String),
    sa.column("id", sa.String),
    sa.column("kek", sa.String),
    sa.column("version", sa.Integer),
    sa.column("main_key", sa.String),
    sa.column("algorithm", sa.String),
    sa.column("wrapped", sa.LargeBinary),
    sa.column("binding", sa.LargeBinary),
    sa.column("reserved_encryptions", sa.BigInteger),
    sa.column("create_time", Moment),
    sa.column("rewrap_time", Moment),
    sa.column("retry_time", Moment),
)

rotations = sa.table(
    "rotations",
    sa.column("organization", sa.String),
    sa.column("id", sa.String),
    sa.column("from_main_key", sa.String),
    sa.column("to_main_key", sa.String),
    sa.column("state", Word(RotationState)),
    sa.column("total", sa.Integer),
    sa.column("done", sa.Integer),
    sa.column("failed", sa.Integer),
    sa.column("start_time", Moment),
    sa.column("end_time", Moment),
    sa.column("resume_time", Moment),
    sa.column("resume_done", sa.Integer),
    sa.column("progress_time", Moment),
)

intents = sa.table(
    "intents",
    sa.column("object_id", sa.String),
    sa.column("role", Word(ObjectRole)),
    sa.column("purpose", Word(Purpose)),
    sa.column("create_time", Moment),
)

audit_events = sa.table(
    "audit_events",
    sa.column("organization", sa.String),
    sa.column("sequence", sa.BigInteger),
    sa.column("time", Moment),
    sa.column("actor", sa.String),
    sa.column("action", Word(AuditAction)),
    sa.column("subject", sa.String),
    sa.column("from_state", sa.String),
    sa.column("to_state", sa.String),
    sa.column("main_key", sa.String),
    sa.column("wrapping_key", sa.String),
    sa.column("kek_count", sa.BigInteger),
    sa.column("operation", sa.String),
    sa.column("reason", sa.String),
    sa.column("due_time", Moment),
    sa.column("resource", sa.String),
    sa.column("note", sa.String),
    sa.column("count", sa.BigInteger),
    sa.column("since", Moment),
    sa.column("request_id", sa.String),
    sa.column("call_id", sa.String),
)

TELLS_STANDING = sa.text(
    "action IN ('MAIN_KEY_IMPORTED', 'MAIN_KEY_MOVED', 'APPROVAL_RULE_CHANGED', 'CHANGE_APPROVED', 'APPROVAL_USED', "
    "'APPROVAL_WITHDRAWN')"
)
"""Whether an event is one of `domain.standing`, word for word as in the index: SQLite uses it for no other words."""

audit_logs = sa.table(
    "audit_logs",
    sa.column("organization", sa.String),
    sa.column("size", sa.BigInteger),
)

audit_nodes = sa.table(
    "audit_nodes",
    sa.column("organization", sa.String),
    sa.column("level", sa.Integer),
    sa.column("place", sa.BigInteger),
    sa.column("hash", sa.LargeBinary),
)

audit_checkpoints = sa.table(
    "audit_checkpoints",
    sa.column("organization", sa.String),
    sa.column("size", sa.BigInteger),
    sa.column("root", sa.LargeBinary),
    sa.column("time", Moment),
    sa.column("key_fingerprint", sa.LargeBinary),
    sa.column("signature", sa.LargeBinary),
)

audit_receipts = sa.table(
    "audit_receipts",
    sa.column("organization", sa.String),
    sa.column("sequence", sa.BigInteger),
    sa.column("statement", sa.LargeBinary),
    sa.column("key_fingerprint", sa.LargeBinary),
    sa.column("signature", sa.LargeBinary),
)

audit_key = sa.table(
    "audit_key",
    sa.column("singleton", sa.Integer),
    sa.column("object_id", sa.String),
    sa.column("algorithm", Word(SignatureAlgorithm)),
    sa.column("public_key", sa.LargeBinary),
    sa.column("create_time", Moment),
)

change_requests = sa.table(
    "change_requests",
    sa.column("caller", sa.String),
    sa.column("request_id", sa.String),
    sa.column("digest", sa.LargeBinary),
    sa.column("answer", sa.LargeBinary),
    sa.column("create_time", Moment),
)

content_key_uses = sa.table(
    "content_key_uses",
    sa.column("organization", sa.String),
    sa.column("hour", Moment),
    sa.column("calls", sa.BigInteger),
    sa.column("last_use_time", Moment),
)

approval_rules = sa.table(
    "approval_rules",
    sa.column("organization", sa.String),
    sa.column("required_approvals", sa.Integer),
    sa.column("revoke_alone", sa.Boolean),
    sa.column("change_time", Moment),
)

approvals = sa.table(
    "approvals",
    sa.column("organization", sa.String),
    sa.column("id", sa.String),
    sa.column("act", Word(Act)),
    sa.column("target", sa.String),
    sa.column("etag", sa.String),
    sa.column("new_rule", sa.String),
    sa.column("approver", sa.String),
    sa.column("hand", sa.String),
    sa.column("create_time", Moment),
    sa.column("expire_time", Moment),
)
