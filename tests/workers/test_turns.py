"""One hostile party has hundreds of items, due again after each round; ten others have one each.

Whatever the worker, nobody of the ten waits for more than two rounds, and what the hostile one has
waiting is not even read.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select, text
from sqlalchemy.orm import Session

from cymba.accounts import outbox
from cymba.accounts.tables import OutgoingMail
from cymba.database import UnitOfWork
from cymba.devices.anchors import BootKey
from cymba.insights.findings import accounts_due
from cymba.insights.pair_inputs import METHOD_VERSION
from cymba.settings import Settings
from cymba.stimulation.archive.compaction import sessions_to_compact
from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.ingest.statements import ask_retiming
from cymba.stimulation.session import retiming
from cymba.stimulation.session.retiming import devices_due, mark_retimed
from cymba.stimulation.session.waiting import close_silent, dirty_sessions
from tests.insights.people import enrol
from workers.deliveries import MailSender
from workers.session_worker import SessionWorker
from workers.turns import take_turns

NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)
HOSTILE = "a-hostile-one"  # the first in every order
HONEST = [f"honest-{number:04}" for number in range(10)]
OLD, NEW = NOW - timedelta(days=9), NOW - timedelta(days=3)


@pytest.fixture(autouse=True)
def devices(session: Session) -> None:
    session.execute(
        text("INSERT INTO device (id, serial, model) VALUES (:id, :id, 'sim')"),
        [{"id": device_id} for device_id in (HOSTILE, *HONEST)],
    )
    session.commit()


def extents(
    session: Session, device_id: str, count: int, at: datetime, *, dirty: bool, state: str = ""
) -> None:
    """`count` sessions of the device, without their frames; with `state` also as the app has it."""
    keys = [SessionKey(device_id, uuid4()) for _ in range(count)]
    values = {
        "device": device_id,
        "at": at,
        "dirty": dirty,
        "state": state,
        "sids": [key.sid for key in keys],
        "ids": [key.id for key in keys],
    }
    session.execute(_EXTENTS, values)
    if state:
        session.execute(_SESSIONS, values)
    session.commit()


_EXTENTS = text(
    """
    INSERT INTO session_extent (device_id, sid, store, low_seq, high_seq, low_boot, high_boot,
                                last_received_at, dirty)
    SELECT :device, sid, 7, n, n, n, n, :at, :dirty
    FROM unnest(CAST(:sids AS uuid[])) WITH ORDINALITY AS u (sid, n)
    """
)
_SESSIONS = text(
    """
    INSERT INTO stimulation_session (
      id, device_id, sid, state, started_at, ended_at, time_zone, time_source, time_error_ms,
      frames_stored, frames_expected, sample_count, stimulating_s, contact_lost_s, event_count,
      boots, excluded, version, changed_at)
    SELECT id, :device, sid, :state, :at, :at, 'UTC', 'device_clock', 0, 1, 1, 0, 0, 0, 0, '[]',
           false, 1, :at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:sids AS uuid[])) AS u (id, sid)
    """
)


def devices_where(engine: Engine, condition: str) -> set[str]:
    with engine.connect() as connection:
        rows = text(f"SELECT DISTINCT device_id FROM session_extent WHERE {condition}")  # noqa: S608
        return set(connection.scalars(rows))


def hostile_again(session: Session, change: str) -> None:
    session.execute(
        text(f"UPDATE session_extent SET {change} WHERE device_id = :it"),  # noqa: S608
        {"it": HOSTILE},
    )
    session.commit()


# What the hostile device's sessions are, what makes them due again, and what shows that a device
# was served.
SESSION_WORK: dict[str, tuple[dict[str, Any], str, str]] = {
    "summaries": ({"dirty": True}, "dirty = true", "NOT dirty"),
    "closing": (
        {"dirty": False, "state": "open"},
        "dirty = false",
        "dirty OR due_at > '1971-01-01'",
    ),
    "sealing": ({"dirty": False, "state": "ended"}, "sealed = false", "sealed"),
}


@pytest.mark.parametrize("work", SESSION_WORK)
def test_each_device_has_its_turn_within_two_rounds_of_the_session_worker(
    engine: Engine, session: Session, work: str
) -> None:
    kind, again, served = SESSION_WORK[work]
    extents(session, HOSTILE, 2_500, OLD, **kind)
    for device_id in HONEST:
        extents(session, device_id, 1, NEW, **kind)
    worker = SessionWorker(engine, Settings(), clock=lambda: NOW)
    for _ in range(2):
        worker.run_once()
        hostile_again(session, again)
    assert devices_where(engine, served) >= set(HONEST)


def test_each_device_is_retimed_within_two_rounds_and_a_hostile_one_rests_ever_longer(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retiming, "EXTENTS_AT_ONCE", 50)
    extents(session, HOSTILE, 300, OLD, dirty=False, state="ended")
    for device_id in HONEST:
        extents(session, device_id, 1, NEW, dirty=False, state="ended")
    moment, marked = [NOW], {0: 0}

    def ask(device_ids: list[str]) -> None:
        ask_retiming(session, [BootKey(device_id, 7, 1) for device_id in device_ids])
        session.commit()

    def mark(number: int) -> None:
        for device_id in devices_due(session, moment[0]):
            count = mark_retimed(session, device_id, moment[0])
            session.commit()
            if device_id == HOSTILE:
                marked[number] = marked.get(number, 0) + count

    ask([HOSTILE, *HONEST])
    for _ in range(2):
        mark(0)
        ask([HOSTILE])
    assert devices_where(engine, "dirty") >= set(HONEST)
    for number in range(3_600):  # an hour of two new boots a second
        ask([HOSTILE])
        mark(number)
        moment[0] += timedelta(seconds=1)
    begun = sorted(marked)
    assert len(begun) < 20
    assert begun[-1] - begun[-2] >= 600
    # It ends by itself: quiet for long enough, all of it is marked, and the next time is at once.
    moment[0] += timedelta(hours=1)
    for _ in range(300 // 50 + 1):
        mark(-1)
    assert marked[-1] == 300
    moment[0] += timedelta(hours=1)
    ask([HOSTILE])
    mark(-2)
    ask([HOSTILE])
    moment[0] += retiming.FIRST_WAIT
    mark(-3)
    assert (marked[-2], marked[-3]) == (50, 50)


def test_each_recipient_has_a_mail_within_two_rounds(engine: Engine, session: Session) -> None:
    def enqueue(recipient: str, count: int, at: datetime) -> None:
        for _ in range(count):
            outbox.enqueue(session, account_id=None, recipient=recipient, subject="s", body="b")
        session.flush()
        session.execute(
            text("UPDATE outgoing_mail SET next_try_at = :at WHERE recipient = :to"),
            {"at": at, "to": recipient},
        )
        session.commit()

    enqueue("a@hostile.example", 300, OLD)
    for number in range(10):
        enqueue(f"{number}@example.org", 1, NEW)
    sender = MailSender(engine, "x@y.example", lambda _: None, clock=lambda: NOW)
    for _ in range(2):
        sender.run_once()
        enqueue("a@hostile.example", 30, OLD)
    with UnitOfWork(engine) as own:
        waiting = select(OutgoingMail.recipient).where(OutgoingMail.sent_at.is_(None)).distinct()
        assert set(own.scalars(waiting)) == {"a@hostile.example"}


def test_an_account_that_changes_all_the_time_has_one_turn_in_each_of_the_others(
    session: Session,
) -> None:
    hostile, *honest = [enrol(session) for _ in range(11)]
    changed = text("UPDATE account AS a SET change_counter = change_counter + 1 WHERE id = :id")
    computed = text(
        """
        INSERT INTO insight_state (account_id, at_change, input_hash, method_version, computed_at)
        SELECT id, change_counter, '', :version, :at FROM account WHERE id = :id
        ON CONFLICT (account_id) DO UPDATE
          SET at_change = excluded.at_change, computed_at = excluded.computed_at
        """
    )
    served, now = [], NOW
    session.execute(changed, {"id": hostile})
    for number in range(22):
        (account_id,) = accounts_due(session, limit=1)
        session.execute(computed, {"id": account_id, "version": METHOD_VERSION, "at": now})
        served.append(account_id)
        now += timedelta(seconds=1)
        session.execute(changed, {"id": hostile})
        if number == 10:  # the others have something new, too
            for one in honest:
                session.execute(changed, {"id": one})
    assert set(served[:11]) == {hostile, *honest}
    assert set(served[11:]) == {hostile, *honest}


def blocks_read(session: Session, ask: Callable[[], Any]) -> int:
    """How many pages the statement of `ask` touches, found, missed or written."""
    seen: list[int] = []

    def explain(_connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if "RECURSIVE" in statement or "looked_at" in statement:
            with cursor.connection.cursor() as other:
                other.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", values)
                (plan,) = other.fetchone()[0]
                whole = plan["Plan"]
                seen.append(whole["Shared Hit Blocks"] + whole["Shared Read Blocks"])

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", explain)
    ask()
    event.remove(connection, "before_cursor_execute", explain)
    session.rollback()
    (blocks,) = seen
    return blocks


def test_what_a_hostile_party_has_waiting_is_not_read(session: Session) -> None:
    """Ten times as many of its rows make the reading of a round no larger."""
    asks: dict[str, Callable[[], Any]] = {
        "summaries": lambda: dirty_sessions(session, NOW),
        "closing": lambda: close_silent(session, NOW),
        "sealing": lambda: sessions_to_compact(session, NOW),
        "retiming": lambda: mark_retimed(session, HOSTILE, NOW),
        "mail": lambda: outbox.due(session, now=NOW, limit=20, each=5),
    }

    def add(count: int) -> None:
        for device_id, one in ((HOSTILE, count), *((device_id, 1) for device_id in HONEST)):
            extents(session, device_id, one, OLD, dirty=True)
            extents(session, device_id, one, OLD, dirty=False, state="ended")
            extents(session, device_id, one, OLD, dirty=False, state="open")
        session.execute(
            text(
                """
                INSERT INTO outgoing_mail (id, recipient, subject, body, tries, next_try_at)
                SELECT gen_random_uuid(), 'a@hostile.example', 's', 'b', 0, :at
                FROM generate_series(1, :count)
                """
            ),
            {"count": count, "at": OLD},
        )
        ask_retiming(session, [BootKey(HOSTILE, 7, 1)])
        session.commit()
        with session.get_bind().connect() as own:
            own.execution_options(isolation_level="AUTOCOMMIT").execute(
                text("VACUUM ANALYZE session_extent, stimulation_session, outgoing_mail, device")
            )

    add(2_000)
    few = {name: blocks_read(session, ask) for name, ask in asks.items()}
    add(18_000)
    many = {name: blocks_read(session, ask) for name, ask in asks.items()}
    assert {name: (few[name], many[name]) for name in asks if many[name] > 3 * few[name]} == {}


@given(
    counts=st.lists(st.integers(0, 30), max_size=6),
    most=st.integers(1, 50),
    share=st.floats(0, 10),
    costs=st.lists(st.floats(0, 5), min_size=1, max_size=7),
)
def test_nobodys_second_is_taken_before_anybodys_first(
    counts: list[int], most: int, share: float, costs: list[float]
) -> None:
    items = [(whose, number) for whose, count in enumerate(counts) for number in range(count)]

    def cost(item: tuple[int, int]) -> float:
        return costs[item[1] % len(costs)]

    taken = take_turns(items, lambda item: item[0], most=most, cost=cost, share=share)
    assert len(taken) == len(set(taken)) <= most
    numbers = [number for _, number in taken]
    first = {whose for whose, number in taken if number == 0}
    assert len(first) == min(most, sum(count > 0 for count in counts))
    for whose in first:
        own = [item for item in taken if item[0] == whose]
        assert sum(map(cost, own[1:])) <= share
    assert numbers[: len(first)] == [0] * len(first)
