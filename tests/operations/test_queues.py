"""What waits is told with the age that is known for sure, and read by indexes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from cymba.operations import devices, queues
from cymba.operations.queues import Queue

NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)


def ago(**spell: float) -> datetime:
    return NOW - timedelta(**spell)


def put(session: Session, statement: str, **values: Any) -> None:
    session.execute(text(statement), values)


EXTENT = """
    INSERT INTO session_extent (device_id, sid, store, low_seq, high_seq, low_boot, high_boot,
                                last_received_at, due_at, dirty)
    VALUES (:device, gen_random_uuid(), 7, 1, 9, 1, 1, :came, :due, :dirty)
"""


def test_a_session_waits_from_when_it_was_due_and_its_last_frame_came(
    session: Session, device: str
) -> None:
    def extent(came: datetime, due: datetime, *, dirty: bool = True) -> None:
        put(session, EXTENT, device=device, came=came, due=due, dirty=dirty)

    assert queues.sessions_to_summarise(session, NOW) == Queue(0, None)
    extent(ago(hours=9), ago(hours=9), dirty=False)  # is summarised
    extent(ago(seconds=2), NOW + timedelta(seconds=8))  # rests
    extent(ago(days=9), ago(seconds=3))  # runs, and is due for 3 s
    assert queues.sessions_to_summarise(session, NOW) == Queue(1, ago(seconds=3))
    extent(ago(minutes=5), datetime.fromtimestamp(0, UTC))  # its end came
    assert queues.sessions_to_summarise(session, NOW) == Queue(2, ago(minutes=5))
    extent(ago(minutes=7), NOW + timedelta(days=1))  # put off by a clock that was ahead
    assert queues.sessions_to_summarise(session, NOW).waiting == 3


def test_findings_wait_from_the_oldest_change_that_is_not_in_them(
    session: Session, account_id: UUID
) -> None:
    put(session, "UPDATE account SET change_counter = 3 WHERE id = :a", a=account_id)
    for number, at in enumerate((ago(days=2), ago(minutes=9), ago(minutes=1)), 1):
        put(
            session,
            "INSERT INTO change AS made (account_id, kind, entity_id, number, deleted, changed_at)"
            " VALUES (:a, 'session', CAST(:n AS text), :n, false, :at)",
            a=account_id, n=number, at=at,
        )  # fmt: skip
    assert queues.accounts_to_compute(session, NOW) == Queue(0, None)  # who has not agreed
    put(
        session,
        "INSERT INTO consent (id, account_id, purpose, text_version, text_sha256, given_at)"
        " VALUES (gen_random_uuid(), :a, 'insights', 1, '', :at)",
        a=account_id, at=ago(days=3),
    )  # fmt: skip
    assert queues.accounts_to_compute(session, NOW) == Queue(1, ago(days=2))
    put(
        session,
        "INSERT INTO insight_state VALUES (:a, 1, '', '', :at)",
        a=account_id, at=ago(days=1),
    )  # fmt: skip
    assert queues.accounts_to_compute(session, NOW) == Queue(1, ago(minutes=9))
    put(session, "UPDATE insight_state SET at_change = 3")
    assert queues.accounts_to_compute(session, NOW) == Queue(0, None)


MAIL = """
    INSERT INTO outgoing_mail (id, recipient, subject, body, tries, next_try_at, sent_at)
    VALUES (gen_random_uuid(), 'a@example.org', '', '', :tries, :due, :sent)
"""


def test_mails_and_programmes_wait_from_when_they_are_due(session: Session, device: str) -> None:
    put(session, MAIL, tries=1, due=ago(days=1), sent=ago(days=1))
    put(session, MAIL, tries=12, due=ago(days=1), sent=None)  # given up
    put(session, MAIL, tries=3, due=NOW + timedelta(hours=6), sent=None)  # refused, tried later
    assert queues.mails_to_send(session, NOW) == Queue(0, None)
    put(session, MAIL, tries=0, due=ago(minutes=2), sent=None)
    assert queues.mails_to_send(session, NOW) == Queue(1, ago(minutes=2))
    assert queues.programmes_to_publish(session, NOW) == Queue(0, None)
    for ver, published in ((1, NOW), (2, None), (3, None)):
        put(session, PROGRAMME, device=device, ver=ver, at=ago(minutes=9 - ver), sent=published)
    assert queues.programmes_to_publish(session, NOW) == Queue(1, ago(minutes=7))


PROGRAMME = """
    INSERT INTO device_programme (device_id, ver, programme, limits, signature, created_at,
                                  published_at)
    VALUES (:device, :ver, '{}', '{}', '', :at, :sent)
