"""What makes the audit log append-only: triggers, and the function that erases an account.

A trigger refuses UPDATE, DELETE and TRUNCATE while `cymba.erasing` is not set. The functions set it
(that of retention is in `audit_months`) and work with the rights of the tables' owner, so that the
services' role needs none of its own to change the log or to delete an account (`ops.grants`).
Erasing an account enters it in the ledger.

An account's id is used once. Otherwise a role that may add accounts and entries could erase an
account and add it again with another log. A hash of each id is kept in a table whose key refuses
the second. The migrations create the same.

Which entry came when is the database's to say, so the services' role may not name the columns `id`
and `at`. Citus names all columns of an entry that it passes on to a node, so where the tables are
laid on several, that role may too, and `ENTER_NOW` sets both there (`ops.distribution`).
"""

from sqlalchemy import DDL, event

from cymba.accounts.tables import Account, AuditEntry

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
_USE_ID = (
    """
CREATE FUNCTION use_account_id() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO public.account_id_used VALUES (sha256(uuid_send(NEW.id)));
  RETURN NULL;
END
$$""",
    "REVOKE ALL ON FUNCTION use_account_id() FROM PUBLIC",
    """
CREATE TRIGGER account_id_used_once AFTER INSERT OR UPDATE OF id ON account
FOR EACH ROW EXECUTE FUNCTION use_account_id()""",
)
# For who erases an account: so one user alone locks it and then deletes it (`rights.erasure`).
_LOCK_ACCOUNT = """
CREATE FUNCTION lock_account(locked uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM public.account WHERE id = locked FOR UPDATE;
END
$$"""
# The account's own log goes with it, and its name is removed from the logs of others. What a
# statement sets, and not `set_config`, Citus sets on each node.
_ERASE_ACCOUNT = """
CREATE FUNCTION erase_account(erased uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SET LOCAL citus.propagate_set_commands = 'local';
  SET LOCAL cymba.erasing = 'on';
  UPDATE public.audit_entry SET detail = detail || '{"clinician": "erased"}'
  WHERE detail ->> 'clinician' = erased::text;
  DELETE FROM public.account WHERE id = erased;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no such account' USING ERRCODE = 'no_data_found';
  END IF;
  SET LOCAL cymba.erasing = 'off';
END
$$"""
_ERASE_INTO_LEDGER = """
CREATE FUNCTION erase_account(erased uuid, pseudonym bytea, rows_erased jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM public.erase_account(erased);
  INSERT INTO public.erasure_ledger (pseudonym, erased_at, rows_erased)
  VALUES (pseudonym, now(), rows_erased)
  ON CONFLICT DO NOTHING;  -- after a restore, a replay erases who is in the ledger already
END
$$"""
ENTERED_NOW = "audit_entry_entered_now"
# The node's clock may differ from the coordinator's by a minute. An entry's number is after all
# others of the log that it goes into. The owner brings entries back as they were.
ENTER_NOW = (
    """
CREATE OR REPLACE FUNCTION enter_audit_now() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  last bigint;
BEGIN
  IF pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
    RETURN NEW;
  END IF;
  IF (NEW.at BETWEEN clock_timestamp() - interval '1 minute'
                 AND clock_timestamp() + interval '1 minute') IS NOT TRUE THEN
    NEW.at := clock_timestamp();  -- refused where that is of another part
  END IF;
  EXECUTE format('SELECT max(id) FROM %s WHERE account_id = $1', pg_partition_root(TG_RELID))
  INTO last USING NEW.account_id;
  NEW.id := greatest(least(coalesce(NEW.id, 0), 1::bigint << 52), coalesce(last, 0) + 1);
  RETURN NEW;
END
$$""",
    f"""
CREATE TRIGGER {ENTERED_NOW} BEFORE INSERT ON audit_entry
FOR EACH ROW EXECUTE FUNCTION enter_audit_now()""",
)
_OF_NOBODY = "REVOKE ALL ON FUNCTION {} FROM PUBLIC"

_DDL = (
    *((AuditEntry, "after_create", statement) for statement in _GUARD),
    *((Account, "after_create", statement) for statement in _USE_ID),
    *(
        (AuditEntry, "after_create", statement)
        for statement in (_LOCK_ACCOUNT, _ERASE_ACCOUNT, _ERASE_INTO_LEDGER)
    ),
    *(
        (AuditEntry, "after_create", _OF_NOBODY.format(function))
        for function in (
            "lock_account(uuid)",
            "erase_account(uuid)",
            "erase_account(uuid, bytea, jsonb)",
        )
    ),
    (AuditEntry, "after_drop", "DROP FUNCTION erase_account(uuid, bytea, jsonb)"),
    (AuditEntry, "after_drop", "DROP FUNCTION erase_account(uuid)"),
    (AuditEntry, "after_drop", "DROP FUNCTION lock_account(uuid)"),
    (AuditEntry, "after_drop", "DROP FUNCTION refuse_audit_change()"),
    (Account, "after_drop", "DROP FUNCTION use_account_id()"),
)
for _model, _moment, _statement in _DDL:
    event.listen(
        _model.__table__,
        _moment,
        DDL(_statement),  # type: ignore[no-untyped-call] # SQLAlchemy's own
    )
