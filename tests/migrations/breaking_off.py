"""An upgrade of one step at most, which the server may break off half way."""

import sys
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from ops import schema

CHANGES = ("CREATE", "ALTER", "DROP", "UPDATE", "INSERT")
GONE_MS = 10_000
TERMINATE = f"SELECT pg_terminate_backend(%s, {GONE_MS})"


class StepDone(Exception):
    pass


def terminate(admin: psycopg.Connection[Any], pid: int) -> None:
    """End a connection at the server; it is gone then."""
    assert admin.execute(TERMINATE, [pid]).fetchone() == (True,)


def upgrade(
    engine: Engine,
    *,
    until_statement: int = sys.maxsize,
    end: Callable[[int], None] = lambda _pid: None,
) -> bool:
    """Run the next step until the first statement of the step after it, which is not run.

    Before `until_statement`, counted over what changes the schema or rows, `end` is called with the
    process of the server that would get it. False where no step is left to run.
    """
    begun = 0
    is_done = False

    def watch(connection: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        nonlocal begun
        if statement.lstrip().upper().startswith(CHANGES):
            begun += 1
            if is_done:
                raise StepDone
            if begun == until_statement:
                line = connection.connection.driver_connection
                assert line is not None
                end(line.info.backend_pid)

    def end_step(_: object) -> None:
        nonlocal is_done
        is_done = True

    event.listen(engine, "before_cursor_execute", watch)
    try:
        schema.upgrade(engine, on_step=end_step)
    except StepDone:
        return True
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.AdminShutdown):
            return True
        raise
    else:
        return False
    finally:
        event.remove(engine, "before_cursor_execute", watch)
