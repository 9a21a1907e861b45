"""Receipts: signed statements about what was done to main keys."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Have a place for a receipt of each event that has one; there is none of what was recorded before."""
    op.add_column("audit_events", sa.Column("wrapping_key", sa.String(32)))
    op.create_table(
        "audit_receipts",
        sa.Column("organization", sa.String(63), primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        # Nothing before it is signed.
        sa.Column("statement", sa.LargeBinary),
        sa.Column("key_fingerprint", sa.LargeBinary),
        sa.Column("signature", sa.LargeBinary),
        sa.CheckConstraint("(signature IS NULL) = (statement IS NULL)"),
        sa.CheckConstraint("(signature IS NULL) = (key_fingerprint IS NULL)"),
        sa.ForeignKeyConstraint(["organization", "sequence"], ["audit_events.organization", "audit_events.sequence"]),
    )
    pending = sa.text("signature IS NULL")
    columns = ["organization", "sequence"]
    op.create_index("receipts_to_sign", "audit_receipts", columns, sqlite_where=pending, postgresql_where=pending)
    _guards()


def _guards() -> None:
    """Let what was signed be neither changed nor deleted."""
    if op.get_bind().dialect.name == "sqlite":
        for event, when in (("UPDATE", "WHEN OLD.signature IS NOT NULL"), ("DELETE", "")):
            op.execute(f"""
                CREATE TRIGGER audit_receipts_keep_{event.lower()} BEFORE {event} ON audit_receipts {when}
                BEGIN SELECT RAISE(ABORT, 'audit_receipts_are_kept'); END
            """)
        return
    op.execute("""
        CREATE TRIGGER audit_receipts_keep BEFORE DELETE OR TRUNCATE ON audit_receipts
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit()
    """)
    op.execute("""
        CREATE TRIGGER audit_receipts_keep_signed BEFORE UPDATE ON audit_receipts
        FOR EACH ROW WHEN (OLD.signature IS NOT NULL) EXECUTE FUNCTION refuse_change_of_audit()
    """)
