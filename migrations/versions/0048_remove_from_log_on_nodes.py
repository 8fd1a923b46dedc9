"""Let retention of the audit log work on several nodes of Citus, and make the log's months there.

The guards of all nodes hear of the removal, rows of several parts are not locked, and a month gets
its trigger. On one PostgreSQL all stays as it was.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0048"
down_revision: str | None = "0047"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_REMOVE = """
CREATE OR REPLACE FUNCTION remove_audit_entries(before timestamptz, most integer) RETURNS bigint
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
_REMOVE_AS_BEFORE = """
CREATE OR REPLACE FUNCTION remove_audit_entries(before timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  part text;
  gone bigint;
  removed bigint := 0;
BEGIN
  PERFORM set_config('cymba.erasing', 'on', true);
  FOR part IN SELECT name FROM audit_log.part WHERE name IN ('earlier', 'others') LOOP
    EXECUTE format(
      'WITH past AS ('
      '  SELECT id, at FROM audit_log.%1$I WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)'
      'DELETE FROM audit_log.%1$I AS entry USING past'
      ' WHERE entry.id = past.id AND entry.at = past.at', part)
    USING least(before, now() - interval '30 days'), most - removed;
    GET DIAGNOSTICS gone = ROW_COUNT;
    removed := removed + gone;
  END LOOP;
  PERFORM set_config('cymba.erasing', 'off', true);
  RETURN removed;
END
$$"""
# The function sets it. To make it a setting of the function is a superuser's alone.
_SET = "  SET LOCAL citus.enable_unsafe_triggers = on;\n"
_MAKE_MONTHS = """
CREATE OR REPLACE FUNCTION make_audit_months(days_ahead integer) RETURNS integer
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
{set}  WHILE starts < until LOOP
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


def upgrade() -> None:
    op.execute(_REMOVE)
    op.execute(_MAKE_MONTHS.replace("{set}", _SET))


def downgrade() -> None:
    op.execute(_REMOVE_AS_BEFORE)
    op.execute(_MAKE_MONTHS.replace("{set}", ""))
