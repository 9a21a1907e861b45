"""Events tell until when something stands, and are found by what they are about: rows are compared with them."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TELLS_STANDING = sa.text(
    "action IN ('MAIN_KEY_IMPORTED', 'MAIN_KEY_MOVED', 'APPROVAL_RULE_CHANGED', 'CHANGE_APPROVED', 'APPROVAL_USED', "
    "'APPROVAL_WITHDRAWN')"
)


def upgrade() -> None:
    """Make the column and the index, and record what no event tells yet.

    Approvals that were given before must be given again: no event tells until when they are good.
    """
    op.add_column("audit_events", sa.Column("due_time", sa.BigInteger))
    op.create_index(
        "audit_events_of_standing",
        "audit_events",
        ["organization", "subject", "sequence"],
        sqlite_where=TELLS_STANDING,
        postgresql_where=TELLS_STANDING,
    )
    op.execute("DELETE FROM approvals")
    _record_due_times()


def _record_due_times() -> None:
    """Write an event for each main key whose state ends by itself: it comes from the state in which it is."""
    connection = op.get_bind()
    due = connection.execute(
        sa.text("""
            SELECT organization, id, state, COALESCE(prior_state, state) AS from_state,
                COALESCE(reactivate_time, purge_time) AS due_time
            FROM main_keys
            WHERE state <> 'REMOVED' AND COALESCE(reactivate_time, purge_time) IS NOT NULL
            ORDER BY organization, id
        """)
    ).mappings()
    now = time.time_ns() // 1000
    for key in due.all():
        longer = "UPDATE audit_logs SET size = size + 1 WHERE organization = :organization RETURNING size"
        size = connection.execute(sa.text(longer), {"organization": key["organization"]}).scalar_one()
        connection.execute(
            sa.text("""
                INSERT INTO audit_events (
                    organization, sequence, time, actor, action, subject, from_state, to_state, due_time
                )
                VALUES (
                    :organization, :size, :now, 'steward', 'MAIN_KEY_MOVED', :id, :from_state, :state, :due_time
                )
            """),
            {**key, "size": size, "now": now},
        )
