"""A database that fails at each statement of an action in turn, and at its commit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError, OperationalError


@dataclass
class StatementFault:
    """Strikes at the `at`th statement or commit; `struck` is which one that was."""

    at: int
    seen: int = 0
    struck: str | None = None

    def pass_by(self, statement: str) -> None:
        self.seen += 1
        if self.seen == self.at:
            self.struck = statement
            raise OperationalError(
                statement, {}, psycopg.OperationalError("the connection is lost")
            )


@contextmanager
def failing(engine: Engine, at: int) -> Iterator[StatementFault]:
    fault = StatementFault(at)

    def before_statement(*args: Any) -> None:
        fault.pass_by(args[2])

    def before_commit(_connection: Any) -> None:
        fault.pass_by("COMMIT")

    event.listen(engine, "before_cursor_execute", before_statement)
    event.listen(engine, "commit", before_commit)
    try:
        yield fault
    finally:
        event.remove(engine, "before_cursor_execute", before_statement)
        event.remove(engine, "commit", before_commit)


def fail_each_statement(
    engine: Engine,
    act: Callable[[], object],
    state: Callable[[], object],
    *,
    holds: Callable[[], object] = lambda: None,
) -> None:
    """Try `act` until it is done, with a fault at its first statement, its second and so on.

    After each fault `state` must be as it was before, and in the end another; `holds` asserts what
    must be true at every point. An `act` over HTTP is answered with a problem, others raise.
    """
    before = state()
    for at in count(1):
        with failing(engine, at) as fault, suppress(DBAPIError):
            act()
        holds()
        if fault.struck is None:
            break
        assert state() == before, f"half done when statement {at} failed: {fault.struck}"
    assert at > 2, "nothing was written together"
    assert state() != before
