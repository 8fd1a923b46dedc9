"""Let a function lock the account that is to be erased.

On several nodes of Citus only one user may lock and change what lies together in a transaction, and
the function that erases an account works as the tables' owner.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0051"
down_revision: str | None = "0050"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute(
        """
CREATE FUNCTION lock_account(locked uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM public.account WHERE id = locked FOR UPDATE;
END
$$"""
    )
    # A new function is everybody's to call.
    op.execute("REVOKE ALL ON FUNCTION lock_account(uuid) FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION lock_account(uuid)")
