"""Let the function that erases an account tell the guards of the log on other nodes too.

Citus passes a statement that sets something on to the nodes, but not what a function sets by
`set_config`. On one PostgreSQL both do the same.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0045"
down_revision: str | None = "0044"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ERASE_ACCOUNT = """
CREATE OR REPLACE FUNCTION erase_account(erased uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  {on}
  UPDATE public.audit_entry SET detail = detail || '{{"clinician": "erased"}}'
  WHERE detail ->> 'clinician' = erased::text;
  DELETE FROM public.account WHERE id = erased;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no such account' USING ERRCODE = 'no_data_found';
  END IF;
  {off}
END
$$"""


def upgrade() -> None:
    op.execute(
        _ERASE_ACCOUNT.format(
            on="""SET LOCAL citus.propagate_set_commands = 'local';
  SET LOCAL cymba.erasing = 'on';""",
            off="SET LOCAL cymba.erasing = 'off';",
        )
    )


def downgrade() -> None:
    op.execute(
        _ERASE_ACCOUNT.format(
            on="PERFORM set_config('cymba.erasing', 'on', true);",
            off="PERFORM set_config('cymba.erasing', 'off', true);",
        )
    )
