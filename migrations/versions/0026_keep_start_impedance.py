"""Keep the impedance at the start of sessions, by which an electrode's wear is told."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("stimulation_session", sa.Column("start_impedance_ohm", sa.Float(53)))


def downgrade() -> None:
    op.drop_column("stimulation_session", "start_impedance_ohm")
