"""Confine what goes from the audit log to erasure and retention.

Two functions do what both need, with the rights of the tables' owner, so that the role that the
services work as needs none of its own to delete from the log, to change it or to delete accounts.

The guard of 0005 stays as it is: the version before sets `cymba.erasing` and removes by itself, and
still may while the services' role has its rights. `cymba db grant` takes them once no process of
that version runs; then the setting opens nothing for it. After that a later step may have the guard
ask for the tables' owner as well.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Its own log goes with the account; in the logs of others it is named no longer.
    op.execute(
        """
CREATE FUNCTION erase_account(erased uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('cymba.erasing', 'on', true);
  UPDATE public.audit_entry SET detail = detail || '{"clinician": "erased"}'
  WHERE detail ->> 'clinician' = erased::text;
  DELETE FROM public.account WHERE id = erased;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no such account' USING ERRCODE = 'no_data_found';
  END IF;
  PERFORM set_config('cymba.erasing', 'off', true);
END
$$"""
    )
    op.execute(
        """
CREATE FUNCTION remove_audit_entries(before timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  removed bigint;
BEGIN
  PERFORM set_config('cymba.erasing', 'on', true);
  WITH past AS (
    SELECT id FROM public.audit_entry WHERE at < least(before, now() - interval '30 days')
    LIMIT most FOR UPDATE SKIP LOCKED)
  DELETE FROM public.audit_entry AS entry USING past WHERE entry.id = past.id;
  GET DIAGNOSTICS removed = ROW_COUNT;
  PERFORM set_config('cymba.erasing', 'off', true);
  RETURN removed;
END
$$"""
    )
    # A new function is everybody's to call.
    op.execute("REVOKE ALL ON FUNCTION erase_account(uuid) FROM PUBLIC")
    op.execute("REVOKE ALL ON FUNCTION remove_audit_entries(timestamptz, integer) FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION remove_audit_entries(timestamptz, integer)")
    op.execute("DROP FUNCTION erase_account(uuid)")
