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
_MAKE = "ALTER FUNCTION make_audit_months(integer) {} citus.enable_unsafe_triggers"


def upgrade() -> None:
    op.execute(_REMOVE)
    op.execute(_MAKE.format("SET") + " = on")


def downgrade() -> None:
    op.execute(_REMOVE_AS_BEFORE)
    op.execute(_MAKE.format("RESET"))
