"""Offer what was before a trial: when to look at it next, and whether that was declined."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # The default is for the trials that run now, and for those that the earlier code still begins:
    # they are looked at soon, and then know when next.
    op.add_column(
        "experiment",
        sa.Column(
            "due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
    )
    op.add_column("experiment", sa.Column("declined_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("experiment", "declined_at")
    op.drop_column("experiment", "due_at")
