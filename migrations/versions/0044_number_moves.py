"""Keep the number of each device's last move after the move is over, for the next one to be above.

A device ignores a move that is not above the last one it followed, and the clock may go back.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0044"
down_revision: str | None = "0043"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "device", sa.Column("last_move_ms", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.execute(
        "UPDATE device AS d SET last_move_ms = m.at_ms FROM cell_move AS m WHERE m.device_id = d.id"
    )


def downgrade() -> None:
    op.drop_column("device", "last_move_ms")
