"""Hash partitions on plain PostgreSQL, by the keys that the tables lie by on several nodes.

Each stands for a node: what a statement reads of each table tells which nodes it would ask.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
import pytest
from psycopg.rows import tuple_row
from sqlalchemy import Connection, Engine, event, text

from cymba.database import Prepared
from cymba.distribution import PLACES, TablePlace
from ops.distribution import Stands

PARTS = 4
# What does not hold on such tables, and why; `pytest --partitioned` leaves it out.
NOT_IN_PARTS = {
    "test_every_fact_is_read_of_a_real_database_and_shown": "the log lies in no months there",
    "test_the_mailbox_makes_the_account_and_nobody_else_learns_of_one": "who has one is held there",
    "test_pruning_reads_tombstones_by_their_age": "an index has another name in each part",
}
_PARTITIONED = text("""
    SELECT c.relname, a.attname FROM pg_partitioned_table AS p
    JOIN pg_class AS c ON c.oid = p.partrelid
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
    WHERE p.partstrat = 'h'
""")
_DEFINITIONS = text("""
    SELECT 'ALTER TABLE ' || quote_ident(:name) || ' ADD CONSTRAINT ' || quote_ident(conname) || ' '
           || pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE conrelid = CAST(:name AS regclass) AND contype IN ('p', 'u')
    UNION ALL
    SELECT pg_get_indexdef(indexrelid) FROM pg_index AS i
    WHERE indrelid = CAST(:name AS regclass)
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
    UNION ALL
    SELECT pg_get_triggerdef(oid) FROM pg_trigger
    WHERE tgrelid = CAST(:name AS regclass) AND NOT tgisinternal
""")
# Here its parts are the nodes', and not divided further: entries go row by row.
_NO_MONTHS = (
    """
    CREATE OR REPLACE FUNCTION make_audit_months(days_ahead integer) RETURNS integer
    LANGUAGE sql AS 'SELECT 0'
    """,
    """
    CREATE OR REPLACE FUNCTION remove_audit_entries(before timestamptz, most integer) RETURNS bigint
    LANGUAGE sql SET cymba.erasing = 'on' AS '
      WITH past AS (
        SELECT id, account_id FROM audit_entry
        WHERE at < least(before, now() - interval ''30 days'') LIMIT most),
      gone AS (
        DELETE FROM audit_entry AS entry USING past
        WHERE (entry.account_id, entry.id) = (past.account_id, past.id) RETURNING 1)
      SELECT count(*) FROM gone'
    """,
)
# By what it is named on Citus, so that statements are sent as there (`cymba.parts`).
_PART_OF = f"""
    CREATE FUNCTION get_shard_id_for_distribution_column(name text, value anyelement)
    RETURNS integer LANGUAGE sql STABLE AS $$
      SELECT n FROM generate_series(0, {PARTS - 1}) AS n
      WHERE CASE name
        WHEN 'account'
        THEN satisfies_hash_partition('account'::regclass, {PARTS}, n, value::text::uuid)
        ELSE satisfies_hash_partition('frame'::regclass, {PARTS}, n, value::text::varchar) END
    $$
