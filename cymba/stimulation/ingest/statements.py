"""The SQL of ingest. Each statement works on a whole batch."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.database import Prepared
from cymba.devices.anchors import BootKey
from cymba.parts import Part, of_part, part_of
from cymba.stimulation.ingest import array_binaries
from cymba.stimulation.ingest.array_binaries import BinaryArray, Field
from cymba.stimulation.ingest.array_literals import integers, multiranges, uuids, words
from cymba.stimulation.ingest.ledgers import AckLedger, StoreKey
from cymba.stimulation.wire.frames import KINDS, NO_UTC, ROW, SHORT_DIGEST_BYTES
from cymba.stimulation.wire.messages import EndFrame
from cymba.stimulation.wire.received import ReceivedFrame
from cymba.stimulation.wire.seq_ranges import SeqRanges


class FrameKey(NamedTuple):
    device_id: str
    store: int
    seq: int


class Found(Enum):
    """Why a resolved number has no content to compare with."""

    ERASED = "erased"  # the session was deleted, and stays deleted
    QUARANTINED = "quarantined"  # nothing was ever stored under it


@dataclass(slots=True)
class QuarantineRow:
    """A row to be written to quarantine."""

    store: int | None
    seq: int | None
    detail: str
    payload: bytes
    received_at: datetime
    times: int = 1


class FrameRun(msgspec.Struct, eq=False, gc=False):
    """Frames of one boot and session of a device, and when each arrived."""

    device_id: str
    received_at: list[datetime]
    frames: list[ReceivedFrame]
    ledger: int  # for `write_free_numbers` alone


@dataclass(slots=True)
class Batch:
    """The rows that one transaction writes."""

    runs: list[FrameRun] = field(default_factory=list)
    refusals: dict[tuple[str, str, bytes], QuarantineRow] = field(default_factory=dict)

    def store(self, device_id: str, frame: ReceivedFrame, received_at: datetime) -> None:
        self.runs.append(FrameRun(device_id, [received_at], [frame], 0))

    def refuse(self, device_id: str, code: str, digest: bytes, refusal: QuarantineRow) -> None:
        known = self.refusals.setdefault((device_id, code, digest), refusal)
        if known is not refusal:
            known.times += 1
            known.received_at = min(known.received_at, refusal.received_at)


def write(session: Session, batch: Batch, ledgers: Mapping[StoreKey, AckLedger]) -> None:
    """Write the batch. Its `ledgers` are locked and hold its outcome."""
    changed = {key: ledger for key, ledger in ledgers.items() if ledger.changed}
    values = _ledger_columns(changed)
    if batch.runs:
        session.execute(_WRITE_FRAMES, values | _frame_columns(batch.runs))
    elif changed:
        session.execute(_WRITE_LEDGERS, values)
    if batch.refusals:
        session.execute(
            _WRITE_QUARANTINE,
            [
                {
                    "device": device_id,
                    "code": code,
                    "digest": digest,
                    "store": refusal.store,
                    "seq": refusal.seq,
                    "detail": refusal.detail,
                    "payload": refusal.payload,
                    "times": refusal.times,
                    "received_at": refusal.received_at,
                }
                # The same order everywhere, so that two bridges never deadlock.
                for (device_id, code, digest), refusal in sorted(
                    batch.refusals.items(), key=lambda item: item[0]
                )
            ],
        )


class NewNumbers(msgspec.Struct, gc=False):
    """The numbers of a store that a batch brings, in PostgreSQL's notation."""

    device_id: str
    store: int
    numbers: str


def write_free_numbers(
    line: psycopg.Connection[Any], runs: Sequence[FrameRun], ledgers: Sequence[NewNumbers]
) -> list[tuple[int, SeqRanges]]:
    """Write the frames of each store in which all its new numbers are free and whose device is
    held. Return the ledgers of these stores as they are then, each with its place in `ledgers`;
    nothing is written for the others.

    Each of the `runs` names its store by its place in `ledgers`, from 1. The statement itself
    locks the ledgers, in the order of `lock_ledgers`. If another transaction changes one meanwhile,
    PostgreSQL compares it again once that transaction has ended.
    """
    device_ids = [ledger.device_id for ledger in ledgers]
    values = _frame_columns(runs) | {
        "ledger_device": words(device_ids),
        "ledger_store": integers([ledger.store for ledger in ledgers]),
        "ledger_numbers": multiranges([ledger.numbers for ledger in ledgers]),
        "part": part_of(line, device_ids),
    }
    rows = _WRITE_FREE_NUMBERS.rows(line, **values)
    return [(place - 1, SeqRanges(resolved)) for place, resolved in rows]


