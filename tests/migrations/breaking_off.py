"""An upgrade of one step at most, which may be broken off half way."""

import sys
from typing import Any

from sqlalchemy import Connection, Engine, event

from ops import schema

CHANGES = ("CREATE", "ALTER", "DROP", "UPDATE", "INSERT")


class BrokenOff(Exception):
    pass


def upgrade(engine: Engine, *, until_statement: int = sys.maxsize) -> bool:
    """Run the next step until the first statement of the step after it, which is not run.

    It breaks off at `until_statement` before, counted over what changes the schema or rows. False
    where no step is left to run.
    """
    begun = 0
    is_done = False

    def refuse(_c: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        nonlocal begun
        if statement.lstrip().upper().startswith(CHANGES):
            begun += 1
            if is_done or begun == until_statement:
                raise BrokenOff

    def end_step(_: object) -> None:
        nonlocal is_done
        is_done = True

    event.listen(engine, "before_cursor_execute", refuse)
    try:
        schema.upgrade(engine, on_step=end_step)
    except BrokenOff:
        return True
    else:
        return False
    finally:
        event.remove(engine, "before_cursor_execute", refuse)
