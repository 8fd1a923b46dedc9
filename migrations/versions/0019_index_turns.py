"""Index what waits by whose it is, so that a round reads no more of one party than its share."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
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
        op.create_index(
            "ix_outgoing_mail_turn",
            "outgoing_mail",
            ["recipient", "next_try_at"],
            unique=False,
            postgresql_where=sa.text("sent_at IS NULL AND tries < 12"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        # The new ones serve what the version before asks, too.
        op.drop_index(
            "ix_session_extent_dirty",
            table_name="session_extent",
            postgresql_concurrently=True,
            if_exists=True,
        )
        op.drop_index(
            "ix_outgoing_mail_waiting",
            table_name="outgoing_mail",
            postgresql_concurrently=True,
            if_exists=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_session_extent_dirty",
            "session_extent",
            ["device_id"],
            unique=False,
            postgresql_where=sa.text("dirty"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.create_index(
            "ix_outgoing_mail_waiting",
            "outgoing_mail",
            ["next_try_at"],
            unique=False,
            postgresql_where=sa.text("sent_at IS NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.drop_index(
            "ix_outgoing_mail_turn",
            table_name="outgoing_mail",
            postgresql_concurrently=True,
            if_exists=True,
        )
        op.drop_index(
            "ix_session_extent_due",
            table_name="session_extent",
            postgresql_concurrently=True,
            if_exists=True,
        )
