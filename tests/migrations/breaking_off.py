"""An upgrade of one step at most, which the server may break off half way."""

import sys
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


def upgrade(
    engine: Engine, admin: psycopg.Connection[Any], *, until_statement: int = sys.maxsize
) -> bool:
    """Run the next step until the first statement of the step after it, which is not run.

    At `until_statement`, counted over what changes the schema or rows, the server's process is
    terminated before it gets it, and the upgrade ends with the server's word. False where no step
    is left to run.
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
                assert admin.execute(TERMINATE, [line.info.backend_pid]).fetchone() == (True,)

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
