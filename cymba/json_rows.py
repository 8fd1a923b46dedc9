"""Rows that PostgreSQL writes as JSON, as they are to be sent: no row becomes an object here."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, Text, cast, func

ShownAs = Callable[[str, ColumnElement[Any]], ColumnElement[Any]]
"""Gives a column as it is to be written in JSON, by the name of the field."""


def json_of(row: Any) -> ColumnElement[str]:
    """A row of a query, by the names of its columns."""
    return cast(func.row_to_json(row.table_valued()), Text).label("json")


def materialized(query: Select[*tuple[Any, ...]], name: str) -> CTE:
    return query.cte(name).prefix_with("MATERIALIZED")
