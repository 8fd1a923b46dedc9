"""One database for all the tests of a worker, emptied after each.

A database made for every test costs more than most tests do. A test that leaves the schema, the
rights on it or its shipped rows other than it found them needs no mark: it is noticed, and the next
test has a new database.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Composed, Identifier
from sqlalchemy.engine import make_url

TEMPLATE = "cymba_template"
"""The database of a test server that has the whole schema, and is only copied."""

CATALOGUES = (
    "pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_default_acl", "pg_event_trigger",
    "pg_extension", "pg_index", "pg_namespace", "pg_policy", "pg_proc", "pg_rewrite", "pg_trigger",
    "pg_type",
)  # fmt: skip
# A change of the schema adds a row or removes one, or a row has another last writer.
SCHEMA = SQL(
    "SELECT {catalogues}, (SELECT count(*) FROM pg_db_role_setting), (datdba, datacl)::text"
    " FROM pg_database WHERE datname = current_database()"
).format(
    catalogues=SQL(", ").join(
        SQL("(SELECT (count(*), max(xmin::text::bigint))::text FROM {})").format(Identifier(name))
        for name in CATALOGUES
    )
)
END_OTHERS: LiteralString = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    " AND datname = current_database() AND backend_type = 'client backend'"
)
REWIND: LiteralString = (
    "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"
    " WHERE pg_sequence_last_value(seqrelid) IS NOT NULL"
)
MANY_BYTES = 512 * 1024
"""What is deleted of a table stays in its file; more than this would slow the next tests down."""


@contextmanager
def new_database(server_url: str, template: str = TEMPLATE) -> Iterator[str]:
    """The URL of a database of its own."""
    name = f"test_{uuid4().hex}"
    database = {"name": Identifier(name), "template": Identifier(template)}
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**database))
    yield at_database(server_url, name)
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(SQL("DROP DATABASE {name} WITH (FORCE)").format(**database))


def at_database(url: str, name: str) -> str:
    """`url` with another database's name."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


class KeptDatabases:
    """Lends one database again and again, and another where a test has changed it for good."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._open = ExitStack()
        self._kept: _Kept | None = None

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The URL of a database with the whole schema and no rows."""
        if self._kept is None:
            url = self._open.enter_context(new_database(self._server_url))
            self._kept = self._open.enter_context(closing(_Kept(url)))
        yield self._kept.url
        if not self._kept.empty():
            self.drop()

    def drop(self) -> None:
        self._kept = None
        self._open.close()


class _Kept:
    def __init__(self, url: str) -> None:
        self.url = url
        # For a replica no foreign key stands in the way, and no guard of the audit log.
        self._connection = psycopg.connect(
            url, autocommit=True, options="-c session_replication_role=replica"
        )
        names = self._rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        self._tables = {name: Identifier(name) for (name,) in names}
        holds = SQL("SELECT {name} WHERE EXISTS (SELECT FROM {table})")
        self._who_holds = (
            SQL(" UNION ALL ")
            .join(holds.format(name=name, table=table) for name, table in self._tables.items())
            .as_bytes(self._connection)
        )
        self._shipped = self._held()
        self._as_shipped = self._state()

    def empty(self) -> bool:
        """Remove what a test has left; False where that is not enough."""
        try:
            while self._rows(END_OTHERS):
                time.sleep(0.002)
            for name in self._held() - self._shipped:
                table = self._tables[name]
                self._connection.execute(SQL("DELETE FROM {}").format(table), prepare=True)
                if self._rows("SELECT pg_table_size(%s::regclass)", name) > [(MANY_BYTES,)]:
                    self._connection.execute(SQL("VACUUM {}").format(table))
            self._rows(REWIND)
            return self._state() == self._as_shipped
        except psycopg.Error:  # a table is gone, or this connection
            return False

    def close(self) -> None:
        self._connection.close()

    def _state(self) -> list[Any]:
        """Of the schema, the rights on it and the rows that it ships."""
        rows = SQL("SELECT t::text FROM {} AS t ORDER BY 1")
        shipped = (rows.format(self._tables[name]) for name in sorted(self._shipped))
        return [self._rows(query) for query in (SCHEMA, *shipped)]

    def _held(self) -> set[str]:
        """The tables that hold rows."""
        return {name for (name,) in self._rows(self._who_holds)}

    def _rows(self, query: LiteralString | bytes | Composed, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values or None, prepare=True).fetchall()
