"""Link refresh tokens."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("refresh_token", sa.Column("successor_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("refresh_token", "successor_id")
