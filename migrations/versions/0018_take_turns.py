"""Let a session's next summary have its time, and clocks that moved wait apart from the frames."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "session_extent",
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("'1970-01-01 00:00:00+00'"),
            nullable=False,
        ),
    )
    op.create_table(
        "retiming",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("store", sa.BigInteger(), nullable=True),
        sa.Column("low_boot", sa.BigInteger(), nullable=False),
        sa.Column("high_boot", sa.BigInteger(), nullable=False),
        sa.Column("asked", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("swept_sid", sa.Uuid(), nullable=True),
        sa.Column("swept_store", sa.BigInteger(), nullable=True),
        sa.Column("wait_s", sa.Float(precision=53), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("'1970-01-01 00:00:00+00'"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_retiming_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_retiming")),
    )
    op.create_index(
        "ix_retiming_asked",
        "retiming",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("asked"),
    )


def downgrade() -> None:
    op.drop_index("ix_retiming_asked", table_name="retiming")
    op.drop_table("retiming")
    op.drop_column("session_extent", "due_at")