def _ledger_columns(ledgers: Mapping[StoreKey, AckLedger]) -> dict[str, Any]:
    return {
        "ledger_device": words([key.device_id for key in ledgers]),
        "ledger_store": integers([key.store for key in ledgers]),
        "ledger_resolved": multiranges([ledger.resolved for ledger in ledgers.values()]),
    }


def _frame_columns(runs: Sequence[FrameRun]) -> dict[str, BinaryArray]:
    frames = [frame for run in runs for frame in run.frames]
    counts = [len(run.frames) for run in runs]
    return array_binaries.columns_of_rows([frame.row for frame in frames], _ROW) | {
        "ledger": array_binaries.runs_of_integers([run.ledger for run in runs], counts),
        "device": array_binaries.runs_of_texts([run.device_id for run in runs], counts),
        "body": array_binaries.byte_strings([frame.body for frame in frames]),
        "received_at": array_binaries.times([at for run in runs for at in run.received_at]),
    }


def _field(name: str, code: str) -> Field:
    """The column of `frames.ROW`, as the database has it."""
    item_type = _TYPES.get(name, array_binaries.BIG_INTEGER)
    null = NO_UTC.to_bytes(8, signed=True) if name == "utc_ms" else None
    return Field(name, struct.calcsize(f">{code}"), item_type, null)


_TYPES = {
    "kind": array_binaries.SMALL_INTEGER,
    "sid": array_binaries.UUID,
    "digest": array_binaries.BYTES,
}
_ROW = [_field(name, code) for name, code in ROW]


def held_contents(session: Session, keys: Mapping[FrameKey, UUID]) -> dict[FrameKey, bytes | Found]:
    """The digests stored under resolved numbers. `keys` gives the session that each frame names.
    The ledgers are locked, so nothing moves meanwhile."""
    found: dict[FrameKey, bytes | Found] = {}
    part = part_of(session, (key.device_id for key in keys))
    for device_id, store, seq, digest in session.execute(_IN_INBOX, _columns(keys, part)):
        found[FrameKey(device_id, store, seq)] = digest
    missing = {key: sid for key, sid in keys.items() if key not in found}
    if missing:
        of_session = _columns(missing, part) | {"sids": uuids(missing.values())}
        found |= _in_recordings(session.execute(_IN_RECORDINGS_OF_SESSIONS, of_session), missing)
        missing = {key: sid for key, sid in missing.items() if key not in found}
    if missing:
        found |= _in_recordings(session.execute(_IN_RECORDINGS, _columns(missing, part)), missing)
        missing = {key: sid for key, sid in missing.items() if key not in found}
    if missing:
        only_quarantined = {
            FrameKey(*row) for row in session.execute(_IN_QUARANTINE, _columns(missing, part))
        }
        for key in missing:
            found[key] = Found.QUARANTINED if key in only_quarantined else Found.ERASED
    return found


def ask_retiming(session: Session, boots: Iterable[BootKey]) -> None:
    """Mark the sessions dirty whose times may change with the clocks of `boots`.

    One row a device, so it costs the same whatever the device has stored: the session worker marks
    the sessions (`session.retiming`). Rows are locked after the batch's extents, as it does.
    """
    asked: dict[str, tuple[int | None, int, int]] = {}
    for device_id, store, boot in sorted(boots):
        first, low, high = asked.get(device_id, (store, boot, boot))
        same = store if first == store else None
        asked[device_id] = (same, min(low, boot), max(high, boot))
    stores, lows, highs = zip(*asked.values(), strict=True)
    values = {"devices": list(asked), "stores": stores, "lows": lows, "highs": highs}
    session.execute(
        _ASK_RETIMING,
        {name: list(column) for name, column in values.items()},
    )


def _in_recordings(
    rows: Iterable[Any], wanted: Mapping[FrameKey, UUID]
) -> dict[FrameKey, bytes | Found]:
    by_store: dict[StoreKey, list[int]] = {}
    for key in wanted:
        by_store.setdefault(StoreKey(key.device_id, key.store), []).append(key.seq)
    found: dict[FrameKey, bytes | Found] = {}
    for device_id, store, seqs, digests in rows:
        sealed = SeqRanges(seqs)
        for seq in by_store[StoreKey(device_id, store)]:
            at = sealed.index(seq)
            if at is not None:
                digest = digests[at * SHORT_DIGEST_BYTES : (at + 1) * SHORT_DIGEST_BYTES]
                found[FrameKey(device_id, store, seq)] = digest
    return found


