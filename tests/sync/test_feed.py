"""No change is ever missed: real connections, slow transactions, and a reader that never rests."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Cursor
from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.accounts.tables import Account, Change, RefreshToken
from cymba.database import Prepared, UnitOfWork, line_of
from cymba.diary.entries import DiaryEntries
from cymba.diary.tables import DiaryEntry
from cymba.errors import Gone
from cymba.sync.feed import Position, has_news, prune, renew_epoch
from tests.sync.feed_pages import entry_ids, read_feed

entries = DiaryEntries(Ed25519PrivateKey.generate())
WRITERS = 8
WRITES_EACH = 40
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def write(engine: Engine, account_id: UUID, seed: int) -> None:
    """Entries in transactions that take 0–50 ms from first statement to commit."""
    rng = random.Random(seed)
    for _ in range(WRITES_EACH):
        with UnitOfWork(engine) as session, session.begin():
            fields = {"felt_at": NOW, "time_zone": "UTC", "items.mood": rng.randint(0, 10)}
            id_ = uuid4()
            entries.put(session, account_id, id_, fields, match=lambda _: None, now=NOW)
            session.execute(
                text("UPDATE diary_entry SET changed_at = clock_timestamp() WHERE id = :id"),
                {"id": id_},
            )
            time.sleep(rng.uniform(0, 0.05))


def read_while_written(
    engine: Engine, account_id: UUID, read: Callable[[Session], set[UUID]]
) -> set[UUID]:
    writers = [
        threading.Thread(target=write, args=(engine, account_id, seed)) for seed in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    seen: set[UUID] = set()
    while any(writer.is_alive() for writer in writers):
        with UnitOfWork(engine) as session:
            seen |= read(session)
    with UnitOfWork(engine) as session:
        seen |= read(session)
    return seen


def stored(engine: Engine) -> set[UUID]:
    with UnitOfWork(engine) as session:
        return set(session.scalars(select(DiaryEntry.id)))


def test_eight_slow_writers_and_the_feed_misses_nothing(engine: Engine, account_id: UUID) -> None:
    position: Position | None = None

    def read(session: Session) -> set[UUID]:
        nonlocal position
        found: set[UUID] = set()
        more = True
        while more:
            feed = read_feed(session, account_id, position, limit=7)
            position, more = feed.position, feed.more
            found |= set(entry_ids(feed))
            session.rollback()
        return found

    seen = read_while_written(engine, account_id, read)
    assert len(stored(engine)) == WRITERS * WRITES_EACH
    assert stored(engine) - seen == set()


def test_a_cursor_on_updated_at_does_miss_some(engine: Engine, account_id: UUID) -> None:
    """The negative control: the harness notices a feed that skips."""
    since = datetime(1970, 1, 1, tzinfo=UTC)

    def read(session: Session) -> set[UUID]:
        nonlocal since
        rows = session.execute(
            select(DiaryEntry.id, DiaryEntry.changed_at).where(DiaryEntry.changed_at > since)
        ).all()
        since = max([since, *(row.changed_at for row in rows)])
        return {row.id for row in rows}

    seen = read_while_written(engine, account_id, read)
    assert stored(engine) - seen


def test_no_news_costs_indexed_rows_only(
    session: Session, account_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_feed(session, account_id, None)
    session.commit()
    statements: list[str] = []
    rows = Prepared.rows

    def noted(self: Prepared, *args: Any, **given: Any) -> Any:
        statements.append(self.sql)
        return rows(self, *args, **given)

    monkeypatch.setattr(Prepared, "rows", noted)
    event.listen(
        session.get_bind(), "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    account = session.get_one(Account, account_id)
    family = RefreshToken(
        account_id=account.id,
        family_id=uuid4(),
        token_hash=b"x" * 32,
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    session.add(family)
    session.flush()
    statements.clear()
    line = line_of(session)
    assert has_news(line, account_id, family.family_id, first.position) is False
    assert has_news(line, account_id, family.family_id, replace(first.position, number=9)) is True
    assert has_news(line, account_id, uuid4(), first.position) is None
    assert len(statements) == 3
    assert not any("FROM change" in statement for statement in statements)


def change(session: Session, account_id: UUID, entity_id: UUID, *, deleted: bool) -> None:
    announce(session, account_id, "diary-entry", entity_id, deleted=deleted)
    session.commit()


def test_a_first_sync_hears_of_no_tombstone_and_a_later_one_does(
    session: Session, account_id: UUID
) -> None:
    begun = read_feed(session, account_id, None).position
    gone = uuid4()
    change(session, account_id, gone, deleted=True)
    assert read_feed(session, account_id, None).tombstones == []
    assert [stone.entity_id for stone in read_feed(session, account_id, begun).tombstones] == [
        str(gone)
    ]


def test_cursors_older_than_the_pruned_tombstones_have_expired(
    session: Session, account_id: UUID
) -> None:
    begun = read_feed(session, account_id, None).position
    for _ in range(3):
        change(session, account_id, uuid4(), deleted=True)
    latest = read_feed(session, account_id, begun).position
    later = datetime.now(UTC) + timedelta(days=1)
    assert prune(session, before=later, limit=100) == 3
    session.commit()
    assert session.scalar(select(func.count()).select_from(Change)) == 0
    with pytest.raises(Gone) as expiry:
        read_feed(session, account_id, Position(begun.epoch, 1))
    assert expiry.value.code == "cursor-expired"
    assert read_feed(session, account_id, latest).more is False


def test_pruning_reads_tombstones_by_their_age(session: Session, account_id: UUID) -> None:
    """It does not read the whole table for each batch."""
    session.execute(
        text("""
        INSERT INTO change (account_id, kind, entity_id, number, deleted, changed_at)
        SELECT :id, 'diary-entry', n, n, n % 10 = 0, now() - n * interval '1 hour'
        FROM generate_series(1, 30000) AS n"""),
        {"id": account_id},
    )
    session.commit()
    session.execute(text("ANALYZE change"))
    plans: list[str] = []

    def explain(_: object, cursor: Cursor[Any], statement: str, values: Any, *__: object) -> None:
        if "pruned AS" in statement:
            cursor.execute(f"EXPLAIN {statement}", values)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", explain)
    before = datetime.now(UTC) - timedelta(days=1_000)
    assert prune(session, before=before, limit=100) == 100
    (plan,) = plans
    assert "Index Scan using ix_change_tombstone on change" in plan, plan
    assert "Index Cond: (changed_at <" in plan, plan
    assert "Seq Scan on change" not in plan, plan


def test_a_first_reading_of_many_pages_outlives_what_was_forgotten_before_it(
    session: Session, account_id: UUID
) -> None:
    for _ in range(3):
        change(session, account_id, uuid4(), deleted=False)
    change(session, account_id, uuid4(), deleted=True)
    change(session, account_id, uuid4(), deleted=False)
    later = datetime.now(UTC) + timedelta(days=1)
    assert prune(session, before=later, limit=100) == 1
    session.commit()
    read, feed = 0, read_feed(session, account_id, None, limit=1)
    while feed.more:
        read += 1
        feed = read_feed(session, account_id, feed.position, limit=1)
    assert (read, feed.position.number) == (3, 5)
    # What is forgotten while it reads it could have missed.
    begun = read_feed(session, account_id, None, limit=1).position
    change(session, account_id, uuid4(), deleted=True)
    assert prune(session, before=later, limit=100) == 1
    session.commit()
    with pytest.raises(Gone):
        read_feed(session, account_id, begun)


def test_after_a_restore_every_cursor_has_expired(session: Session, account_id: UUID) -> None:
    position = read_feed(session, account_id, None).position
    renew_epoch(session)
    with pytest.raises(Gone):
        read_feed(session, account_id, position)
    assert read_feed(session, account_id, None).position.epoch != position.epoch
