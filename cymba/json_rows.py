"""Rows that PostgreSQL writes as JSON, as they are to be sent: no row becomes an object here."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import CTE, ColumnElement, Select, Text, cast, func

from cymba.database import columns_of

ShownAs = Callable[[str, ColumnElement[Any]], ColumnElement[Any]]
"""Gives a column as it is to be written in JSON, by the name of the field."""


def json_of(row: Any) -> ColumnElement[str]:
    """A row of a query, by the names of its columns."""
    return cast(func.row_to_json(row.table_valued()), Text).label("json")


def array_as(shape: type[NamedTuple], row: Any) -> ColumnElement[Any]:
    """The columns that a named tuple names, from which msgspec makes it."""
    return func.json_build_array(*columns_of(row, shape))


def materialized(query: Select[*tuple[Any, ...]], name: str) -> CTE:
    return query.cte(name).prefix_with("MATERIALIZED")
