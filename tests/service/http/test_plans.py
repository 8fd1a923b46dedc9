"""Hot reads touch what is the person's own: other people's data makes none of them larger.

Plans and pages are compared, not times: with a hundred devices of others, then with 10,000.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine, func, select, text

from cymba.accounts import consent, tokens
from cymba.database import Prepared, UnitOfWork, line_of
from cymba.devices import anchors, catalogue, claiming
from cymba.insights import findings, inputs, symptoms
from cymba.stimulation.archive import columns, reading
from cymba.stimulation.session import electrode, history, queries, uploads
from cymba.stimulation.tables import AckLedgerRow
from service.resources import sessions

FEW, MANY = 100, 10_000
BEGIN, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
SPAN = {"begin": BEGIN, "end": END}
FIRST = {"after_at": END, "after_id": UUID(int=2**128 - 1)}
BOOTS = {"numbers": [0], "stores": [1], "boots": [1], "with_neighbours": [True], "most": 100}
PAGE = SPAN | FIRST | {"device_id": None, "limit": 51}
HOT: dict[str, tuple[Prepared, dict[str, Any]]] = {
    "a page of sessions": (sessions._pages.statement, PAGE),
    "the caller": (tokens._CALLER, {}),
    "what was done": (history._STATEMENT, SPAN),
    "what is uploaded": (uploads._STATEMENT, {}),
    "what was rated": (symptoms._ENTRIES, SPAN),
    "the consent": (consent._STANDING, {"purpose": "insights"}),
    "the findings": (findings._SHOWN, {}),
    "when they were made": (findings._COMPUTED_AT, {}),
    "sessions for insights": (inputs._SESSIONS, {}),
    "entries for insights": (inputs._ENTRIES, {}),
    "what impedances were": (electrode._STARTS, {"claims": [BEGIN], "most": 200}),
    "when a device began": (anchors._BEGUN, {}),
    "the clocks around boots": (anchors._AROUND, BOOTS),
    "a session": (queries._FOUND, {}),
    "its frames": (reading._BOTH_PLACES, {}),
    "its frames as columns": (columns._BOTH_PLACES, {}),
    "who held devices": (claiming._TENURES, {}),
    "models of devices": (catalogue._BY_DEVICE, {}),
}
EVERYBODYS = "the stores of everybody"
OF_EVERYBODY = select(AckLedgerRow.device_id).where(func.lower(AckLedgerRow.resolved) > 1)
HOT[EVERYBODYS] = (Prepared(OF_EVERYBODY), {})
SMALL = {"device_model"}  # one row a model
# A person for each number, with one device each: 4 sessions, an entry, a finding and a ledger. The
# one who is looked at also has 300 frames that are not in the extent of the session's two.
PEOPLE = """
WITH person AS (
  INSERT INTO account (id, email, name, time_zone, locale, role, version)
  SELECT gen_random_uuid(), n || '@example.org', '', 'UTC', 'en', 'person', 1
  FROM generate_series(CAST(:low AS int), CAST(:high AS int)) AS n
  RETURNING id, split_part(email, '@', 1) AS n
), signed_in AS (
  INSERT INTO refresh_token (id, account_id, family_id, token_hash, expires_at)
  SELECT gen_random_uuid(), id, gen_random_uuid(), decode(md5(n), 'hex'), :end FROM person
), agreed AS (
  INSERT INTO consent (id, account_id, purpose, text_version, text_sha256, given_at)
  SELECT gen_random_uuid(), id, 'insights', 1, '', :begin FROM person
), made AS (
  INSERT INTO device (id, serial, model, erased_ver)
  SELECT 'device-' || lpad(n, 8, '0'), n, 'ear_cymba', 0 FROM person RETURNING id, serial
), held AS (
  INSERT INTO device_tenure (id, device_id, account_id, name, version, claimed_at)
  SELECT gen_random_uuid(), made.id, person.id, '', 1, :begin
  FROM made JOIN person ON person.n = made.serial
), seen AS (
  INSERT INTO device_presence (device_id, online, store, boot, sent_ms, changed_at, seen_at)
  SELECT id, true, 1, 1, 0, :begin, :begin FROM made
), ledger AS (
  INSERT INTO flash_store (device_id, store, resolved) SELECT id, 1, '{[1,9),[12,20)}' FROM made
), placed AS (
  INSERT INTO clock_anchor (device_id, store, boot, kind, up_ms, wall_at, error_ms)
  SELECT id, 1, boot, 'queued', 1, :begin, 0 FROM made, generate_series(1, 3) AS boot
), reaching AS (
  INSERT INTO session_extent (device_id, sid, store, low_seq, high_seq, low_boot, high_boot,
                              dirty, last_received_at)
  SELECT id, CAST(md5(serial) AS uuid), 1, 1, 2, 1, 1, false, :begin FROM made
), framed AS (
  INSERT INTO frame (device_id, store, seq, boot, sid, kind, up_ms, digest, body, received_at)
  SELECT id, 1, seq, 1, CAST(md5(serial) AS uuid), 1, seq, '', '', :begin
  FROM made, generate_series(1, CASE serial WHEN '7' THEN 302 ELSE 2 END) AS seq
), recorded AS (
  INSERT INTO recording (device_id, sid, store, frame_count, sample_count, seqs, digests, body)
  SELECT id, CAST(md5(serial) AS uuid), 1, 1, 1, '{}', '', '' FROM made
), rated AS (
  INSERT INTO diary_entry (account_id, id, written_at, version, field_versions, felt_at, time_zone,
                           items)
  SELECT id, gen_random_uuid(), :begin, 1, '{}', :begin, 'UTC', '{"pain_now": 3}' FROM person
), noted AS (
  INSERT INTO remark (account_id, id, written_at, version, field_versions, what, said_of, time_zone)
  SELECT id, gen_random_uuid(), :begin, 1, '{}', 'no_session', :begin, 'UTC' FROM person
), wrote AS (
  INSERT INTO written_session (account_id, id, written_at, version, field_versions, recorder, model,
                               started_at, time_zone, duration_s, excluded)
  SELECT id, gen_random_uuid(), :begin, 1, '{}', 'person', 'ear_clip', :begin, 'UTC', 600, false
  FROM person
), found AS (
  INSERT INTO finding (account_id, exposure, outcome, lag, tier, grade, reasons, milestone,
                       pairs_now, days, exposure_coverage, outcome_coverage, looks, method_version,
                       input_hash, version, changed_at)
  SELECT id, 'charge', 'pain_now', 1, 'primary', 'collecting', '[]', 0, 1, 1, 1, 1, '[]', '1', '',
         1, :begin FROM person
), computed AS (
  INSERT INTO insight_state (account_id, at_change, input_hash, method_version, computed_at)
  SELECT id, 0, '', '1', :begin FROM person
)
INSERT INTO stimulation_session (id, device_id, sid, account_id, state, started_at, ended_at,
    time_zone, time_source, time_error_ms, frames_stored, sample_count, contact_lost_s, event_count,
    boots, excluded, version, changed_at)
