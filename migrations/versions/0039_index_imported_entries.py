"""Find the diary's imported rows: each is brought once."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0039"
down_revision: str | None = "0038"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "uq_diary_entry_import_digest",
            "diary_entry",
            ["account_id", "import_digest"],
            unique=True,
            postgresql_where=sa.text("import_digest IS NOT NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.create_index(
            "ix_diary_entry_import_id",
            "diary_entry",
            ["account_id", "import_id"],
            postgresql_where=sa.text("import_id IS NOT NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in ("ix_diary_entry_import_id", "uq_diary_entry_import_digest"):
            op.drop_index(
                name, table_name="diary_entry", postgresql_concurrently=True, if_exists=True
            )
