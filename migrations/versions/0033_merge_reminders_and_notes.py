"""Keep at which version each field of a reminder and of a session's own words last changed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0033"
down_revision: str | None = "0032"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TIMES = ("written_at", "created_at", "changed_at")


def upgrade() -> None:
    for table in ("reminder", "stimulation_session"):
        op.add_column(
            table,
            sa.Column(
                "field_versions",
                postgresql.JSONB(),
                server_default=sa.text("'{}'"),
                nullable=False,
            ),
        )
    for name in _TIMES:
        op.add_column(
            "reminder",
            sa.Column(
                name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
            ),
        )
    op.add_column("reminder", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    # Which field changed at which version was not kept: any may have at the last one.
    op.execute(
        """
        UPDATE reminder SET field_versions = jsonb_build_object(
            'title', version, 'local_times', version, 'weekdays', version, 'items', version,
            'enabled', version, 'at_usual_hour', version)
        """
    )
    op.execute(
        """
        UPDATE stimulation_session
        SET field_versions = jsonb_build_object('note', version, 'excluded', version)
        WHERE (note IS NOT NULL OR excluded) AND hidden_at IS NULL
        """
    )


def downgrade() -> None:
    # The version before would show a deleted reminder as one without a title.
    op.execute("DELETE FROM reminder WHERE deleted_at IS NOT NULL")
    for name in ("deleted_at", *_TIMES, "field_versions"):
        op.drop_column("reminder", name)
    op.drop_column("stimulation_session", "field_versions")