def _columns(keys: Iterable[FrameKey], part: Part[str]) -> dict[str, Any]:
    devices, stores, seqs = zip(*keys, strict=True)
    columns = {"devices": words(devices), "stores": integers(stores), "seqs": integers(seqs)}
    return columns | {"part": part}


# The rows exist and are locked. An upsert finds them by their keys; for a join the planner might
# scan a large table.
_UPDATE_LEDGERS = """
    INSERT INTO flash_store (device_id, store, resolved)
    SELECT v.device_id, v.store, CAST(v.resolved AS int8multirange)
    FROM unnest(CAST(:ledger_device AS text[]), CAST(:ledger_store AS bigint[]),
                CAST(:ledger_resolved AS text[])) AS v (device_id, store, resolved)
    ON CONFLICT (device_id, store) DO UPDATE SET resolved = excluded.resolved
"""
_WRITE_LEDGERS = text(_UPDATE_LEDGERS)
_GIVEN = """
    given AS MATERIALIZED (
      SELECT device_id, store, seq, boot, sid, kind, up_ms, utc_ms, digest, body, received_at
      FROM unnest(
        CAST(:ledger AS int[]), CAST(:device AS text[]), CAST(:store AS bigint[]),
        CAST(:seq AS bigint[]), CAST(:boot AS bigint[]), CAST(:sid AS uuid[]),
        CAST(:kind AS smallint[]), CAST(:up_ms AS bigint[]), CAST(:utc_ms AS bigint[]),
        CAST(:digest AS bytea[]), CAST(:body AS bytea[]), CAST(:received_at AS timestamptz[]))
        AS f (ledger, device_id, store, seq, boot, sid, kind, up_ms, utc_ms, digest, body,
              received_at)
      {condition})
"""
# Without ON CONFLICT: by the locked ledger the frame is new.
_STORE = """
    INSERT INTO frame (device_id, store, seq, boot, sid, kind, up_ms, utc_ms, digest, body,
                       received_at)
    SELECT * FROM given
"""
# An open session that ends is due at once, however long it would have rested.
_EXTEND = f"""
    INSERT INTO session_extent AS e (device_id, sid, store, low_seq, high_seq, low_boot,
                                     high_boot, last_received_at, dirty, ends_at_once)
    SELECT device_id, sid, store, min(seq), max(seq), min(boot), max(boot), max(received_at), true,
           bool_or(kind = {KINDS[EndFrame]})
    FROM given
    GROUP BY device_id, sid, store
    ORDER BY device_id, sid, store
    ON CONFLICT (device_id, sid, store) DO UPDATE SET
      low_seq = least(e.low_seq, excluded.low_seq),
      high_seq = greatest(e.high_seq, excluded.high_seq),
      low_boot = least(e.low_boot, excluded.low_boot),
      high_boot = greatest(e.high_boot, excluded.high_boot),
      last_received_at = greatest(e.last_received_at, excluded.last_received_at),
      due_at = CASE WHEN excluded.ends_at_once AND e.ends_at_once
                    THEN '1970-01-01 00:00:00+00' ELSE e.due_at END,
      dirty = true
"""  # noqa: S608 - a constant
# All ledgers are locked before `free` is known, and no row is given before that. Ledgers and frames
# are matched by subscript: for a join the planner might compare each with each. A ledger with many
# holes is left to `ingest`, which counts its ranges.
_LOCK_FREE = f"""
    locked AS MATERIALIZED (
      SELECT v.place, v.device_id, v.store, s.resolved FROM (
        SELECT * FROM unnest(CAST(:ledger_device AS text[]), CAST(:ledger_store AS bigint[]),
                             CAST(:ledger_numbers AS text[]))
          WITH ORDINALITY AS u (device_id, store, numbers, place)
        ORDER BY device_id, store) AS v
      LEFT JOIN LATERAL (
        SELECT f.resolved + CAST(v.numbers AS int8multirange) AS resolved
        FROM flash_store AS f
        WHERE f.device_id = v.device_id AND f.store = v.store AND {of_part("f.device_id")}
          AND NOT f.resolved && CAST(v.numbers AS int8multirange)
          AND pg_column_size(f.resolved) <= 400
          AND (SELECT true FROM device_tenure AS t
               WHERE t.device_id = v.device_id AND t.released_at IS NULL LIMIT 1)
        OFFSET 0 FOR UPDATE OF f) AS s ON true),
    free AS MATERIALIZED (
      SELECT array_agg(resolved IS NOT NULL ORDER BY place) AS places FROM locked)
"""  # noqa: S608 - a constant
_WRITE_FRAMES = text(
    f"""
    WITH {_GIVEN.format(condition="")}, stored AS ({_STORE}),
    ledger AS ({_UPDATE_LEDGERS})
    {_EXTEND}
    """
)
_WRITE_FREE_NUMBERS = Prepared(
    text(
        f"""
    WITH {_LOCK_FREE},
    {_GIVEN.format(condition="WHERE (SELECT places FROM free)[ledger]")}, stored AS ({_STORE}),
    ledger AS (
      INSERT INTO flash_store (device_id, store, resolved)
      SELECT device_id, store, resolved FROM locked WHERE resolved IS NOT NULL
      ON CONFLICT (device_id, store) DO UPDATE SET resolved = excluded.resolved),
    extended AS ({_EXTEND})
    SELECT place, CAST(resolved AS text) FROM locked WHERE resolved IS NOT NULL
    """  # noqa: S608 - constants, all of them
    )
)
_WRITE_QUARANTINE = text(
    """
    INSERT INTO quarantine AS q (device_id, code, digest, store, seq, detail, payload, times_seen,
                                 received_at)
    VALUES (:device, :code, :digest, :store, :seq, :detail, :payload, :times, :received_at)
    ON CONFLICT (device_id, code, digest) DO UPDATE SET
      times_seen = q.times_seen + excluded.times_seen,
      received_at = least(q.received_at, excluded.received_at)
    """
)
_WANTED = """
    unnest(CAST(:devices AS text[]), CAST(:stores AS bigint[]), CAST(:seqs AS bigint[]))
      AS k (device_id, store, seq)
"""
# LATERAL with OFFSET 0: each row by its key, whatever the planner's statistics are.
_IN_INBOX = text(
    f"""
    SELECT k.device_id, k.store, k.seq, f.digest
    FROM {_WANTED} CROSS JOIN LATERAL (
      SELECT g.digest FROM frame AS g
      WHERE g.device_id = k.device_id AND g.store = k.store AND g.seq = k.seq
        AND {of_part("g.device_id")} OFFSET 0) AS f
    """  # noqa: S608 - a constant
)
_IN_RECORDINGS_OF_SESSIONS = text(
    f"""
    SELECT r.device_id, r.store, CAST(r.seqs AS text), r.digests
    FROM (SELECT DISTINCT * FROM unnest(CAST(:devices AS text[]), CAST(:stores AS bigint[]),
            CAST(:sids AS uuid[])) AS u (device_id, store, sid)) AS k
    CROSS JOIN LATERAL (
      SELECT * FROM recording AS g
      WHERE g.device_id = k.device_id AND g.sid = k.sid AND g.store = k.store
        AND {of_part("g.device_id")} OFFSET 0) AS r
    """  # noqa: S608 - a constant
)
# A number that another session used: every recording of the store is searched, and no other's.
_IN_RECORDINGS = text(
    f"""
    SELECT r.device_id, r.store, CAST(r.seqs AS text), r.digests
    FROM (SELECT device_id, store, array_agg(seq) AS seqs FROM {_WANTED}
          GROUP BY device_id, store) AS k
    CROSS JOIN LATERAL (
      SELECT * FROM recording AS g
      WHERE g.device_id = k.device_id AND g.store = k.store AND {of_part("g.device_id")}
        AND EXISTS (SELECT FROM unnest(k.seqs) AS s (seq) WHERE g.seqs @> s.seq)
      OFFSET 0) AS r
    """  # noqa: S608 - constants of this code
)
# `key-reuse` is left out: it means that other content was stored under the number.
_IN_QUARANTINE = text(
    f"""
    SELECT DISTINCT q.device_id, q.store, q.seq
    FROM {_WANTED} JOIN quarantine AS q USING (device_id, store, seq)
    WHERE q.code <> 'key-reuse' AND {of_part("q.device_id")}
    """  # noqa: S608 - a constant
)
_ASK_RETIMING = text(
    """
    INSERT INTO retiming AS r (device_id, store, low_boot, high_boot)
    SELECT * FROM unnest(CAST(:devices AS text[]), CAST(:stores AS bigint[]),
                         CAST(:lows AS bigint[]), CAST(:highs AS bigint[]))
    ON CONFLICT (device_id) DO UPDATE SET
      store = CASE WHEN NOT r.asked OR r.store = excluded.store THEN excluded.store END,
      low_boot = CASE WHEN r.asked THEN least(r.low_boot, excluded.low_boot)
                      ELSE excluded.low_boot END,
      high_boot = CASE WHEN r.asked THEN greatest(r.high_boot, excluded.high_boot)
                       ELSE excluded.high_boot END,
      asked = true, swept_sid = NULL, swept_store = NULL
    """
)
