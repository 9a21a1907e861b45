"""The first schema: organisations, keys, rotations, intents and the record of changes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.String(63)
OBJECT = sa.String(32)
WORD = sa.String(32)
TIME = sa.BigInteger
"""Microseconds since 1970 UTC."""

ORGANIZATION_STATES = ("ACTIVE", "REVOKED")
STATES = ("PENDING", "ACTIVE", "ROTATING", "RETIRED", "REVOKED", "DELETED", "REMOVED")
KEK_STATES = ("ACTIVE", "ROTATING", "REVOKED", "DELETED")
"""The states in which a main key may have KEKs under it; REMOVED keeps those of a deletion."""


def _among(column: str, words: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(word) for word in words)})"


def upgrade() -> None:
    """Make all tables, and what must hold between their rows."""
    _organizations()
    _main_keys()
    _wrapping_keys()
    _keks()
    _rotations()
    _records()
    _guards()


def _organizations() -> None:
    in_charge = sa.ForeignKeyConstraint(
        ["id", "main_key"],
        ["main_keys.organization", "main_keys.id"],
        deferrable=True,
        initially="DEFERRED",
    )
    op.create_table(
        "organizations",
        sa.Column("id", ID, primary_key=True),
        sa.Column("display_name", sa.String(200), nullable=False),
        sa.Column("main_key", OBJECT, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("byok_enabled", sa.Boolean, nullable=False),
        sa.CheckConstraint("epoch >= 1"),
        # SQLite knows no constraints added later; PostgreSQL none on tables to come.
        *([in_charge] if op.get_bind().dialect.name == "sqlite" else []),
    )


def _main_keys() -> None:
    op.create_table(
        "main_keys",
        sa.Column("organization", ID, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("id", OBJECT, primary_key=True),
        sa.Column("object_id", OBJECT, nullable=False),
        sa.Column("origin", WORD, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("prior_state", WORD),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("state_time", TIME, nullable=False),
        sa.Column("purge_time", TIME),
        sa.Column("activate_time", TIME),
        sa.Column("revoke_time", TIME),
        sa.Column("revoke_reason", sa.String(200), nullable=False),
        sa.Column("reactivate_time", TIME),
        sa.Column("verify_time", TIME),
        sa.Column("missing_time", TIME),
        sa.Column("is_reminded", sa.Boolean, nullable=False),
        sa.CheckConstraint("length(fingerprint) = 32"),
        sa.CheckConstraint(_among("origin", ("COMMON", "UPLOADED"))),
        sa.CheckConstraint(_among("state", STATES)),
        sa.CheckConstraint("(state = 'DELETED') = (prior_state IS NOT NULL)"),
        sa.CheckConstraint("prior_state IS NULL OR " + _among("prior_state", ("PENDING", "REVOKED"))),
        sa.CheckConstraint("state <> 'REVOKED' OR revoke_time IS NOT NULL"),
        sa.CheckConstraint("state = 'REVOKED' OR reactivate_time IS NULL"),
        sa.CheckConstraint("state NOT IN ('DELETED', 'REMOVED') OR purge_time IS NOT NULL"),
        sa.CheckConstraint("origin <> 'COMMON' OR " + _among("state", ("ACTIVE", "ROTATING", "RETIRED"))),
    )
    if op.get_bind().dialect.name != "sqlite":
        columns = ["organization", "id"]
        op.create_foreign_key(
            "in_charge",
            "organizations",
            "main_keys",
            ["id", "main_key"],
            columns,
            deferrable=True,
            initially="DEFERRED",
        )
    op.create_index("one_fingerprint", "main_keys", ["organization", "fingerprint"], unique=True)
    op.create_index("by_state", "main_keys", ["state", "state_time"])
    op.create_index("by_object", "main_keys", ["object_id"])
    for state in ("PENDING", "ACTIVE", "REVOKED"):
        _one_of_a_kind(f"one_{state.lower()}", f"state = '{state}'")
    _one_of_a_kind("one_active_or_revoked", _among("state", ORGANIZATION_STATES))
    op.create_index(
        "one_deleted",
        "main_keys",
        ["organization", "prior_state"],
        unique=True,
        sqlite_where=sa.text("state = 'DELETED'"),
        postgresql_where=sa.text("state = 'DELETED'"),
    )
    op.create_table(
        "common_key",
        sa.Column("singleton", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("object_id", OBJECT, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.CheckConstraint("singleton = 1"),
        sa.CheckConstraint("length(fingerprint) = 32"),
    )


def _one_of_a_kind(name: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "main_keys", ["organization"], unique=True, sqlite_where=where, postgresql_where=where)


def _wrapping_keys() -> None:
    op.create_table(
        "wrapping_keys",
        sa.Column("organization", ID, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("id", OBJECT, primary_key=True),
        sa.Column("algorithm", WORD, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("failed_uploads", sa.Integer, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("expire_time", TIME, nullable=False),
        sa.CheckConstraint(_among("state", ("USABLE", "USED", "SPENT", "EXPIRED"))),
        sa.CheckConstraint("failed_uploads BETWEEN 0 AND 5"),
    )
    op.create_index("wrapping_keys_by_state", "wrapping_keys", ["state", "expire_time"])


def _keks() -> None:
    op.create_table(
        "keks",
        sa.Column("organization", ID, primary_key=True),
        sa.Column("id", OBJECT, primary_key=True),
        sa.Column("main_key", OBJECT, nullable=False),
        sa.Column("algorithm", WORD, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("binding", sa.LargeBinary, nullable=False),
        sa.Column("reserved_encryptions", sa.BigInteger, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("rewrap_time", TIME),
        sa.Column("retry_time", TIME),
        sa.CheckConstraint("length(wrapped) = 40"),
        sa.CheckConstraint("length(binding) = 28"),
        sa.CheckConstraint("reserved_encryptions BETWEEN 0 AND 4294967296"),
        sa.ForeignKeyConstraint(["organization", "main_key"], ["main_keys.organization", "main_keys.id"]),
    )
    columns = ["organization", "main_key", "id"]
    op.create_index("keks_by_main_key", "keks", columns)
    # Counted in every batch of a rotation, and few or none.
    failed = sa.text("retry_time IS NOT NULL")
    op.create_index("failed_keks", "keks", columns, sqlite_where=failed, postgresql_where=failed)


def _rotations() -> None:
    op.create_table(
        "rotations",
        sa.Column("organization", ID, primary_key=True),
        sa.Column("id", OBJECT, primary_key=True),
        sa.Column("from_main_key", OBJECT, nullable=False),
        sa.Column("to_main_key", OBJECT, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("start_time", TIME, nullable=False),
        sa.Column("end_time", TIME),
        sa.Column("resume_time", TIME, nullable=False),
        sa.Column("resume_done", sa.Integer, nullable=False),
        sa.Column("progress_time", TIME),
        sa.CheckConstraint(_among("state", ("RUNNING", "PAUSED", "DONE", "CANCELLED"))),
        sa.CheckConstraint("(state IN ('DONE', 'CANCELLED')) = (end_time IS NOT NULL)"),
        sa.CheckConstraint("total >= 0 AND done >= 0 AND failed >= 0"),
        sa.ForeignKeyConstraint(["organization", "from_main_key"], ["main_keys.organization", "main_keys.id"]),
        sa.ForeignKeyConstraint(["organization", "to_main_key"], ["main_keys.organization", "main_keys.id"]),
    )
    where = sa.text("end_time IS NULL")
    columns = ["organization", "from_main_key"]
    op.create_index("one_unfinished", "rotations", columns, unique=True, sqlite_where=where, postgresql_where=where)


def _records() -> None:
    op.create_table(
        "intents",
        sa.Column("object_id", OBJECT, primary_key=True),
        sa.Column("role", WORD, nullable=False),
        sa.Column("purpose", WORD, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.CheckConstraint(_among("role", ("WRAPPING_KEY", "MAIN_KEY"))),
        sa.CheckConstraint(_among("purpose", ("CREATE", "DESTROY"))),
    )
    op.create_index("intents_by_time", "intents", ["purpose", "create_time"])
    op.create_table(
        "audit_events",
        sa.Column("organization", ID, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time", TIME, nullable=False),
        sa.Column("actor", sa.String(2048), nullable=False),
        sa.Column("action", WORD, nullable=False),
        sa.Column("subject", OBJECT),
        sa.Column("from_state", WORD),
        sa.Column("to_state", WORD),
        sa.CheckConstraint("sequence >= 1"),
    )
    op.create_table(
        "change_requests",
        sa.Column("caller", sa.String(2048), primary_key=True),
        sa.Column("request_id", sa.String(36), primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.CheckConstraint("length(digest) = 32"),
    )
    op.create_index("change_requests_by_time", "change_requests", ["create_time"])
    op.create_table(
        "content_key_uses",
        sa.Column("organization", ID, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("hour", TIME, primary_key=True),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("last_use_time", TIME, nullable=False),
    )
    op.create_index("content_key_uses_by_time", "content_key_uses", ["hour"])


# What no single row can say: a main key that KEKs need is not retired, and a KEK comes only under a key that has not
# been retired.

KEK_UNDER_BAD_KEY = """
    SELECT 1 FROM main_keys k WHERE k.organization = NEW.organization AND k.id = NEW.main_key
    AND NOT
