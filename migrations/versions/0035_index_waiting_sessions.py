"""Index the sessions that wait by what does not change, so that their rows change in place."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0035"
down_revision: str | None = "0034"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_session_extent_waiting",
            "session_extent",
            ["device_id", "sid"],
            unique=False,
            postgresql_where=sa.text("dirty"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.drop_index(
            "ix_session_extent_due",
            table_name="session_extent",
            postgresql_concurrently=True,
            if_exists=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_session_extent_due",
            "session_extent",
            ["device_id", "due_at"],
            unique=False,
            postgresql_where=sa.text("dirty"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.drop_index(
            "ix_session_extent_waiting",
            table_name="session_extent",
            postgresql_concurrently=True,
            if_exists=True,
        )
