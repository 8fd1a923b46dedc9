"""Any number of people, made by the database itself: each with one device and what it recorded.

All have the same, so that what a request of one touches can be compared with many and few others.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import text

from cymba.database import UnitOfWork

BEGIN, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
SESSION_SEQS = 100  # of which each session has its own
UPLOADED = "int8multirange(int8range(1, 9), int8range(12, CAST(:sessions AS int) * 100 + 1))"
# A person for each number from `low` to `high`. A day is that of a session, counted from 1.
PEOPLE = f"""
WITH person AS (
  INSERT INTO account (id, email, name, time_zone, locale, role, version, change_counter)
  SELECT gen_random_uuid(), n || '@example.org', '', 'UTC', 'en', 'person', 1,
         1 + CAST(:sessions AS int) + CAST(:entries AS int)
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
  INSERT INTO flash_store (device_id, store, resolved) SELECT id, 1, {UPLOADED} FROM made
), placed AS (
  INSERT INTO clock_anchor (device_id, store, boot, kind, up_ms, wall_at, error_ms)
  SELECT id, 1, boot, 'queued', 1, :begin, 0 FROM made, generate_series(1, 3) AS boot
), said AS MATERIALIZED (
  SELECT person.id AS account_id, gen_random_uuid() AS id, number
  FROM person, generate_series(1, CAST(:entries AS int)) AS number
), rated AS (
  INSERT INTO diary_entry (account_id, id, written_at, version, field_versions, felt_at, time_zone,
                           items)
  SELECT account_id, id, :begin, 1, '{{}}',
         CAST(:begin AS timestamptz) + (number - 1) * interval '8 hours', 'UTC',
         '{{"pain_now": 3, "mood": 5, "fatigue": 4}}'
  FROM said
), noted AS (
  INSERT INTO remark (account_id, id, written_at, version, field_versions, what, said_of, time_zone)
  SELECT id, gen_random_uuid(), :begin, 1, '{{}}', 'no_session', :begin, 'UTC' FROM person
), wrote AS (
  INSERT INTO written_session (account_id, id, written_at, version, field_versions, recorder, model,
                               started_at, time_zone, duration_s, excluded)
  SELECT id, gen_random_uuid(), :begin, 1, '{{}}', 'person', 'ear_clip', :begin, 'UTC', 600, false
  FROM person
), found AS (
  INSERT INTO finding (account_id, exposure, outcome, lag, tier, grade, reasons, milestone,
                       pairs_now, days, exposure_coverage, outcome_coverage, looks, method_version,
                       input_hash, version, changed_at)
  SELECT person.id, exposure, outcome, lag, 'exploratory', 'collecting', '[]', 0, 1, 1, 1, 1, '[]',
         '1', '', 1, :begin
  FROM person, (
    SELECT exposure, outcome, lag
    FROM unnest(ARRAY['charge', 'sessions', 'minutes']) AS exposure,
         unnest(ARRAY['pain_now', 'mood', 'fatigue']) AS outcome, generate_series(0, 3) AS lag
    LIMIT CAST(:findings AS int)) AS pair
), computed AS (
  INSERT INTO insight_state (account_id, at_change, input_hash, method_version, computed_at)
  SELECT id, 0, '', '1', :begin FROM person
), recorded AS MATERIALIZED (
  SELECT gen_random_uuid() AS id, gen_random_uuid() AS sid, made.id AS device_id,
         person.id AS account_id, day,
         CAST(:begin AS timestamptz) + day * interval '1 day' AS started_at
  FROM made JOIN person ON person.n = made.serial,
       generate_series(1, CAST(:sessions AS int)) AS day
), lies AS (
  INSERT INTO session_extent (device_id, sid, store, low_seq, high_seq, low_boot, high_boot, dirty,
                              sealed, last_received_at)
  SELECT device_id, sid, 1, (day - 1) * {SESSION_SEQS} + 1, day * {SESSION_SEQS}, 1, 1, false, true,
         started_at
  FROM recorded
), told AS (
  INSERT INTO change AS made_before (account_id, kind, entity_id, number, deleted)
  SELECT person.id, 'device', made.id, 1, false
  FROM made JOIN person ON person.n = made.serial
  UNION ALL SELECT account_id, 'session', CAST(id AS text), 1 + day, false FROM recorded
  UNION ALL
  SELECT account_id, 'diary-entry', CAST(id AS text), 1 + CAST(:sessions AS int) + number, false
  FROM said
)
INSERT INTO stimulation_session (id, device_id, sid, account_id, state, started_at, ended_at,
    time_zone, time_source, time_error_ms, frames_stored, frames_expected, completeness,
    sample_count, stimulating_s, contact_lost_s, delivered_charge_uc, event_count, boots, excluded,
    version, changed_at)
SELECT id, device_id, sid, account_id, 'ended', started_at, started_at, 'UTC', 'arrival', 0, 1, 1,
       1, 0, 600, 0, 7500, 0, '[1]', false, 1, :begin
FROM recorded
"""  # noqa: S608 - our own numbers


class EachHas(NamedTuple):
    """What each person has."""

    sessions: int = 4
    entries: int = 1
    findings: int = 1


USUAL = EachHas()


def add_people(
    session: UnitOfWork, low: int, high: int, kept: EachHas = USUAL, *, begin: datetime = BEGIN
) -> None:
    """Whom no trigger sees: references are looked up row by row, which is most of the time that the
    rows take."""
    session.execute(text("SET LOCAL session_replication_role = replica"))
    numbers = {"low": low, "high": high, "begin": begin, "end": END}
    session.execute(text(PEOPLE), numbers | kept._asdict())
