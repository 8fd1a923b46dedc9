"""Keep the zones that a person was in before, and how often a device was cut off."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "account",
        sa.Column("past_zones", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    )
    op.add_column(
        "device_presence",
        sa.Column("cut_offs", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "device_presence",
        sa.Column("cut_off_since", sa.DateTime(timezone=True), nullable=True),
    )


def downgrade() -> None:
    op.drop_column("device_presence", "cut_off_since")
    op.drop_column("device_presence", "cut_offs")
    op.drop_column("account", "past_zones")