""" + _among("k.state", KEK_STATES)
KEY_STILL_NEEDED = """
    SELECT 1 FROM keks WHERE keks.organization = NEW.organization AND keks.main_key = NEW.id
"""
RETIRING = """
    (NEW.state = 'RETIRED' OR (NEW.state = 'REMOVED' AND OLD.state <> 'DELETED'))
"""


def _guards() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _sqlite_guards()
    else:
        _postgres_guards()


def _sqlite_guards() -> None:
    op.execute(f"""
        CREATE TRIGGER main_key_still_needed BEFORE UPDATE OF state ON main_keys
        WHEN {RETIRING} AND EXISTS ({KEY_STILL_NEEDED})
        BEGIN SELECT RAISE(ABORT, 'main_key_still_needed'); END
    """)
    for event, name in (("INSERT", "added"), ("UPDATE OF main_key", "moved")):
        op.execute(f"""
            CREATE TRIGGER kek_{name}_under_bad_key BEFORE {event} ON keks WHEN EXISTS ({KEK_UNDER_BAD_KEY})
            BEGIN SELECT RAISE(ABORT, 'kek_under_bad_key'); END
        """)


def _postgres_guards() -> None:
    op.execute(f"""
        CREATE FUNCTION refuse_main_key_still_needed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF {RETIRING} AND EXISTS ({KEY_STILL_NEEDED}) THEN
                RAISE EXCEPTION 'main_key_still_needed' USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER main_key_still_needed BEFORE UPDATE OF state ON main_keys
        FOR EACH ROW EXECUTE FUNCTION refuse_main_key_still_needed()
    """)
    op.execute(f"""
        CREATE FUNCTION refuse_kek_under_bad_key() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- The key's row is held, so that it is not retired while this KEK is on its way.
            PERFORM 1 FROM main_keys k WHERE k.organization = NEW.organization AND k.id = NEW.main_key FOR SHARE;
            IF EXISTS ({KEK_UNDER_BAD_KEY}) THEN
                RAISE EXCEPTION 'kek_under_bad_key' USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER kek_under_bad_key BEFORE INSERT OR UPDATE OF main_key ON keks
        FOR EACH ROW EXECUTE FUNCTION refuse_kek_under_bad_key()
    """)
