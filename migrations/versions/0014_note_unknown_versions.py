"""Note unknown versions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "unknown_version",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("ver", sa.BigInteger(), nullable=False),
        sa.Column("held_ver", sa.BigInteger(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_unknown_version_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_unknown_version")),
    )
    op.create_index(
        "ix_unknown_version_open",
        "unknown_version",
        ["device_id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_unknown_version_open", table_name="unknown_version")
    op.drop_table("unknown_version")
