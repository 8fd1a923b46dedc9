"""Create the sessions that people write down, and their remarks on devices and days."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "remark",
        sa.Column("what", sa.String(length=24), nullable=False),
        sa.Column("said_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("model", sa.String(length=32), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("field_versions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "what IN ('electrode_changed', 'no_session', 'put_away')", name=op.f("ck_remark_what")
        ),
        sa.CheckConstraint("deleted_at IS NULL OR note IS NULL", name=op.f("ck_remark_tombstone")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_remark_version")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_remark_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_remark_device_id_device")
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_remark")),
    )
    op.create_index("ix_remark_account_said_of", "remark", ["account_id", "said_of"], unique=False)
    op.create_table(
        "written_session",
        sa.Column("recorder", sa.String(length=8), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("model", sa.String(length=32), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("duration_s", sa.Integer(), nullable=False),
        sa.Column("native_level", sa.Integer(), nullable=True),
        sa.Column(
            "level_changes",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
        ),
        sa.Column("amplitude_ua", sa.Integer(), nullable=True),
        sa.Column("site", sa.String(length=16), nullable=True),
        sa.Column("side", sa.String(length=8), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("excluded", sa.Boolean(), nullable=False),
        sa.Column("same_as", sa.Uuid(), nullable=True),
        sa.Column("shown_with", sa.Uuid(), nullable=True),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("field_versions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "recorder IN ('phone', 'person')", name=op.f("ck_written_session_recorder")
        ),
        sa.CheckConstraint(
            "(device_id IS NULL) <> (model IS NULL)", name=op.f("ck_written_session_unit")
        ),
        sa.CheckConstraint(
            "deleted_at IS NULL OR (note IS NULL AND same_as IS NULL AND shown_with IS NULL)",
            name=op.f("ck_written_session_tombstone"),
        ),
        sa.CheckConstraint(
            "duration_s BETWEEN 1 AND 86400", name=op.f("ck_written_session_duration")
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_written_session_version")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_written_session_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_written_session_device_id_device")
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_written_session")),
    )
    op.create_index(
        "ix_written_session_account_started",
        "written_session",
        ["account_id", "started_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_written_session_same_as",
        "written_session",
        ["account_id", "same_as"],
        unique=False,
        postgresql_where=sa.text("same_as IS NOT NULL"),
    )
    op.create_index(
        "ix_written_session_shown_with",
        "written_session",
        ["account_id", "shown_with"],
        unique=False,
        postgresql_where=sa.text("shown_with IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_written_session_shown_with",
        table_name="written_session",
        postgresql_where=sa.text("shown_with IS NOT NULL"),
    )
    op.drop_index(
        "ix_written_session_same_as",
        table_name="written_session",
        postgresql_where=sa.text("same_as IS NOT NULL"),
    )
    op.drop_index("ix_written_session_account_started", table_name="written_session")
    op.drop_table("written_session")
    op.drop_index("ix_remark_account_said_of", table_name="remark")
    op.drop_table("remark")
