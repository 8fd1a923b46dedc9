"""Count all that is limited in one table. The version before goes on with its own two."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "rate_limit",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("level", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("level >= 0", name=op.f("ck_rate_limit_level")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_rate_limit")),
    )
    op.create_index(op.f("ix_rate_limit_updated_at"), "rate_limit", ["updated_at"], unique=False)
    # So that owners stay known where they sign in. Guesses of claim codes leak away in an hour.
    op.execute(
        "INSERT INTO rate_limit (key, level, updated_at, succeeded_at)"
        " SELECT key, level, updated_at, succeeded_at FROM sign_in_bucket"
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_rate_limit_updated_at"), table_name="rate_limit")
    op.drop_table("rate_limit")
