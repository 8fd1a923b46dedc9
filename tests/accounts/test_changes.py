"""An announcement is written once, at the end of its transaction, and by no other code."""

import ast
import contextlib
import re
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, event, orm, select, text
from sqlalchemy.orm import Session

from cymba.accounts import audit
from cymba.accounts.audit import Actor
from cymba.accounts.changes import announce, change_counter
from cymba.accounts.tables import Account, AuditEntry, Change
from cymba.database import UnitOfWork
from tests.conftest import followers
from tests.end_to_end.parts import PATIENCE_S

ROOT = Path(__file__).parents[2]
PRODUCT = ("cymba", "service", "mqtt_bridge", "workers", "simulator", "conformance", "ops")


@pytest.fixture
def people(session: Session) -> list[UUID]:
    accounts = [Account(email=f"{name}@example.org") for name in ("ada", "ben")]
    session.add_all(accounts)
    session.commit()
    return sorted(account.id for account in accounts)


def feed(session: Session) -> list[tuple[str, int, bool]]:
    rows = session.execute(
        select(Change.entity_id, Change.number, Change.deleted).order_by(Change.number)
    )
    return [tuple(row) for row in rows]  # type: ignore[misc]


def test_what_comes_after_an_announcement_is_written_before_the_feed(
    session: Session, people: list[UUID]
) -> None:
    statements: list[str] = []
    event.listen(
        session.get_bind(), "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    announce(session, people[0], "session", "a")
    audit.note(session, people[0], Actor("system", "test"), "looked")
    session.commit()
    note, feed_is_written = statements
    assert note.startswith("INSERT INTO audit_entry")
    assert "INSERT INTO change (" in feed_is_written
    assert feed(session) == [("a", 1, False)]


def test_of_one_thing_the_last_announcement_counts(session: Session, people: list[UUID]) -> None:
    announce(session, people[0], "session", "a")
    announce(session, people[0], "session", "b")
    announce(session, people[0], "session", "a", deleted=True)
    session.commit()
    assert feed(session) == [("a", 1, True), ("b", 2, False)]
    assert change_counter(session, people[0]) == 2


def test_a_savepoint_that_is_rolled_back_takes_its_announcements_with_it(
    session: Session, people: list[UUID]
) -> None:
    announce(session, people[0], "session", "before")
    outer = session.begin_nested()
    announce(session, people[0], "session", "outer")
    with session.begin_nested():
        announce(session, people[0], "session", "inner, released")
    outer.rollback()
    with contextlib.suppress(ZeroDivisionError), session.begin_nested():
        announce(session, people[0], "session", "failed")
        raise ZeroDivisionError
    with session.begin_nested():
        announce(session, people[0], "session", "kept")
    session.commit()
    assert [entity_id for entity_id, _, _ in feed(session)] == ["before", "kept"]


def test_a_savepoint_that_the_database_refuses_takes_its_announcements_with_it(
    session: Session, people: list[UUID]
) -> None:
    announce(session, people[0], "session", "before")
    nested = session.begin_nested()
    announce(session, people[0], "session", "refused")
    session.add(AuditEntry(account_id=people[0], actor_kind="nobody", actor_id="", action=""))
    with pytest.raises(Exception, match="actor_kind"):
        session.flush()
    nested.rollback()
    session.commit()
    assert [entity_id for entity_id, _, _ in feed(session)] == ["before"]


@pytest.mark.parametrize("end", [Session.rollback, Session.close])
def test_the_next_transaction_of_a_session_begins_with_nothing(
    session: Session, people: list[UUID], end: Callable[[Session], None]
) -> None:
    session.execute(select(1))
    announce(session, people[0], "session", "a")
    end(session)
    announce(session, people[0], "session", "b")
    session.commit()
    session.commit()
    assert feed(session) == [("b", 1, False)]


def test_an_account_that_is_gone_hears_of_nothing(session: Session, people: list[UUID]) -> None:
    announce(session, people[0], "session", "a")
    announce(session, people[1], "session", "b")
    session.execute(select(text("erase_account(:id)")).params(id=people[0]))
    session.commit()
    assert feed(session) == [("b", 1, False)]


def test_two_that_announce_in_other_orders_do_not_deadlock(
    engine: Engine, people: list[UUID]
) -> None:
    """Each would hold one account and wait for the other, if the announcement took the lock."""
    errors: list[Exception] = []
    both = threading.Barrier(2)

    def write(order: list[UUID]) -> None:
        try:
            for _ in range(30):
                with UnitOfWork(engine) as session, session.begin():
                    for account_id in order:
                        announce(session, account_id, "session", "a")
                    both.wait(PATIENCE_S)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    threads = [threading.Thread(target=write, args=(order,)) for order in (people, people[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with UnitOfWork(engine) as session:
        assert [change_counter(session, account_id) for account_id in people] == [60, 60]


def test_a_session_that_writes_no_feed_takes_no_announcement(
    engine: Engine, people: list[UUID]
) -> None:
    with orm.Session(engine) as session, pytest.raises(TypeError, match="open a UnitOfWork"):
        announce(session, people[0], "session", "a")


def test_the_suite_sees_what_follows_the_feed(engine: Engine, people: list[UUID]) -> None:
    """The watch that every test stands under, tried on a view that writes once more."""
    with UnitOfWork(engine) as session, session.begin():
        announce(session, people[0], "session", "a")
        late = text("UPDATE account SET name = 'late'")
        event.listen(session, "before_commit", lambda late_session: late_session.execute(late))
    assert followers == ["UPDATE account SET name = 'late'"]
    followers.clear()


WRITES_FEED = re.compile(r"insert\(Change\)|insert into change\b|change_counter\s*=", re.IGNORECASE)


def sources() -> list[Path]:
    return [path for name in PRODUCT for path in sorted((ROOT / name).rglob("*.py"))]


def test_nobody_else_writes_the_feed() -> None:
    writers = [
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if WRITES_FEED.search(path.read_text())
    ]
    assert writers == ["cymba/accounts/changes.py"]


def test_every_session_is_a_unit_of_work() -> None:
    """One that is not would write no feed, and look for objects that a DELETE took away."""
    made = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).removeprefix("orm.") in ("Session", "sessionmaker")
    ]
    assert [place.partition(":")[0] for place in made] == ["cymba/database.py"]