"""


def test_what_is_not_known_is_no_age_below_zero() -> None:
    assert Queue(0, None).oldest_s(NOW) == 0
    assert Queue(1, None).oldest_s(NOW) == 0  # a new method, by which all are due
    assert Queue(1, NOW + timedelta(hours=1)).oldest_s(NOW) == 0  # another clock is ahead
    assert Queue(1, ago(seconds=9)).oldest_s(NOW) == 9


# What is done with: it grows with the years, and none of it waits.
DONE_WITH = """
    INSERT INTO session_extent (device_id, sid, store, low_seq, high_seq, low_boot, high_boot,
                                last_received_at, dirty, sealed)
    SELECT :device, gen_random_uuid(), 7, n, n + 3, 1, 1, :at, false, true
    FROM generate_series(1, 6000) AS n;
    INSERT INTO quarantine (device_id, code, detail, payload, digest, times_seen, received_at,
                            replayed_at)
    SELECT :device, 'schema', '', '', CAST(CAST(n AS text) AS bytea), 1, :at, :at
    FROM generate_series(1, 6000) AS n;
    INSERT INTO outgoing_mail (id, recipient, subject, body, tries, next_try_at, sent_at)
    SELECT gen_random_uuid(), 'a@example.org', '', '', 1, :at, :at
    FROM generate_series(1, 6000);
    INSERT INTO device_programme (device_id, ver, programme, limits, signature, created_at,
                                  published_at)
    SELECT :device, n, '{}', '{}', '', :at, :at FROM generate_series(1, 6000) AS n;
    INSERT INTO change AS made (account_id, kind, entity_id, number, deleted, changed_at)
    SELECT :account, 'session', CAST(n AS text), n, false, :at FROM generate_series(1, 6000) AS n;
    INSERT INTO consent (id, account_id, purpose, text_version, text_sha256, given_at)
    VALUES (gen_random_uuid(), :account, 'insights', 1, '', :at);
    INSERT INTO insight_state VALUES (:account, 6000, '', '', :at);
    UPDATE account SET change_counter = 6001 WHERE id = :account;
    INSERT INTO stimulation_session (
      id, device_id, sid, state, started_at, ended_at, time_zone, time_source, time_error_ms,
      frames_stored, sample_count, contact_lost_s, event_count, boots, excluded, version,
      changed_at)
    SELECT gen_random_uuid(), :device, gen_random_uuid(), 'ended', at, at, 'UTC', 'anchored', 5, 4,
           4, 0, 0, '[]', false, 1, at
    FROM (SELECT CAST(:at AS timestamptz) - n * interval '1 minute' AS at
          FROM generate_series(6000, 1, -1) AS n) AS made;
    SELECT brin_summarize_new_values('ix_stimulation_session_began')
"""
GROWING = {
    "session_extent", "quarantine", "outgoing_mail", "device_programme", "change",
    "stimulation_session",
}  # fmt: skip


@pytest.fixture
def _years(engine: Engine, session: Session, account_id: UUID, device: str) -> None:
    for statement in DONE_WITH.split(";"):
        values = {"device": device, "account": account_id, "at": ago(days=30)}
        put(session, statement, **values)
    session.commit()
    with engine.connect() as own:
        own.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


@pytest.mark.usefixtures("_years")
def test_what_is_done_with_is_not_read(engine: Engine, session: Session) -> None:
    read: dict[str, set[str]] = {}

    def explain(_connection: Connection, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        with cursor.connection.cursor() as other:
            other.execute(f"EXPLAIN (FORMAT JSON) {statement}", values)
            read[statement] = GROWING & set(scanned(other.fetchone()[0][0]))

    event.listen(engine, "before_cursor_execute", explain)
    for fact in (*queues.QUEUES.values(), queues.quarantine, devices.recent_sessions):
        fact(session, NOW)
    event.remove(engine, "before_cursor_execute", explain)
    assert len(read) == len(queues.QUEUES) + 2
    assert {statement: tables for statement, tables in read.items() if tables} == {}


def scanned(plan: Any) -> list[str]:
    """The tables that are read from their first row to the last."""
    if isinstance(plan, list):
        return [name for one in plan for name in scanned(one)]
    if not isinstance(plan, dict):
        return []
    here = [plan["Relation Name"]] if plan.get("Node Type") == "Seq Scan" else []
    return here + [name for one in plan.values() for name in scanned(one)]
