"""The rule of two persons: what it is in each organisation that has switched it on, and the approvals that are good."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ID = sa.String(63)
OBJECT = sa.String(32)
WORD = sa.String(32)
TIME = sa.BigInteger
"""Microseconds since 1970 UTC."""
ACTS = ("REVOKE_MAIN_KEY", "DELETE_MAIN_KEY", "DISABLE_BYOK", "UPDATE_APPROVAL_RULE")


def upgrade() -> None:
    """Make their tables. No row of a rule: it is off."""
    op.create_table(
        "approval_rules",
        sa.Column("organization", ID, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("required_approvals", sa.Integer, nullable=False),
        sa.Column("revoke_alone", sa.Boolean, nullable=False),
        sa.Column("change_time", TIME, nullable=False),
        sa.CheckConstraint("required_approvals BETWEEN 1 AND 10"),
    )
    op.create_table(
        "approvals",
        sa.Column("organization", ID, sa.ForeignKey("organizations.id"), primary_key=True),
        sa.Column("id", OBJECT, primary_key=True),
        sa.Column("act", WORD, nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("etag", sa.String(64), nullable=False),
        sa.Column("new_rule", WORD, nullable=False),
        sa.Column("approver", sa.String(2048), nullable=False),
        sa.Column("hand", sa.String(2048), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("expire_time", TIME, nullable=False),
        sa.CheckConstraint("act IN (" + ", ".join(repr(act) for act in ACTS) + ")"),
        sa.CheckConstraint("(act = 'UPDATE_APPROVAL_RULE') = (new_rule <> '')"),
        sa.CheckConstraint("expire_time > create_time"),
    )
    op.create_index("approvals_by_time", "approvals", ["expire_time"])
