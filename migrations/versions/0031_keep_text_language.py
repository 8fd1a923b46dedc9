"""Keep the language that a person read a text in, and take longer language tags.

The texts of before were English.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0031"
down_revision: str | None = "0030"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    for table in ("consent", "screening"):
        op.add_column(
            table,
            sa.Column("text_language", sa.String(length=8), server_default="en", nullable=False),
        )
    # Longer is no other type: no row is rewritten or read.
    op.execute(
        "-- squawk-ignore changing-column-type\nALTER TABLE account ALTER locale TYPE varchar(100)"
    )


def downgrade() -> None:
    op.execute("UPDATE account SET locale = 'en' WHERE length(locale) > 35")
    op.alter_column("account", "locale", type_=sa.String(length=35))
    for table in ("screening", "consent"):
        op.drop_column(table, "text_language")
