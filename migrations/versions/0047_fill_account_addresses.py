"""Enter the addresses of the accounts that there are.

Each batch is committed by itself, and what broke off is taken up. A batch is locked, but only
against a change of its addresses: else one that is given up meanwhile would be entered again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op

revision: str = "0047"
down_revision: str | None = "0046"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_AT_ONCE = 5_000
_FILL = sa.text(
    """
    WITH batch AS (
      SELECT id, email, email_key FROM account WHERE id > CAST(:after AS uuid)
      ORDER BY id LIMIT :at_once FOR KEY SHARE),
    filled AS (
      INSERT INTO account_address (address, is_key, account_id)
      SELECT coalesce(email_key, lower(email)), email_key IS NOT NULL, id FROM batch
      ON CONFLICT DO NOTHING)
    SELECT id FROM batch ORDER BY id DESC LIMIT 1
    """
)
# On several nodes no row can be locked for this, and nobody writes meanwhile.
_FILL_LAID = """
    INSERT INTO account_address (address, is_key, account_id)
    SELECT coalesce(email_key, lower(email)), email_key IS NOT NULL, id FROM account
    ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    if context.is_offline_mode():
        return  # it goes on until no account is left
    if context.config.attributes.get("is_laid", False):
        op.execute(_FILL_LAID)
        return
    with op.get_context().autocommit_block():
        bind = op.get_bind()
        after = "00000000-0000-0000-0000-000000000000"
        while last := bind.scalar(_FILL, {"after": after, "at_once": _AT_ONCE}):
            after = str(last)


def downgrade() -> None:
    op.execute("DELETE FROM account_address")
