"""Hot reads touch what is the person's own: other people's data makes none of them larger.

Plans and pages are compared, not times: with a hundred devices of others, then with 10,000.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine, func, select, text

from cymba.accounts import consent, tokens
from cymba.database import Prepared, UnitOfWork, line_of
from cymba.devices import anchors, catalogue, claiming, screening
from cymba.insights import findings, inputs, symptoms
from cymba.insights.experiments import before
from cymba.stimulation.archive import columns, reading
from cymba.stimulation.session import electrode, history, queries, uploads
from cymba.stimulation.tables import AckLedgerRow
from cymba.sync import feed
from service.resources import sessions
from service.shapes.feed import FEED_PAGES
from tests.many_people import BEGIN, END, add_people

FEW, MANY = 100, 10_000
SPAN = {"begin": BEGIN, "end": END}
FIRST = {"after_at": END, "after_id": UUID(int=2**128 - 1)}
BOOTS = {"numbers": [0], "stores": [1], "boots": [1], "with_neighbours": [True], "most": 100}
BOOTS |= {"part": None}
PAGE = SPAN | FIRST | {"device_id": None, "limit": 51}
FROM_THE_START = {"after": 0, "seen_to": 0, "left_out": [], "kinds": None, "begins": True}
DEVICE_ID = "device-00000007"
Hot = dict[str, tuple[Prepared, dict[str, Any]]]
HOT: Hot = {
    "a page of sessions": (sessions._pages.statement, PAGE),
    "the caller": (tokens._CALLER, {}),
    "what was done": (history._STATEMENT, SPAN),
    "what is uploaded": (uploads._STATEMENT, {}),
    "what was done and felt": (symptoms._STATEMENT, SPAN),
    "the consent": (consent._STANDING, {}),
    "the latest answers": (screening._LATEST, {}),
    "the red flags": (screening._STANDING, {}),
    "whether there is a trial": (before._HAS_TRIAL, {}),
    "the findings": (findings._SHOWN, {}),
    "when they were made": (findings._COMPUTED_AT, {}),
    "sessions for insights": (inputs._SESSIONS, {}),
    "entries for insights": (inputs._ENTRIES, {}),
    "when electrodes were changed": (electrode._CHANGED, {}),
    "what impedances were": (electrode._STARTS, {"since": [BEGIN], "most": 200, "part": None}),
    "when a device began": (anchors._BEGUN, {}),
    "the clocks around boots": (anchors._AROUND, BOOTS),
    "a session": (queries._FOUND, {}),
    "its frames": (reading._BOTH_PLACES, {}),
    "its frames as columns": (columns._BOTH_PLACES, {}),
    "who held devices": (claiming._TENURES, {}),
    "models of devices": (catalogue._BY_DEVICE, {}),
    "a page of changes": (FEED_PAGES.statement, FROM_THE_START | {"limit": 200}),
    "whether there are changes": (feed._NEWS, {}),
}
EVERYBODYS = "the stores of everybody"
OF_EVERYBODY = select(AckLedgerRow.device_id).where(func.lower(AckLedgerRow.resolved) > 1)
HOT[EVERYBODYS] = (Prepared(OF_EVERYBODY), {})
SMALL = {"device_model", "sync_epoch"}  # one row a model, one row
# Of each device, frames that still come. Of the one who is looked at, 300 more are not in the
# extent of the session's two.
FRAMES = """
WITH made AS (
  SELECT id, serial FROM device WHERE CAST(serial AS int) BETWEEN :low AND :high
), reaching AS (
  INSERT INTO session_extent (device_id, sid, store, low_seq, high_seq, low_boot, high_boot,
                              dirty, last_received_at)
  SELECT id, CAST(md5(serial) AS uuid), 1, 1, 2, 1, 1, false, :begin FROM made
), recorded AS (
  INSERT INTO recording (device_id, sid, store, frame_count, sample_count, seqs, digests, body)
  SELECT id, CAST(md5(serial) AS uuid), 1, 1, 1, '{}', '', '' FROM made
)
INSERT INTO frame (device_id, store, seq, boot, sid, kind, up_ms, digest, body, received_at)
SELECT id, 1, seq, 1, CAST(md5(serial) AS uuid), 1, seq, '', '', :begin
FROM made, generate_series(1, CASE serial WHEN '7' THEN 302 ELSE 2 END) AS seq
"""
# What a first page asks of each person.
OTHERS = """
WITH person AS (
  SELECT account_id, device_id FROM device JOIN device_tenure ON device_id = device.id
  WHERE CAST(serial AS int) BETWEEN :low AND :high
), pruned AS (
  INSERT INTO sync_horizon (account_id, pruned_through) SELECT account_id, 0 FROM person
), answered AS (
  INSERT INTO screening (id, account_id, model, text_version, text_digest, answers, answered_at,
                         expires_at)
  SELECT gen_random_uuid(), account_id, 'ear_cymba', 1, '', '{}', :begin, :begin FROM person
), flagged AS (
  INSERT INTO red_flag (id, account_id, symptom, felt_at, raised_at)
  SELECT gen_random_uuid(), account_id, 'fainting', :begin, :begin FROM person
)
INSERT INTO experiment (id, account_id, device_id, outcome, pairs, block_days, first_day, time_zone,
                        plan, seal, seed, status, version, sealed_at)
