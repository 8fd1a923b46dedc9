"""The parts in which the tables lie on several nodes of Citus (`cymba.distribution`).

Citus runs a statement that locks rows, or finds rows for each of a list, where it knows beforehand
that all of them lie in one part. So such a statement takes devices, or accounts, of one part, and
names them once more as a value. On one PostgreSQL it takes any, and the value is null.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy import ColumnElement, Delete, delete, inspect, select, text, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from cymba.database import Base, BoundedConnection

Id = TypeVar("Id", str, UUID)  # of a device, or of an account
Part = Sequence[Id] | None
"""The ids of a statement that lie in one part; None: on one PostgreSQL."""


def of_part(column: str, of: str = "text") -> str:
    """A condition of SQL on the column that the table lies by, by the value `part`."""
    return f"(CAST(:part AS {of}[]) IS NULL OR {column} = ANY (CAST(:part AS {of}[])))"


def part_of(where: Session | psycopg.Connection[Any], ids: Iterable[Id]) -> Part[Id]:
    """The value for devices, or accounts, that lie in one part."""
    return sorted(set(ids)) if _is_laid(_line(where)) else None


def parts(where: Session | psycopg.Connection[Any], ids: Iterable[Id]) -> list[Part[Id]]:
    """Devices, or accounts, by the part that they lie in, in one order everywhere."""
    line = _line(where)
    if not _is_laid(line):
        return [None]
    given = list(ids)
    statement = _PARTS_OF_ACCOUNTS if any(isinstance(one, UUID) for one in given) else _PARTS
    with line.cursor(row_factory=tuple_row) as cursor:
        return [found for (found,) in cursor.execute(statement, [given], prepare=True)]


def lies_in_parts(where: Session | psycopg.Connection[Any]) -> bool:
    return _is_laid(_line(where))


def one_after_the_other(session: Session) -> None:
    """In this transaction, over one connection to each node: so it may change what lies in parts
    and what is whole on each in any order, and all that it reads of a node is of one moment."""
    if lies_in_parts(session):
        session.execute(text("SET LOCAL citus.multi_shard_modify_mode = 'sequential'"))


def delete_some(
    session: Session,
    table: type[Base],
    *conditions: ColumnElement[bool] | InstrumentedAttribute[bool],
    limit: int,
) -> Delete:
    """Deletes at most so many rows of any parts for which the conditions hold, without those that
    others hold; on several nodes, where no row can be locked so, with them: it waits for them, and
    looks at the conditions once more."""
    keys = inspect(table).primary_key
    some = select(*keys).where(*conditions).limit(limit)
    if not lies_in_parts(session):
        # Apart: in the condition it may be asked again for each row, and choose others.
        chosen = some.with_for_update(skip_locked=True).cte("chosen")
        some = select(*chosen.c)
    return delete(table).where(tuple_(*keys).in_(some), *conditions)


def _line(where: Session | psycopg.Connection[Any]) -> BoundedConnection:
    line = where.connection().connection.driver_connection if isinstance(where, Session) else where
    assert isinstance(line, BoundedConnection)  # noqa: S101 - for mypy
    return line


def _is_laid(line: BoundedConnection) -> bool:
    if line.lies_in_parts is None:
        with line.cursor(row_factory=tuple_row) as cursor:
            (line.lies_in_parts,) = cursor.execute(_IS_LAID).fetchone() or (False,)
    return bool(line.lies_in_parts)


_IS_LAID = "SELECT to_regproc('get_shard_id_for_distribution_column') IS NOT NULL"
_PARTS = """
    SELECT array_agg(id ORDER BY id) FROM unnest(%s::text[]) AS id
    GROUP BY get_shard_id_for_distribution_column('frame', id)
    ORDER BY get_shard_id_for_distribution_column('frame', id)
"""
_PARTS_OF_ACCOUNTS = """
    SELECT array_agg(id ORDER BY id) FROM unnest(%s::uuid[]) AS id
    GROUP BY get_shard_id_for_distribution_column('account', id)
    ORDER BY get_shard_id_for_distribution_column('account', id)
"""
