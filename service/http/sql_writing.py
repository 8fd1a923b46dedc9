"""Columns as a schema writes them (`writing`), for JSON that PostgreSQL makes."""

from collections.abc import Callable, Iterable
from typing import Any

import marshmallow as ma
import orjson
from sqlalchemy import ColumnElement, case, func, literal_column
from sqlalchemy.dialects.postgresql import JSONB

from service.http.out import GIVEN
from service.http.rounding import DECISIVE, LARGEST, SCALES


def as_written(
    found: Iterable[dict[str, Any] | str], shown: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[dict[str, Any] | orjson.Fragment]:
    """What PostgreSQL has written goes out as it is; the rest is shown."""
    return [orjson.Fragment(one) if isinstance(one, str) else shown(one) for one in found]


class WrittenInSql:
    """Writes columns by the names of the schema's fields."""

    def __init__(self, schema: type[ma.Schema]) -> None:
        self._fields = schema().fields

    def __call__(self, name: str, column: ColumnElement[Any]) -> ColumnElement[Any]:
        field = self._fields[name]
        if GIVEN in field.metadata or field.attribute or name in DECISIVE:
            raise TypeError(f"{name} is not a column as it is")
        match field:
            case ma.fields.DateTime():
                return func.to_char(func.timezone(_UTC, column), _INSTANT)
            case ma.fields.Float() if name in SCALES:
                return _rounded(column, SCALES[name])
            case ma.fields.Nested() if isinstance(column.type, JSONB):
                return _every_field(field.schema, column)
            case _:
                return column


# Not the connection's zone: behind a pooler that is whatever the role or the server has.
_UTC: ColumnElement[str] = literal_column("'UTC'")
_INSTANT: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""")


def _rounded(column: ColumnElement[Any], scale: float) -> ColumnElement[Any]:
    """As the writer rounds: `round` goes to the even of two in both. NaN becomes null."""
    steps: ColumnElement[float] = literal_column(f"{scale!r}::float8")
    size = func.abs(column)
    return case(
        (size < literal_column(f"{LARGEST!r}::float8"), func.round(column * steps).op("/")(steps)),
        (size < literal_column("'infinity'::float8"), column),
    )


def _every_field(schema: ma.Schema, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A stored object with every field of its schema: null where it was stored without."""
    for name, field in schema.fields.items():
        if name in SCALES or isinstance(field, ma.fields.Nested):
            raise TypeError(f"{name} of a stored object is not written as it is")
    nulls = orjson.dumps(dict.fromkeys(schema.fields)).decode()
    return literal_column(f"CAST('{nulls}' AS jsonb)", JSONB).op("||")(column)