SELECT gen_random_uuid(), account_id, device_id, 'mood', 6, 1, '2026-01-01', 'UTC', '{}', '', '',
       'running', 1, :begin
FROM person
"""
OLDER = """
INSERT INTO change AS made_before (account_id, kind, entity_id, number, deleted)
SELECT account_id, 'diary-entry', CAST(gen_random_uuid() AS text), 100 + number, false
FROM device_tenure, generate_series(1, 3000) AS number WHERE device_id = :device_id
"""


@pytest.fixture
def hundred(engine: Engine) -> Iterator[UnitOfWork]:
    """A hundred people, in a transaction that is rolled back."""
    with UnitOfWork(engine) as session:
        add_counted_people(session, 1, FEW)
        yield session
        session.rollback()


def add_counted_people(session: UnitOfWork, low: int, high: int) -> None:
    add_people(session, low, high)
    for more in (FRAMES, OTHERS):
        session.execute(text(more), {"low": low, "high": high, "begin": BEGIN})
    session.execute(text("ANALYZE"))


def plans_of(line: psycopg.Connection[Any], hot: Hot = HOT) -> dict[str, dict[str, Any]]:
    """The generic plan of each, which a connection keeps, as it ran for one person."""
    (account_id, family_id, session_id, sid) = line.execute(
        "SELECT t.account_id, t.family_id, s.id, CAST(md5('7') AS uuid) FROM refresh_token AS t "
        "JOIN account ON account.id = t.account_id "
        "JOIN stimulation_session AS s ON s.account_id = t.account_id "
        "WHERE email = '7@example.org' LIMIT 1"
    ).fetchone()  # type: ignore[misc]
    device_id = DEVICE_ID
    own = {"device_id": device_id, "device_ids": [device_id], "devices": [device_id]}
    own |= {"account_id": account_id, "family_id": family_id}
    own |= {"session_id": session_id, "sid": sid}
    found = {}
    line.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    for name, (statement, given) in hot.items():
        values = statement.values(**own | given)
        key = f"plan_{uuid4().hex}"
        line.execute(f"PREPARE {key} AS {statement.sql}".encode())
        marks = ", ".join(["%s"] * len(values))
        cursor = psycopg.ClientCursor(line)
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {key} ({marks})", values)
        (((whole,),),) = cursor.fetchall()
        found[name] = whole["Plan"]
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for one in plan.get("Plans", ()):
        yield from nodes(one)


def flaws(few: dict[str, Any], many: dict[str, Any]) -> Iterator[str]:
    """What of the plan with many others is larger than one's own data make it."""
    scanned = {one["Relation Name"] for one in nodes(many) if one["Node Type"] == "Seq Scan"}
    if scanned - SMALL:
        yield f"reads all of {scanned - SMALL}"
    rows = max(one["Actual Rows"] * one["Actual Loops"] for one in nodes(many))
    left_out = sum(one.get("Rows Removed by Filter", 0) for one in nodes(many))
    if rows > 20 or left_out > 20:
        yield f"reads {rows} rows and leaves out {left_out} of one who has 4 sessions"
    before, after = (one["Shared Hit Blocks"] + one["Shared Read Blocks"] for one in (few, many))
    # An index of more rows is deeper by a page or two.
    if after > 2 * before + 6:
        yield f"touches {after} pages, and {before} before"


def test_what_others_have_makes_no_hot_read_larger(hundred: UnitOfWork) -> None:
    line = line_of(hundred)
    few = plans_of(line)
    add_counted_people(hundred, FEW + 1, MANY)
    many = plans_of(line)
    found = {name: list(flaws(few[name], plan)) for name, plan in many.items()}
    assert found.pop(EVERYBODYS) != []  # such a one is seen
    assert found == {name: [] for name in found}


def test_a_page_of_changes_reads_no_further_than_it_goes(hundred: UnitOfWork) -> None:
    hundred.execute(text(OLDER), {"device_id": DEVICE_ID})
    hundred.execute(text("ANALYZE change"))
    page = {"a page": (FEED_PAGES.statement, FROM_THE_START | {"after": 100, "limit": 30})}
    for limit, most in ((30, 40), (3000, 3000)):
        page["a page"][1]["limit"] = limit
        plan = plans_of(line_of(hundred), page)["a page"]
        changes = [one for one in nodes(plan) if one.get("Relation Name") == "change"]
        read = sum(one["Actual Rows"] * one["Actual Loops"] for one in changes)
        assert (read >= limit, read <= most) == (True, True)
