"""Let people bring readings and diaries from other apps."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0038"
down_revision: str | None = "0037"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "data_import",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(200), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("format", sa.String(24), nullable=True),
        sa.Column("mapping", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("preview", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("failure", sa.String(32), nullable=True),
        sa.Column("kept", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('uploading', 'waiting', 'read', 'storing', 'stored', 'undoing', 'undone',"
            " 'failed')",
            name=op.f("ck_data_import_state"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_data_import_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_import")),
    )
    op.create_index(
        "ix_data_import_account_id_created_at", "data_import", ["account_id", "created_at", "id"]
    )
    op.create_index(
        "uq_data_import_open",
        "data_import",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('uploading', 'waiting', 'read', 'storing', 'undoing')"),
    )
    op.create_index(
        "ix_data_import_waiting",
        "data_import",
        ["changed_at", "id"],
        postgresql_where=sa.text("state IN ('waiting', 'storing', 'undoing')"),
    )
    op.create_table(
        "import_piece",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_import_piece_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["data_import.id"],
            name=op.f("fk_import_piece_import_id_data_import"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", "number", name=op.f("pk_import_piece")),
    )
    op.create_table(
        "imported_reading",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("stage", sa.String(16), nullable=True),
        sa.Column("source", sa.String(100), nullable=False),
        sa.CheckConstraint(
            "(value IS NULL) <> (stage IS NULL)", name=op.f("ck_imported_reading_value")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_imported_reading_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "kind", "started_at", "digest", name=op.f("pk_imported_reading")
        ),
    )
    op.create_index("ix_imported_reading_import", "imported_reading", ["account_id", "import_id"])
    # The version before leaves both null, also where it deletes such an entry.
    op.add_column("diary_entry", sa.Column("import_id", sa.Uuid(), nullable=True))
    op.add_column("diary_entry", sa.Column("import_digest", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("diary_entry", "import_digest")
    op.drop_column("diary_entry", "import_id")
    for table in ("imported_reading", "import_piece", "data_import"):
        op.drop_table(table)
