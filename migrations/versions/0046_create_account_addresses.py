"""Say in a table of its own whose an e-mail address is.

On several nodes an account lies by its id, and no key of it holds for all addresses. `0047` enters
the accounts that there are; those that come or change meanwhile are entered by the trigger, and so
are those of the version before.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op

revision: str = "0046"
down_revision: str | None = "0045"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NOTE = """
CREATE FUNCTION note_account_address() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  taken text := coalesce(NEW.email_key, lower(NEW.email));
  by_key boolean := NEW.email_key IS NOT NULL;
BEGIN
  INSERT INTO public.account_address (address, is_key, account_id)
  VALUES (taken, by_key, NEW.id) ON CONFLICT DO NOTHING;
  DELETE FROM public.account_address
  WHERE account_id = NEW.id AND (address, is_key) <> (taken, by_key);
  RETURN NULL;
END
$$"""


def upgrade() -> None:
    # Neither the reference nor the trigger works across nodes.
    is_laid = context.config.attributes.get("is_laid", False)
    reference = sa.ForeignKeyConstraint(
        ["account_id"],
        ["account.id"],
        name=op.f("fk_account_address_account_id_account"),
        ondelete="CASCADE",
    )
    op.create_table(
        "account_address",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("is_key", sa.Boolean(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("address", "is_key", name=op.f("pk_account_address")),
        *([] if is_laid else [reference]),
    )
    op.create_index(op.f("ix_account_address_account_id"), "account_address", ["account_id"])
    if is_laid:
        return
    op.execute(_NOTE)
    op.execute("REVOKE ALL ON FUNCTION note_account_address() FROM PUBLIC")
    op.execute(
        """
CREATE TRIGGER account_noted_address AFTER INSERT OR UPDATE OF email, email_key ON account
FOR EACH ROW EXECUTE FUNCTION note_account_address()"""
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER IF EXISTS account_noted_address ON account")
    op.execute("DROP FUNCTION IF EXISTS note_account_address()")
    op.drop_table("account_address")