SELECT gen_random_uuid(), made.id, gen_random_uuid(), person.id, 'ended',
       CAST(:begin AS timestamptz) + day * interval '1 day',
       CAST(:begin AS timestamptz) + day * interval '1 day', 'UTC', 'arrival', 0, 1, 0, 0, 0, '[1]',
       false, 1, :begin
FROM made JOIN person ON person.n = made.serial, generate_series(1, 4) AS day
"""


@pytest.fixture
def hundred(engine: Engine) -> Iterator[UnitOfWork]:
    """A hundred people, in a transaction that is rolled back."""
    with UnitOfWork(engine) as session:
        # References are looked up row by row, which is most of the time that the rows take.
        session.execute(text("SET LOCAL session_replication_role = replica"))
        add_people(session, 1, FEW)
        yield session
        session.rollback()


def add_people(session: UnitOfWork, low: int, high: int) -> None:
    session.execute(text(PEOPLE), {"low": low, "high": high, "begin": BEGIN, "end": END})
    session.execute(text("ANALYZE"))


def plans_of(line: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    """The generic plan of each, which a connection keeps, as it ran for one person."""
    (account_id, family_id, session_id, sid) = line.execute(
        "SELECT t.account_id, t.family_id, s.id, CAST(md5('7') AS uuid) FROM refresh_token AS t "
        "JOIN account ON account.id = t.account_id "
        "JOIN stimulation_session AS s ON s.account_id = t.account_id "
        "WHERE email = '7@example.org' LIMIT 1"
    ).fetchone()  # type: ignore[misc]
    device_id = "device-00000007"
    own = {"device_id": device_id, "device_ids": [device_id], "devices": [device_id]}
    own |= {"account_id": account_id, "family_id": family_id}
    own |= {"session_id": session_id, "sid": sid}
    found = {}
    line.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    for name, (statement, given) in HOT.items():
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
    add_people(hundred, FEW + 1, MANY)
    many = plans_of(line)
    found = {name: list(flaws(few[name], plan)) for name, plan in many.items()}
    assert found.pop(EVERYBODYS) != []  # such a one is seen
    assert found == {name: [] for name in found}
