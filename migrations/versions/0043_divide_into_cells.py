"""Divide the devices among cells: brokers, each with its own bridges.

All that there is belongs to the first one. The version before knows of no other, so its rows of
`retained_withdrawal` are meant for that.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0043"
down_revision: str | None = "0042"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "cell",
        sa.Column("name", sa.String(length=31), nullable=False),
        sa.Column("address", sa.String(length=200), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("name ~ '^[a-z][a-z0-9]{0,30}$'", name=op.f("ck_cell_name_form")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cell")),
    )
    op.add_column(
        "device",
        sa.Column("cell", sa.String(length=31), server_default="first", nullable=False),
    )
    op.add_column(
        "retained_withdrawal",
        sa.Column(
            "cells",
            postgresql.ARRAY(sa.String(length=31)),
            server_default=sa.text("'{first}'"),
            nullable=False,
        ),
    )
    op.create_table(
        "cell_move",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("to_cell", sa.String(length=31), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(length=200), nullable=False),
        sa.Column("signature", sa.String(length=100), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_cell_move_device_id_device")
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_cell_move")),
    )
    op.create_index(op.f("ix_cell_move_to_cell"), "cell_move", ["to_cell"])


def downgrade() -> None:
    op.drop_table("cell_move")
    op.drop_column("retained_withdrawal", "cells")
    op.drop_column("device", "cell")
    op.drop_table("cell")
