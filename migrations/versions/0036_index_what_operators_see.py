"""Index what an operator sees of all people's rows: the quarantine by code, and recent sessions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0036"
down_revision: str | None = "0035"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_quarantine_waiting_code",
            "quarantine",
            ["code", "id"],
            unique=False,
            postgresql_where=sa.text("replayed_at IS NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        # Of ranges of pages: it costs next to nothing to write, and rows still change in place.
        op.create_index(
            "ix_stimulation_session_began",
            "stimulation_session",
            ["started_at"],
            unique=False,
            postgresql_using="brin",
            postgresql_with={"autosummarize": True, "pages_per_range": 16},
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name, table in (
            ("ix_stimulation_session_began", "stimulation_session"),
            ("ix_quarantine_waiting_code", "quarantine"),
        ):
            op.drop_index(name, table_name=table, postgresql_concurrently=True, if_exists=True)
