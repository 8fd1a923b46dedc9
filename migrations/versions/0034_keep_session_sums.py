"""Keep the sums of running sessions, and room for their rows to change in place."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0034"
down_revision: str | None = "0033"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "session_sums",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("sums", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["stimulation_session.id"],
            name=op.f("fk_session_sums_session_id_stimulation_session"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_session_sums")),
        prefixes=["UNLOGGED"],
        postgresql_with={"fillfactor": 50},
    )
    op.execute("ALTER TABLE stimulation_session SET (fillfactor = 80)")
    op.add_column(
        "session_extent",
        sa.Column("ends_at_once", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("session_extent", "ends_at_once")
    op.execute("ALTER TABLE stimulation_session RESET (fillfactor)")
    op.drop_table("session_sums")
