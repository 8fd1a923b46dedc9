"""Pack the ratings of the entries that there are.

The trigger of `0049` does it. Each batch is committed by itself, and what broke off is taken up.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op

revision: str = "0050"
down_revision: str | None = "0049"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_AT_ONCE = 1_000
# Whoever writes an entry meanwhile is waited for, and has packed it then.
_FILL = sa.text(
    """
    WITH batch AS (
      SELECT account_id, id FROM diary_entry
      WHERE (account_id, id) > (CAST(:account_id AS uuid), CAST(:id AS uuid))
      ORDER BY account_id, id LIMIT :at_once FOR NO KEY UPDATE),
    filled AS (
      UPDATE diary_entry AS entry SET items = entry.items FROM batch
      WHERE entry.account_id = batch.account_id AND entry.id = batch.id
        AND entry.ratings = '' AND entry.items <> '{}')
    SELECT account_id, id FROM batch ORDER BY account_id DESC, id DESC LIMIT 1
    """
)
# On several nodes no row can be locked for this, and nobody writes meanwhile.
_FILL_LAID = "UPDATE diary_entry SET items = items WHERE ratings = '' AND items <> '{}'"
_FIRST = "00000000-0000-0000-0000-000000000000"


def upgrade() -> None:
    if context.is_offline_mode():
        return  # it goes on until no entry is left
    if context.config.attributes.get("is_laid", False):
        op.execute(_FILL_LAID)
        return
    with op.get_context().autocommit_block():
        bind = op.get_bind()
        last = {"account_id": _FIRST, "id": _FIRST}
        while row := bind.execute(_FILL, last | {"at_once": _AT_ONCE}).one_or_none():
            last = {"account_id": str(row.account_id), "id": str(row.id)}


def downgrade() -> None:
    """What is packed is right in the version before as well."""
