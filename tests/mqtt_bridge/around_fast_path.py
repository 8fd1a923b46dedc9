"""The moments before and after the fast path's one statement, for tests that lose it there."""

from collections.abc import Callable
from typing import Any

import pytest

from cymba.database import Prepared


def around_fast_path(
    monkeypatch: pytest.MonkeyPatch,
    *,
    before: Callable[[str], None] = lambda _: None,
    after: Callable[[str], None] = lambda _: None,
) -> None:
    """Call these with the fast path's statement, each time that it is executed."""
    rows = Prepared.rows

    def told(statement: Prepared, *line: Any, **given: Any) -> list[tuple[Any, ...]]:
        if "free AS MATERIALIZED" not in statement.sql:
            return rows(statement, *line, **given)
        before(statement.sql)
        found = rows(statement, *line, **given)
        after(statement.sql)
        return found

    monkeypatch.setattr(Prepared, "rows", told)
