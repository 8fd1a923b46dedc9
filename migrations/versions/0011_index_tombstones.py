"""Index tombstones by their age, so that a batch of those to forget does not scan the table."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_change_tombstone",
            "change",
            ["changed_at"],
            unique=False,
            postgresql_where=sa.text("deleted"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            "ix_change_tombstone", table_name="change", postgresql_concurrently=True, if_exists=True
        )
