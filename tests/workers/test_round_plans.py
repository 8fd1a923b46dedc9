"""What other people have stored does not slow a round of the session worker: each of its statements
finds its rows by an index, in a database of many sessions."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork
from cymba.settings import Settings
from workers.session_worker import SessionWorker

NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)
# Tables that grow with the people and what they record.
GROWING = {
    "clock_anchor", "device", "device_presence", "device_programme", "device_tenure", "flash_store",
    "frame", "session_extent", "session_sums", "stimulation_session",
}  # fmt: skip
# What others have: devices with 50 compacted sessions each.
OTHERS = """
    INSERT INTO device (id, serial, model) SELECT 'another-' || n, 'O' || n, 'ear_cymba'
    FROM generate_series(1, 400) AS n;
    INSERT INTO device_tenure (id, device_id, account_id, name, version, claimed_at)
    SELECT gen_random_uuid(), 'another-' || n, :account_id, '', 1, :at
    FROM generate_series(1, 400) AS n;
    INSERT INTO flash_store (device_id, store, resolved)
    SELECT 'another-' || n, 7, '{[1,500)}' FROM generate_series(1, 400) AS n;
    INSERT INTO session_extent (device_id, sid, store, low_seq, high_seq, low_boot, high_boot,
                                last_received_at, dirty, sealed)
    SELECT 'another-' || n % 400 + 1, gen_random_uuid(), 7, n, n + 3, 1, 1, :at, false, true
    FROM generate_series(1, 20000) AS n;
    INSERT INTO frame (device_id, store, seq, boot, sid, kind, up_ms, digest, body, received_at)
    SELECT 'another-' || n % 400 + 1, 7, n, 1, gen_random_uuid(), 3, 1, '', '', :at
    FROM generate_series(1, 20000) AS n;
    INSERT INTO clock_anchor (device_id, store, boot, kind, up_ms, wall_at, error_ms)
    SELECT 'another-' || n % 400 + 1, 7, n, 'exchange', 1, :at, 5
    FROM generate_series(1, 20000) AS n;
    INSERT INTO stimulation_session (
      id, device_id, sid, state, started_at, ended_at, time_zone, time_source, time_error_ms,
      frames_stored, sample_count, contact_lost_s, event_count, boots, excluded, version,
      changed_at)
    SELECT gen_random_uuid(), device_id, sid, 'ended', :at, :at, 'UTC', 'anchored', 5, 4, 4, 0, 0,
           '[]', false, 1, :at
    FROM session_extent WHERE sealed;
    INSERT INTO session_sums SELECT id, '' FROM stimulation_session LIMIT 10000
"""


@pytest.fixture
def _many_others(engine: Engine, session: Session, account_id: UUID) -> None:
    session.execute(text("TRUNCATE frame"))
    for statement in OTHERS.split(";"):
        session.execute(text(statement), {"at": NOW, "account_id": account_id})
    session.commit()
    with engine.connect() as own:
        own.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


@contextmanager
def explained(engine: Engine) -> Iterator[dict[str, set[str]]]:
    """By statement, the growing tables that it reads from the first row to the last."""
    found: dict[str, set[str]] = {}

    def explain(_connection: Connection, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
            with cursor.connection.cursor() as other:
                one = values[0] if isinstance(values, list) else values
                other.execute(f"EXPLAIN (FORMAT JSON) {statement}", one)
                found.setdefault(statement, set()).update(scanned(other.fetchone()[0][0]))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def scanned(plan: Any) -> Iterator[str]:
    if isinstance(plan, list):
        for one in plan:
            yield from scanned(one)
    elif isinstance(plan, dict):
        if plan.get("Node Type") == "Seq Scan" and plan["Relation Name"] in GROWING:
            yield plan["Relation Name"]
        for one in plan.values():
            yield from scanned(one)


@pytest.mark.usefixtures("_many_others")
def test_no_statement_of_a_round_reads_what_others_have(
    engine: Engine, session: Session, tape: Any, deliver: Any
) -> None:
    frames = tape().start().samples(amplitude_ua=[1_000] * 3).samples(amplitude_ua=[1_000]).end()
    worker = SessionWorker(engine, Settings(), clock=lambda: NOW)
    with explained(engine) as found:
        for one in frames.frames:  # read whole, folded on, ended and compacted
            with UnitOfWork(engine) as bridge, bridge.begin():
                deliver(bridge, [one])
            worker.run_once()
            session.execute(text("UPDATE session_extent SET due_at = :at WHERE dirty"), {"at": NOW})
            session.commit()
    assert {statement: tables for statement, tables in found.items() if tables} == {}
    assert sum("session_extent" in statement for statement in found) >= 8
