"""The parts in which the tables of devices lie on several nodes of Citus (`cymba.distribution`).

Citus runs a statement that locks rows, or finds rows for each of a list, where it knows beforehand
that all of them lie in one part. So such a statement takes devices of one part, and names them once
more as a value. On one PostgreSQL it takes any devices, and the value is null.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from cymba.database import BoundedConnection

Part = Sequence[str] | None
"""The devices of a statement that lie in one part; None: on one PostgreSQL."""


def of_part(column: str) -> str:
    """A condition of SQL on the column with the device, by the value `part`."""
    return f"(CAST(:part AS text[]) IS NULL OR {column} = ANY (CAST(:part AS text[])))"


def parts(line: psycopg.Connection[Any], device_ids: Iterable[str]) -> list[Part]:
    """The devices by the part that they lie in, in one order everywhere."""
    if not _is_laid(line):
        return [None]
    with line.cursor(row_factory=tuple_row) as cursor:
        return [found for (found,) in cursor.execute(_PARTS, [list(device_ids)], prepare=True)]


def _is_laid(line: psycopg.Connection[Any]) -> bool:
    assert isinstance(line, BoundedConnection)  # noqa: S101 - for mypy
    if line.lies_in_parts is None:
        with line.cursor(row_factory=tuple_row) as cursor:
            (line.lies_in_parts,) = cursor.execute(_IS_LAID).fetchone() or (False,)
    return bool(line.lies_in_parts)


_IS_LAID = "SELECT to_regproc('get_shard_id_for_distribution_column') IS NOT NULL"
_PARTS = """
    SELECT array_agg(d ORDER BY d) FROM unnest(%s::text[]) AS d
    GROUP BY get_shard_id_for_distribution_column('frame', d)
    ORDER BY get_shard_id_for_distribution_column('frame', d)
"""
