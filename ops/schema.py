"""Migrating a database to the schema of this version, one process at a time."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, event, text
from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError

import migrations
from cymba.database import BoundedConnection
from cymba.failures import sqlstate
from cymba.tables import metadata

# Any fixed number; every process that migrates must use the same one.
ADVISORY_LOCK = 0x43594D42  # "CYMB"
LOCK_TIMEOUT = "5s"  # a step that waits for a busy table blocks every later query on it
# A concurrent step waits for the open transactions, and blocks nobody meanwhile.
CONCURRENT_LOCK_TIMEOUT = "60s"
ATTEMPTS = 5
LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True)
class Upgraded:
    """The schema is at the head now. `applied` is empty if it already was.

    `rebuilt` are indexes that a concurrent step had begun and not finished, here or in an earlier
    run. PostgreSQL keeps such an index marked as invalid, and no query uses it.
    """

    before: str | None
    after: str
    applied: tuple[str, ...]
    rebuilt: tuple[str, ...] = ()


@dataclass(frozen=True)
class SchemaLocked:
    """Another process holds the migration lock or a table. Nothing is half done: try again."""

    detail: str


@dataclass(frozen=True)
class UnknownRevision:
    """The database is at a revision of other, probably newer, code."""

    revision: str


@dataclass(frozen=True)
class SchemaState:
    """How the database differs from this code: steps not run, and other differences."""

    current: str | None
    head: str
    pending: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return self.current == self.head and not self.differences


def upgrade(
    engine: Engine,
    *,
    wait_s: float = 600,
    on_step: Callable[[Script], None] = lambda _: None,
    is_laid: bool = False,
) -> Upgraded | SchemaLocked | UnknownRevision:
    """Run the missing steps, each in its own transaction, and call `on_step` after each.

    Of processes that start together one runs them. The others wait up to `wait_s` and find nothing
    left to do.

    Args:
        is_laid: the tables lie on several nodes (`ops.distribution.upgrade`).
    """
    with migrating(engine, wait_s) as connection:
        if connection is None:
            return SchemaLocked(f"another process has been migrating for more than {wait_s:.0f} s")
        before = _revision(connection)
        if before is not None and not _known(before):
            return UnknownRevision(before)
        applied: list[str] = []

        def applied_one(*, step: Any, **_: Any) -> None:
            applied.append(step.up_revision_id)
            on_step(step.up_revision)

        rebuilt: list[str] = []
        for attempt in range(ATTEMPTS):
            try:
                # First, because a step would regard an existing index as finished.
                rebuilt += _rebuild_invalid_indexes(connection)
                command.upgrade(_config(connection, applied_one, is_laid=is_laid), "head")
            except OperationalError as error:
                if sqlstate(error) != LOCK_NOT_AVAILABLE:
                    raise
                connection.rollback()
                time.sleep(2**attempt / 4)
            except PendingRollbackError as error:
                raise _why_it_went(error) from None
            else:
                return Upgraded(before, migrations.head(), tuple(applied), tuple(rebuilt))
        return SchemaLocked(f"a table stayed locked by others through {ATTEMPTS} attempts")


def _why_it_went(error: BaseException) -> BaseException:
    """The end of a step's part outside of a transaction fails too where the server has ended the
    connection, and hides the error of it."""
    while error.__context__ is not None and not isinstance(error, DBAPIError):
        error = error.__context__
    return error


def downgrade(engine: Engine, revision: str) -> None:
    """Undo steps down to `revision` (or `base`). For tests and development."""
    with migrating(engine, 60) as connection:
        if connection is None:
            raise RuntimeError("another process is migrating this database")
        command.downgrade(_config(connection), revision)


def check(engine: Engine, tables: MetaData = metadata) -> SchemaState:
    """Compare the database with this code: its revision, and its tables with the models."""
    with engine.connect() as connection:
        current = _revision(connection)
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        at_head = current == migrations.head()
        found = compare_metadata(context, tables) if at_head else []
        invalid = _invalid_indexes(connection)
    return SchemaState(
        current=current,
        head=migrations.head(),
        pending=tuple(script.revision for script in pending(current)),
        differences=(
            *(_described(difference) for difference in found),
            *(f"index {name} is not finished; `cymba db upgrade` builds it" for name in invalid),
        ),
    )


def sql() -> str:
    """The SQL of every step, for a DBA or the SQL linter. It needs no database."""
    config = migrations.config()
    config.output_buffer = StringIO()
    command.upgrade(config, "head", sql=True)
    return config.output_buffer.getvalue()


def current(engine: Engine) -> str | None:
    """The database's revision; None if no step was ever run."""
    with engine.connect() as connection:
        return _revision(connection)


