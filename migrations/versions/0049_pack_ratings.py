"""Keep the numbers that a person rated as bytes beside an entry's items.

The trigger writes them, so entries of the version before have them too. `0050` fills those that
there are.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0049"
down_revision: str | None = "0048"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PACK = """
CREATE FUNCTION pack_ratings() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.ratings := (
    SELECT coalesce(string_agg(
      substr(sha256(convert_to(name, 'UTF8')), 1, 2) || float8send(value::float8), ''), '')
    FROM jsonb_each(NEW.items) AS item (name, value) WHERE jsonb_typeof(value) = 'number');
  RETURN NEW;
END
$$"""


def upgrade() -> None:
    op.execute(_PACK)  # first: on several nodes it may not follow a change of a table
    op.add_column(
        "diary_entry",
        sa.Column("ratings", sa.LargeBinary(), server_default=sa.text("''"), nullable=False),
    )
    # There a trigger is made only so. It looks at nothing but the row.
    op.execute("SET LOCAL citus.enable_unsafe_triggers = on")
    op.execute(
        """
CREATE TRIGGER diary_entry_packed BEFORE INSERT OR UPDATE OF items, ratings ON diary_entry
FOR EACH ROW EXECUTE FUNCTION pack_ratings()"""
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER diary_entry_packed ON diary_entry")
    op.execute("DROP FUNCTION pack_ratings()")
    op.drop_column("diary_entry", "ratings")
