"""What holds the audit log to growing: a trigger, and the only two ways by which entries go.

The trigger refuses UPDATE, DELETE and TRUNCATE while `cymba.erasing` is not set. The functions set
it and work with the rights of the tables' owner, so that the services' role needs none of its own
to change the log or to delete an account (`ops.grants`). Migrations make the same.
"""

from sqlalchemy import DDL, event

from cymba.accounts.tables import AuditEntry

_GUARD = (
    """
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('cymba.erasing', true) = 'on' THEN
    CASE TG_OP
      WHEN 'DELETE' THEN RETURN OLD;
      WHEN 'UPDATE' THEN RETURN NEW;  -- of an entry that names an erased viewer
      ELSE NULL;
    END CASE;
  END IF;
  RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$""",
    """
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_entry
FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()""",
    """
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_entry
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()""",
)
# The account takes its own log with it; in the logs of others it is named no longer.
_ERASE_ACCOUNT = """
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
_REMOVE_AUDIT_ENTRIES = """
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
_OF_NOBODY = "REVOKE ALL ON FUNCTION {} FROM PUBLIC"

_DDL = (
    *(
        ("after_create", statement)
        for statement in (*_GUARD, _ERASE_ACCOUNT, _REMOVE_AUDIT_ENTRIES)
    ),
    ("after_create", _OF_NOBODY.format("erase_account(uuid)")),
    ("after_create", _OF_NOBODY.format("remove_audit_entries(timestamptz, integer)")),
    ("after_drop", "DROP FUNCTION remove_audit_entries(timestamptz, integer)"),
    ("after_drop", "DROP FUNCTION erase_account(uuid)"),
    ("after_drop", "DROP FUNCTION refuse_audit_change()"),
)
for _moment, _statement in _DDL:
    event.listen(
        AuditEntry.__table__,
        _moment,
        DDL(_statement),  # type: ignore[no-untyped-call] # SQLAlchemy's own
    )
