"""Keep what sessions tell by level, that their time may be unknown, and what contradicts itself."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("stimulation_session", sa.Column("mean_native_level", sa.Float(53)))
    op.add_column("stimulation_session", sa.Column("max_native_level", sa.Integer()))
    op.add_column(
        "stimulation_session",
        sa.Column("doubts", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    )
    op.alter_column("stimulation_session", "stimulating_s", nullable=True)


def downgrade() -> None:
    op.execute("UPDATE stimulation_session SET stimulating_s = 0 WHERE stimulating_s IS NULL")
    op.alter_column("stimulation_session", "stimulating_s", nullable=False)
    op.drop_column("stimulation_session", "doubts")
    op.drop_column("stimulation_session", "max_native_level")
    op.drop_column("stimulation_session", "mean_native_level")
