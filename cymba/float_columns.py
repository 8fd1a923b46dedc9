"""Columns of floats that PostgreSQL sends as the bytes of a whole group of rows.

As JSON they cost the server three times as much, and the reader ten times.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Float, LargeBinary, cast, func, literal_column
from sqlalchemy.sql.elements import SQLCoreOperations

Floats = NDArray[np.float64]

_NULL: ColumnElement[float] = literal_column("CAST('NaN' AS float8)")
_NOTHING: ColumnElement[bytes] = literal_column("CAST('' AS bytea)")


def float_column(value: SQLCoreOperations[Any]) -> ColumnElement[bytes]:
    """An aggregate, which `read_floats` reads. Columns of one group are in the same order."""
    sent = func.float8send(func.coalesce(cast(value, Float(53)), _NULL), type_=LargeBinary())
    return joined(sent)


def joined(sent: SQLCoreOperations[bytes]) -> ColumnElement[bytes]:
    """An aggregate: the bytes of a group's rows, one after the other."""
    return func.string_agg(sent, _NOTHING, type_=LargeBinary())


def read_floats(column: bytes) -> Floats:
    """NaN stands for null."""
    return np.frombuffer(column, dtype=">f8").astype(np.float64)
