"""Suspend devices."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "device_suspension",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("secret_hash", sa.String(length=200), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_device_suspension_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_device_suspension")),
    )
    op.create_index(
        op.f("ix_device_suspension_until"), "device_suspension", ["until"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_device_suspension_until"), table_name="device_suspension")
    op.drop_table("device_suspension")
