"""Index what retention looks for where it read whole tables: frames in quarantine, sent mails."""

from collections.abc import Sequence

from alembic import op

revision: str = "0042"
down_revision: str | None = "0041"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INDEXES = (
    ("ix_quarantine_replayed", "quarantine", "replayed_at", "replayed_at IS NOT NULL"),
    ("ix_quarantine_waiting_received", "quarantine", "received_at", "replayed_at IS NULL"),
    ("ix_outgoing_mail_sent", "outgoing_mail", "sent_at", "sent_at IS NOT NULL"),
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, table, column, where in _INDEXES:
            op.execute(
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} ({column})"
                f" WHERE {where}"
            )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name, *_ in _INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
