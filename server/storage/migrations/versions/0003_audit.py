"""The audit log: refusals and the use of content keys beside changes, their Merkle tree, and signed checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.String(63)
OBJECT = sa.String(32)
WORD = sa.String(32)
TIME = sa.BigInteger
"""Microseconds since 1970 UTC."""

MORE = (
    ("main_key", OBJECT),
    ("kek_count", sa.BigInteger),
    ("operation", WORD),
    ("reason", WORD),
    ("resource", sa.String(200)),
    ("note", sa.String(200)),
    ("count", sa.BigInteger),
    ("since", TIME),
    ("request_id", sa.String(36)),
    ("call_id", sa.String(64)),
)
"""What is told of an event since this schema; it is NULL in older ones."""


def upgrade() -> None:
    """Make the log what it is now; what was recorded before stays as it was, and is signed from now on."""
    for name, kind in MORE:
        op.add_column("audit_events", sa.Column(name, kind))
    op.create_table(
        "audit_logs",
        sa.Column("organization", ID, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO audit_logs SELECT organization, MAX(sequence) FROM audit_events GROUP BY organization")
    op.create_table(
        "audit_nodes",
        sa.Column("organization", ID, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("length(hash) = 32"),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("organization", ID, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.Column("key_fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("length(root) = 32 AND length(key_fingerprint) = 32"),
    )
    op.create_table(
        "audit_key",
        sa.Column("singleton", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("object_id", OBJECT, nullable=False),
        sa.Column("algorithm", WORD, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.CheckConstraint("singleton = 1"),
    )
    _intents()
    _guards()


def _intents() -> None:
    """Let an audit key be announced, too: SQLite changes no constraint, so the table is made anew."""
    op.rename_table("intents", "older_intents")
    op.drop_index("intents_by_time")
    op.create_table(
        "intents",
        sa.Column("object_id", OBJECT, nullable=False),
        sa.Column("role", WORD, nullable=False),
        sa.Column("purpose", WORD, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        # PostgreSQL's name for the older table's key is still taken.
        sa.PrimaryKeyConstraint("object_id", name="one_intent"),
        sa.CheckConstraint("role IN ('WRAPPING_KEY', 'MAIN_KEY', 'AUDIT_KEY')"),
        sa.CheckConstraint("purpose IN ('CREATE', 'DESTROY')"),
    )
    op.create_index("intents_by_time", "intents", ["purpose", "create_time"])
    op.execute("INSERT INTO intents SELECT object_id, role, purpose, create_time FROM older_intents")
    op.drop_table("older_intents")


# An event is never changed and never deleted, nor is what was signed. This stops a mistake, and whoever has only the
# service's own rights; who owns the database can take it away, and is found out by the signatures.

FIXED = ("audit_events", "audit_nodes", "audit_checkpoints")


def _guards() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in FIXED:
            for event in ("UPDATE", "DELETE"):
                op.execute(f"""
                    CREATE TRIGGER {table}_keep_{event.lower()} BEFORE {event} ON {table}
                    BEGIN SELECT RAISE(ABORT, '{table}_are_kept'); END
                """)
        return
    op.execute("""
        CREATE FUNCTION refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '%_are_kept', TG_TABLE_NAME USING ERRCODE = 'check_violation';
        END $$
    """)
    for table in FIXED:
        op.execute(f"""
            CREATE TRIGGER {table}_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit()
        """)
