"""Let a programme say who had it set: its person, a trial of theirs, or a red flag."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("device_programme", sa.Column("set_by", sa.String(length=16), nullable=True))


def downgrade() -> None:
    op.drop_column("device_programme", "set_by")
