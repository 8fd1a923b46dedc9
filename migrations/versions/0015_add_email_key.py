"""Make room for each address's key and its confirmation, and for when a sign-in began."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("account", sa.Column("email_key", sa.Text(), nullable=True))
    op.add_column("account", sa.Column("email_verified_at", _TIME, nullable=True))
    op.add_column("refresh_token", sa.Column("signed_in_at", _TIME, nullable=True))
    op.add_column("refresh_token", sa.Column("proved_at", _TIME, nullable=True))


def downgrade() -> None:
    op.drop_column("refresh_token", "proved_at")
    op.drop_column("refresh_token", "signed_in_at")
    op.drop_column("account", "email_verified_at")
    op.drop_column("account", "email_key")
