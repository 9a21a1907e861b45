"""Versions of KEKs: a KEK that has encrypted as often as one key may gets a new key, under the same name."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make every KEK that there is the first version of itself."""
    op.add_column("keks", sa.Column("kek", sa.String(32), nullable=False, server_default=""))
    op.add_column("keks", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    op.execute("UPDATE keks SET kek = id")
    op.create_index("kek_versions", "keks", ["organization", "kek", "version"], unique=True)
