"""Use an account's id once, enter its erasure in the same step, and time the audit log here.

`account_id_used` has a hash of every account's id from when the account is made. A row is refused
by its key, so no order of transactions and no old snapshot brings back an account that was erased.

`erase_account(uuid)` stays for the version before. `claimed_at` is what an imported archive says.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("audit_entry", sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True))
    # The time of the entry, not of the beginning of a transaction that somebody held open.
    op.alter_column("audit_entry", "at", server_default=sa.text("clock_timestamp()"))
    op.create_table(
        "account_id_used",
        sa.Column("id_sha256", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id_sha256", name=op.f("pk_account_id_used")),
    )
    op.execute(
        """
CREATE FUNCTION use_account_id() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO public.account_id_used VALUES (sha256(uuid_send(NEW.id)));
  RETURN NULL;
END
$$"""
    )
    op.execute("REVOKE ALL ON FUNCTION use_account_id() FROM PUBLIC")
    op.execute(
        """
CREATE TRIGGER account_id_used_once AFTER INSERT OR UPDATE OF id ON account
FOR EACH ROW EXECUTE FUNCTION use_account_id()"""
    )
    # Whoever makes an account meanwhile waits for the trigger's lock.
    op.execute("INSERT INTO account_id_used SELECT sha256(uuid_send(id)) FROM account")
    op.execute(
        """
CREATE FUNCTION erase_account(erased uuid, pseudonym bytea, rows_erased jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM public.erase_account(erased);
  INSERT INTO public.erasure_ledger (pseudonym, erased_at, rows_erased)
  VALUES (pseudonym, now(), rows_erased)
  ON CONFLICT DO NOTHING;  -- after a restore, a replay erases who is in the ledger already
END
$$"""
    )
    op.execute("REVOKE ALL ON FUNCTION erase_account(uuid, bytea, jsonb) FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION erase_account(uuid, bytea, jsonb)")
    op.execute("DROP TRIGGER account_id_used_once ON account")
    op.execute("DROP FUNCTION use_account_id()")
    op.drop_table("account_id_used")
    op.alter_column("audit_entry", "at", server_default=sa.text("now()"))
    op.drop_column("audit_entry", "claimed_at")