def history() -> list[Script]:
    """Every step, oldest first."""
    scripts = ScriptDirectory.from_config(migrations.config())
    return list(reversed(list(scripts.walk_revisions())))


def pending(current: str | None) -> list[Script]:
    """The steps after `current`, oldest first. All steps if `current` is unknown."""
    steps = history()
    names = [step.revision for step in steps]
    return steps[names.index(current) + 1 :] if current in names else steps


@contextmanager
def migrating(engine: Engine, wait_s: float) -> Iterator[Connection | None]:
    """A connection that holds the migration lock, or None if others held it for `wait_s`.

    The lock is polled: a statement that waits for it would hold a snapshot, and CREATE INDEX
    CONCURRENTLY in the process that migrates would wait for that snapshot for ever.
    """
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", _wait_longer_if_concurrent)
        event.listen(connection, "after_cursor_execute", _wait_as_before)
        try:
            connection.execute(text("SET statement_timeout = 0"))
            line = connection.connection.driver_connection
            assert isinstance(line, BoundedConnection)  # noqa: S101 - for mypy
            line.patience_s = None
            connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            give_up_at = time.monotonic() + wait_s
            while not _try_lock(connection):
                if time.monotonic() > give_up_at:
                    yield None
                    return
                time.sleep(0.2)
            yield connection
        finally:
            # Its settings and its lock must not return to the pool. It is closed, not detached: a
            # step outside of a transaction (`autocommit_block`) needs a connection of the pool.
            connection.invalidate()


def _wait_longer_if_concurrent(_: Connection, cursor: Any, statement: str, *_more: Any) -> None:
    if "CONCURRENTLY" in statement:
        cursor.execute(f"SET lock_timeout = '{CONCURRENT_LOCK_TIMEOUT}'")


def _wait_as_before(_: Connection, cursor: Any, statement: str, *_more: Any) -> None:
    if "CONCURRENTLY" in statement:
        cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")


def _rebuild_invalid_indexes(connection: Connection) -> list[str]:
    """Finish indexes that an interrupted CREATE or REINDEX INDEX CONCURRENTLY left; their names.

    A unique index that the rows contradict cannot be finished. The error is raised, as in the step
    itself.
    """
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    names = _invalid_indexes(connection)
    connection.commit()
    quote = connection.dialect.identifier_preparer.quote
    concurrent = connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        for name in names:
            # REINDEX leaves a second, invalid index beside the first, which is valid.
            is_copy = re.search(r"_cc(new|old)\d*$", name) is not None
            order = "DROP" if is_copy else "REINDEX"
            concurrent.execute(text(f"{order} INDEX CONCURRENTLY public.{quote(name)}"))
    finally:
        connection.rollback()  # nothing is undone: each statement was a transaction of its own
        connection.execution_options(isolation_level=connection.default_isolation_level)
    return names


def _invalid_indexes(connection: Connection) -> list[str]:
    return list(connection.scalars(_INVALID_INDEXES))


_INVALID_INDEXES = text("""
    SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT (i.indisvalid AND i.indisready)
      AND c.relkind = 'i'
    ORDER BY c.relname
""")


def _try_lock(connection: Connection) -> bool:
    statement = text("SELECT pg_try_advisory_lock(:key)")
    locked = connection.execute(statement, {"key": ADVISORY_LOCK}).scalar_one()
    connection.commit()
    return bool(locked)


def _config(
    connection: Connection,
    on_version_apply: Callable[..., None] | None = None,
    *,
    is_laid: bool = False,
) -> Config:
    config = migrations.config()
    config.attributes["is_laid"] = is_laid
    config.attributes["connection"] = connection
    config.attributes["on_version_apply"] = on_version_apply or ()
    return config


def _revision(connection: Connection) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    return revision


def _known(revision: str) -> bool:
    return any(script.revision == revision for script in history())


def _described(difference: Any) -> str:
    """One of alembic's difference tuples (or a list of them) in words."""
    if isinstance(difference, list):
        return "; ".join(_described(part) for part in difference)
    kind, *things = difference
    names = [str(getattr(thing, "name", thing)) for thing in things if thing is not None]
    return f"{kind.replace('_', ' ')}: {', '.join(names)}"
