"""The audit log's parts: a month each, so that retention drops one instead of deleting its rows.

They lie in the schema `audit_log`, where the services' role has no rights, and are made and dropped
by functions that work with the rights of the tables' owner. `others` takes what fits no month, so
that an entry is never refused; `earlier` is the log from before it was divided. These two are not
of one month, so retention deletes their rows. The migrations create the same.
"""

from sqlalchemy import DDL, event

from cymba.accounts.tables import AuditEntry

_PARTS = (
    "CREATE SCHEMA audit_log",
    "CREATE TABLE audit_log.others PARTITION OF audit_entry DEFAULT",
    """
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_log.others
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()""",
    # `ends_at` is null for the part that takes everything else.
    """
CREATE VIEW audit_log.part AS
SELECT c.relname AS name,
       (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''([^'']+)''\\)'))[1]::timestamptz
         AS ends_at
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('public.audit_entry')""",
)
_MAKE_MONTHS = """
CREATE FUNCTION make_audit_months(days_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '300ms' SET timezone = 'UTC' AS $$
DECLARE
  made integer := 0;
  name text;
  starts timestamptz := (
    SELECT greatest(date_trunc('month', now()), max(ends_at)) FROM audit_log.part);
  until CONSTANT timestamptz := now() + make_interval(days => least(days_ahead, 400));
BEGIN
  IF starts >= until THEN
    RETURN 0;
  END IF;
  -- Some of the others lock the account first, some the log, so it tries both ways.
  FOR attempt IN 1..20 LOOP
    BEGIN
      IF attempt % 2 = 0 THEN
        LOCK TABLE public.account IN SHARE ROW EXCLUSIVE MODE;
      END IF;
      LOCK TABLE ONLY public.audit_entry IN ACCESS EXCLUSIVE MODE;
      LOCK TABLE public.account IN SHARE ROW EXCLUSIVE MODE;
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      IF attempt = 20 THEN
        RAISE;
      END IF;
      PERFORM pg_sleep(0.1);
    END;
  END LOOP;
  SET LOCAL citus.enable_unsafe_triggers = on;
  WHILE starts < until LOOP
    name := to_char(starts, '"m"YYYY_MM');
    BEGIN
      EXECUTE format(
        'CREATE TABLE audit_log.%I PARTITION OF public.audit_entry FOR VALUES FROM (%L) TO (%L)',
        name, starts, starts + interval '1 month');
      EXECUTE format(
        'CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_log.%I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_change()', name);
      made := made + 1;
    EXCEPTION WHEN check_violation THEN
      NULL;  -- entries of that month are in `others` already, and so will be the rest
    END;
    starts := starts + interval '1 month';
  END LOOP;
  RETURN made;
END
$$"""
_DROP_MONTH = """
CREATE FUNCTION drop_audit_month(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' SET timezone = 'UTC' AS $$
DECLARE
  past text := (
    SELECT p.name FROM audit_log.part AS p
    WHERE p.ends_at <= least(before, now() - interval '30 days') ORDER BY p.ends_at LIMIT 1);
BEGIN
  IF past IS NULL THEN
    RETURN 0;
  END IF;
  EXECUTE format('DROP TABLE audit_log.%I', past);
  RETURN 1;
END
$$"""
_REMOVE = """
CREATE FUNCTION remove_audit_entries(before timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  part text;
  gone bigint;
  removed bigint := 0;
  -- Citus locks no rows of several parts: there it waits for who holds one.
  held text := CASE WHEN to_regproc('get_shard_id_for_distribution_column') IS NULL
                    THEN 'FOR UPDATE SKIP LOCKED' ELSE '' END;
BEGIN
  SET LOCAL citus.propagate_set_commands = 'local';
  SET LOCAL cymba.erasing = 'on';
  FOR part IN SELECT name FROM audit_log.part WHERE name IN ('earlier', 'others') LOOP
    EXECUTE format(
      'WITH past AS ('
      '  SELECT account_id, id, at FROM audit_log.%1$I WHERE at < $1 LIMIT $2 %2$s)'
      'DELETE FROM audit_log.%1$I AS entry USING past WHERE entry.account_id = past.account_id'
      ' AND entry.id = past.id AND entry.at = past.at', part, held)
    USING least(before, now() - interval '30 days'), most - removed;
    GET DIAGNOSTICS gone = ROW_COUNT;
    removed := removed + gone;
  END LOOP;
  SET LOCAL cymba.erasing = 'off';
  RETURN removed;
END
$$"""
_STATE = """
CREATE FUNCTION audit_months(OUT made_until timestamptz, OUT outside bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
  SELECT (SELECT max(ends_at) FROM audit_log.part), (SELECT count(*) FROM audit_log.others)
$$"""
FUNCTIONS = (
    "make_audit_months(integer)",
    "drop_audit_month(timestamptz)",
    "remove_audit_entries(timestamptz, integer)",
    "audit_months()",
)
_DDL = (
    *(("after_create", statement) for statement in _PARTS),
    *(("after_create", one) for one in (_MAKE_MONTHS, _DROP_MONTH, _REMOVE, _STATE)),
    *(("after_create", f"REVOKE ALL ON FUNCTION {one} FROM PUBLIC") for one in FUNCTIONS),
    *(("before_drop", f"DROP FUNCTION {one}") for one in FUNCTIONS),
    ("before_drop", "DROP VIEW audit_log.part"),
    ("after_drop", "DROP SCHEMA audit_log"),
)
for _moment, _statement in _DDL:
    event.listen(
        AuditEntry.__table__,
        _moment,
        DDL(_statement.replace("%", "%%")),  # type: ignore[no-untyped-call] # SQLAlchemy's own
    )