"""  # noqa: S608 - constants


def _part(number: int) -> str:
    return f"MODULUS {PARTS}, REMAINDER {number}"


class Partitions:
    """For `ops.distribution`. A table that is whole on every node stays as it is."""

    def standing(self, connection: Connection) -> dict[str, Stands]:
        rows = connection.execute(_PARTITIONED).all()
        groups = sorted({place.group or "" for place in PLACES.values()})
        found = {
            name: Stands(column, groups.index(PLACES[name].group or "")) for name, column in rows
        }
        if found:
            whole = (name for name, place in PLACES.items() if place.column is None)
            found = dict.fromkeys(whole, Stands(None, groups.index(""))) | found
        return found

    def place(
        self, connection: Connection, name: str, place: TablePlace, _beside: str | None
    ) -> None:
        if place.column is not None:
            self._remake(connection, name, f" PARTITION BY HASH ({place.column})")

    def gather(self, connection: Connection, name: str) -> None:
        self._remake(connection, name, "")

    def _remake(self, connection: Connection, name: str, division: str) -> None:
        made = connection.scalars(_DEFINITIONS, {"name": name}).all()
        for statement in (
            f"ALTER TABLE {name} RENAME TO whole",
            f"CREATE TABLE {name} (LIKE whole INCLUDING ALL EXCLUDING INDEXES){division}",
            *(
                f"CREATE TABLE {name}_p{n} PARTITION OF {name} FOR VALUES WITH ({_part(n)})"
                for n in range(PARTS if division else 0)
            ),
            f"INSERT INTO {name} OVERRIDING SYSTEM VALUE SELECT * FROM whole",  # noqa: S608
            "DROP TABLE whole",  # with its months, where it has such
            *(one.replace(" ON ONLY ", " ON ") for one in made),
            *(_NO_MONTHS if name == "audit_entry" else []),
            *([_PART_OF] if name == "frame" else []),
        ):
            connection.execute(text(statement.replace(":", r"\:")))


class AskedParts:
    """The most parts of each table that each statement read or wrote at once, by the server's own
    counters. Of a table that is whole on every node, `WHOLE` if it was written.

    Plans are made for any values, as of a statement that stays prepared, and as for large tables.
    """

    WHOLE = "whole"

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, set[str]]] = {}  # statement -> table -> its parts
        self._names: list[tuple[str, str]] = []

    @contextmanager
    def of(self, engine: Engine) -> Iterator[None]:
        whole = Prepared.rows

        def rows(one: Prepared, line: psycopg.Connection[Any], **given: Any) -> Any:
            with line.transaction() if line.autocommit else nullcontext():
                plan_as_if_large(line, one.sql)
                before = self._counts(line)
                found = whole(one, line, **given)
                self._note(one.sql, before, self._counts(line))
            return found

        def begin(_: Connection, cursor: Any, statement: str, *_more: Any) -> None:
            plan_as_if_large(cursor.connection, statement)
            self._before = self._counts(cursor.connection)

        def end(_: Connection, cursor: Any, statement: str, *_more: Any) -> None:
            self._note(statement, self._before, self._counts(cursor.connection))

        event.listen(engine, "before_cursor_execute", begin)
        event.listen(engine, "after_cursor_execute", end)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Prepared, "rows", rows)
            yield
        event.remove(engine, "before_cursor_execute", begin)
        event.remove(engine, "after_cursor_execute", end)

    def refused(self) -> list[str]:
        """Statements of a kind that Citus refuses: they lock rows in several parts, or change what
        is whole on every node by what they read of a part."""
        found = []
        for statement, tables in self.parts.items():
            if "erase_account(" in statement:  # a function, of several statements
                continue
            of_parts = [parts for parts in tables.values() if self.WHOLE not in parts]
            locks = " FOR UPDATE" in statement or " FOR NO KEY UPDATE" in statement
            if (locks and any(len(parts) > 1 for parts in of_parts)) or (
                of_parts and len(of_parts) < len(tables)
            ):
                found.append(" ".join(statement.split()))
        return found

    def _counts(self, line: psycopg.Connection[Any]) -> dict[tuple[str, str], int]:
        with line.cursor(row_factory=tuple_row) as cursor:
            return {(table, part): n for table, part, n in cursor.execute(_COUNTS, prepare=True)}

    def _note(self, statement: str, before: Any, after: Any) -> None:
        asked: dict[str, set[str]] = {}
        for (table, part), count in after.items():
            if count > before.get((table, part), 0):
                asked.setdefault(table, set()).add(part)
        most = self.parts.setdefault(statement, {}) if asked else {}
        for table, parts in asked.items():
            most[table] = max(most.get(table, set()), parts, key=len)


def plan_as_if_large(line: psycopg.Connection[Any], statement: str) -> None:
    """What names its part is planned by that, as by Citus."""
    plans = "force_custom_plan" if "%(part)s" in statement else "force_generic_plan"
    with line.cursor() as cursor:
        cursor.execute(_AS_IF_LARGE, {"plans": plans}, prepare=True)


_AS_IF_LARGE = """
    SELECT set_config('plan_cache_mode', %(plans)s, true),
           set_config('enable_seqscan', 'off', true),
           set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
"""
# Of the transaction that runs.
_COUNTS = """
    SELECT inhparent::regclass::text, inhrelid::regclass::text,
           pg_stat_get_xact_numscans(inhrelid) + pg_stat_get_xact_tuples_inserted(inhrelid)
           + pg_stat_get_xact_tuples_updated(inhrelid) + pg_stat_get_xact_tuples_deleted(inhrelid)
           + (SELECT coalesce(sum(pg_stat_get_xact_numscans(indexrelid)), 0)
              FROM pg_index WHERE indrelid = inhrelid)
    FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid WHERE c.relkind = 'r'
    UNION ALL
    SELECT c.oid::regclass::text, 'whole',
           pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
           + pg_stat_get_xact_tuples_deleted(c.oid)
    FROM pg_class AS c
    WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
"""
