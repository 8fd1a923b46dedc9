from typing import Any

from sqlalchemy import Engine, event

from cymba.accounts.address_directory import count_missing
from cymba.accounts.profile import enter
from cymba.database import UnitOfWork


def test_who_signs_up_while_the_rows_are_counted_is_not_missing(engine: Engine) -> None:
    came: list[str] = []

    def come(*given: Any) -> None:
        if "account_address" in given[2] and not came:
            came.append("ada@example.org")
            with UnitOfWork(engine) as session, session.begin():
                enter(session, came[0])

    with UnitOfWork(engine) as session:
        event.listen(session.connection(), "before_cursor_execute", come)
        assert count_missing(session) == 0
    assert came
