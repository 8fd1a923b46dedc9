"""Keeping `stimulation_session` up to date with the frames, and announcing changes to the apps.

Several processes may do this at once, and each may be killed. So a session's summary, the clearing
of its dirty mark and the announced change belong to one transaction.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Row, case, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.accounts.zones import PastZones, zone_at
from cymba.devices.anchors import load_clocks
from cymba.devices.catalogue import model_by_device
from cymba.devices.claiming import Tenures, load_tenures
from cymba.devices.models import Model
from cymba.stimulation.archive.by_device import (
    DEVICES_A_ROUND,
    WaitingSessions,
    next_devices,
    read_waiting,
    waiting_sessions,
)
from cymba.stimulation.archive.compaction import SILENT_AFTER
from cymba.stimulation.archive.erasure import erase_frames, erase_sessions
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.session.folding import SUMMED_CHANNELS
from cymba.stimulation.session.made_up import KNOWS_ALL
from cymba.stimulation.session.summary import RECTANGULAR, Summary, summarise
from cymba.stimulation.session.summary_news import announce_summaries, differs, moved, owners
from cymba.stimulation.session.timing import boots_of
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.witnesses import lock_shared, regroup

# A summary costs more the longer the session is, so a long one is aggregated less often while it
# runs: it rests for `REST_PER_FRAME` times its frames, and for ten minutes at most. Four hours of a
# frame in 5 s rest 3 s; what a hostile device can make of 64 MB rests two minutes.
REST_PER_FRAME = timedelta(milliseconds=1)
LONGEST_REST = timedelta(minutes=10)

OPEN_OF_A_DEVICE = 100  # that are looked at in a round, on either side of a place

_DERIVED = (*Summary.__dataclass_fields__, "account_id", "time_zone")


def dirty_sessions(
    session: Session, now: datetime, *, after: str = "", but: Collection[SessionKey] = ()
) -> WaitingSessions:
    """Sessions that are due for a new summary, some of each device."""
    values = {"now": now, "no_rest": now + LONGEST_REST}
    return read_waiting(session, _DUE, values, after=after, but=but)


def summarise_sessions(
    session: Session, keys: Sequence[SessionKey], *, now: datetime, silent_after: timedelta
) -> int:
    """Aggregate the sessions again and return how many changed.

    A session that another process is working on is skipped.
    """
    keys = _reserve(session, keys)
    if not keys:
        return 0
    marks = _marks(session, keys)
    known = _known(session, keys)
    shared = _Shared(session)
    rows: list[dict[str, Any]] = []
    frames: dict[SessionKey, int] = {}
    late: list[SessionKey] = []
    forgotten: list[SessionKey] = []
    for key in keys:
        before = known.get(key.id)
        if before is not None and before.hidden_at is not None:
            late.append(key)  # a deleted session stays deleted
            continue
        last_received_at = max((mark.last_received_at for mark in marks[key]), default=now)
        row = _row(session, key, shared, before, now, silent=last_received_at < now - silent_after)
        if row is not None and shared.is_forgotten(key.device_id, row["started_at"]):
            if before is None or before.account_id is None:
                forgotten.append(key)  # of a person who was erased
                continue
            # A corrected time does not take a session from the person who was shown it.
            row |= {"account_id": before.account_id, "time_zone": before.time_zone}
        if row is not None:
            frames[key] = row["frames_stored"]
        if row is not None and differs(row, before, _DERIVED):
            rows.append(row)
    writing = lock_shared(session, owners(rows, known))
    written = _write(session, rows)
    for key in late:
        erase_frames(session, key)
    # Ledgers are locked before extents, as in ingest. So the marks are cleared after this.
    erase_sessions(session, forgotten)
    _clear(session, [(mark, _rest(frames.get(key, 0))) for key in keys for mark in marks[key]], now)
    changed = [row for row in rows if row["id"] in written]
    announce_summaries(session, changed, known)
    for account_id in writing:
        regroup(session, account_id, moved(account_id, changed, known))
    return len(written)


class Closed(NamedTuple):
    """How many extents were marked, and where the next round goes on: empty after the last."""

    extents: int
    after: str


def close_silent(
    session: Session, now: datetime, silent_after: timedelta = SILENT_AFTER, *, after: str = ""
) -> Closed:
    """Mark open sessions dirty that have been silent for `silent_after`: the next summary ends
    them.

    A round looks at some of each device, and at others in the next round.
    """
    values = {"before": now - silent_after, "somewhere": uuid4()}
    values |= {"after": after, "devices": DEVICES_A_ROUND, "each": OPEN_OF_A_DEVICE}
    extents, devices, last = session.execute(_MARK_SILENT, values).one()
    return Closed(extents, last if devices == DEVICES_A_ROUND else "")


class _Mark(NamedTuple):
    """An extent before its frames were read. `xmin` changes with every write to it."""

    device_id: str
    sid: UUID
    store: int
    xmin: int
    last_received_at: datetime


class _Zones(NamedTuple):
    past: PastZones
    zone: str


class _Shared:
    """What the sessions of a device or an account have in common, read once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tenures: dict[str, Tenures] = {}
        self._models: dict[str, Model | None] = {}
        self._zones: dict[UUID, _Zones] = {}

    def tenures(self, device_id: str) -> Tenures:
        if device_id not in self._tenures:
            self._tenures[device_id] = load_tenures(self._session, device_id)
        return self._tenures[device_id]

    def is_forgotten(self, device_id: str, at: datetime) -> bool:
        return self.tenures(device_id).is_forgotten(at)

    def model(self, device_id: str) -> Model | None:
        if device_id not in self._models:
            self._models[device_id] = model_by_device(self._session, device_id)
        return self._models[device_id]

    def zone(self, account_id: UUID | None, at: datetime, stored: str | None) -> str:
        """The person's zone at a time. `stored` is what the session has so far: it stands where no
        change of the zone is known, since it may be from before changes were kept."""
        if account_id is None:
            return "UTC"
        if account_id not in self._zones:
            query = select(Account.past_zones, Account.time_zone).where(Account.id == account_id)
            row = self._session.execute(query).one_or_none()
            self._zones[account_id] = _Zones(*row) if row else _Zones([], "UTC")
        past, zone = self._zones[account_id]
        return zone_at(past, zone, at) if past or stored is None else stored


def _reserve(session: Session, keys: Iterable[SessionKey]) -> list[SessionKey]:
    """Those of `keys` that no other process is aggregating, locked until the transaction ends."""
    by_lock = {key.id.int % 2**63: key for key in keys}
    if not by_lock:
        return []
    got = session.scalars(_TRY_LOCKS, {"locks": sorted(by_lock)})
    return sorted(by_lock[lock] for lock in got)


def _marks(session: Session, keys: Sequence[SessionKey]) -> Mapping[SessionKey, list[_Mark]]:
    rows = session.execute(
        _EXTENTS, {"devices": [key.device_id for key in keys], "sids": [key.sid for key in keys]}
    )
    marks: dict[SessionKey, list[_Mark]] = defaultdict(list)
    for row in rows:
        mark = _Mark(*row)
        marks[SessionKey(mark.device_id, mark.sid)].append(mark)
    return marks


def _known(session: Session, keys: Iterable[SessionKey]) -> dict[UUID, Row[Any]]:
    table = StimulationSession.__table__
    rows = session.execute(select(table).where(table.c.id.in_([key.id for key in keys])))
    return {row.id: row for row in rows}


def _row(
    session: Session,
    key: SessionKey,
    shared: _Shared,
    before: Row[Any] | None,
    now: datetime,
    *,
    silent: bool,
) -> dict[str, Any] | None:
    """The session's row, or None while it has no frames."""
    frames = load_frames(session, key.device_id, key.sid, reads=SUMMED_CHANNELS.__contains__)
    if not frames:
        return None
    model = shared.model(key.device_id)
    summed = partial(
        summarise,
        clocks=load_clocks(session, key.device_id, boots_of(frames)),
        waveform=model.waveform if model else RECTANGULAR,
        reports=model.reports if model else KNOWS_ALL,
    )
    summary, owner = _owned(frames, shared.tenures(key.device_id), summed, silent=silent)
    stored = before.time_zone if before and before.account_id == owner else None
    zone = shared.zone(owner, summary.started_at, stored)
    return asdict(summary) | {
        "id": key.id,
        "device_id": key.device_id,
        "sid": key.sid,
        "account_id": owner,
        "time_zone": zone,
        "excluded": False,
        "version": 1,
        "changed_at": now,
    }


def _owned(
    frames: Sequence[ReadFrame],
    tenures: Tenures,
    summed: Callable[..., Summary],
    *,
    silent: bool,
) -> tuple[Summary, UUID | None]:
    """A session's owner, and the part of it that is theirs. The first owner keeps it as it was
    known when the device went to somebody else; frames that arrive later are in nobody's record."""
    for closed_at in tenures.closings():
        in_time = [read for read in frames if read.received_at < closed_at]
        if in_time:
            summary = summed(in_time, silent=True)
            if tenures.closed_at(summary.started_at) == closed_at:
                return summary, tenures.holder_at(summary.started_at)
    summary = summed(frames, silent=silent)
    if tenures.closed_at(summary.started_at) is not None:
        return summary, None
    return summary, tenures.holder_at(summary.started_at)


def _write(session: Session, rows: list[dict[str, Any]]) -> set[UUID]:
    """Write the rows. Return the ids of those that were not deleted meanwhile."""
    if not rows:
        return set()
    statement = insert(StimulationSession)
    new, old = statement.excluded, StimulationSession
    handed_over = old.account_id.is_distinct_from(new.account_id)
    statement = statement.on_conflict_do_update(
        index_elements=[old.id],
        set_={name: new[name] for name in (*_DERIVED, "changed_at")}
        | {
            "version": old.version + 1,
            # The note of one person is not shown to the next.
            "note": case((handed_over, None), else_=old.note),
            "excluded": case((handed_over, False), else_=old.excluded),
        },
        where=old.deleted_at.is_(None),
    )
    # The same order everywhere, so that two processes never deadlock.
    in_order = sorted(rows, key=lambda row: row["id"])
    return set(session.scalars(statement.returning(old.id), in_order))


def _rest(frames: int) -> timedelta:
    return min(frames * REST_PER_FRAME, LONGEST_REST)


def _clear(session: Session, marks: Sequence[tuple[_Mark, timedelta]], now: datetime) -> None:
    """Clear the marks, except of extents that were written to meanwhile. None is summarised again
    before its rest is over.

    It skips extents that another transaction has locked, which is about to mark them. So it can
    never deadlock.
    """
    session.execute(
        _CLEAR,
        {
            "devices": [mark.device_id for mark, _ in marks],
            "sids": [mark.sid for mark, _ in marks],
            "stores": [mark.store for mark, _ in marks],
            "xmins": [mark.xmin for mark, _ in marks],
            "rests_ms": [rest / timedelta(milliseconds=1) for _, rest in marks],
            "now": now,
        },
    )


_DUE = waiting_sessions(
    next_devices("session_extent", "t.dirty"),
    """
    SELECT y.sid, y.low_seq, y.high_seq, y.due_at AS waits_since
    FROM ((SELECT * FROM session_extent AS x
           WHERE x.dirty AND x.device_id = d.device_id AND x.due_at <= :now
             AND x.sid <> ALL (CAST(:aside AS uuid[]))
           ORDER BY x.due_at LIMIT :each)
          UNION ALL  -- by the clock of a worker that is ahead of this one
          (SELECT * FROM session_extent AS x
           WHERE x.dirty AND x.device_id = d.device_id AND x.due_at > :no_rest
             AND x.sid <> ALL (CAST(:aside AS uuid[]))
           ORDER BY x.due_at LIMIT :each)) AS y
    LIMIT :each
    """,
)
_TRY_LOCKS = text(
    """
    SELECT k.lock FROM unnest(CAST(:locks AS bigint[])) AS k (lock)
    WHERE pg_try_advisory_xact_lock(k.lock)
    """
)
_EXTENTS = text(
    """
    SELECT e.device_id, e.sid, e.store, CAST(CAST(e.xmin AS text) AS bigint), e.last_received_at
    FROM unnest(CAST(:devices AS text[]), CAST(:sids AS uuid[])) AS k (device_id, sid)
    JOIN session_extent AS e USING (device_id, sid)
    """
)
_CLEAR = text(
    """
    WITH seen AS (
      SELECT e.device_id, e.sid, e.store, k.rest_ms,
             CAST(CAST(e.xmin AS text) AS bigint) = k.seen AS is_clean
      FROM unnest(CAST(:devices AS text[]), CAST(:sids AS uuid[]), CAST(:stores AS bigint[]),
                  CAST(:xmins AS bigint[]), CAST(:rests_ms AS float8[]))
        AS k (device_id, sid, store, seen, rest_ms)
      JOIN session_extent AS e USING (device_id, sid, store)
      WHERE e.dirty
      FOR UPDATE OF e SKIP LOCKED)
    UPDATE session_extent AS e
    SET dirty = NOT s.is_clean,
        due_at = :now + s.rest_ms * interval '1 millisecond',
        sealed = e.sealed AND NOT (s.is_clean AND EXISTS (
          SELECT FROM frame AS f
          WHERE f.device_id = e.device_id AND f.store = e.store
            AND f.seq BETWEEN e.low_seq AND e.high_seq AND f.sid = e.sid))
    FROM seen AS s
    WHERE e.device_id = s.device_id AND e.sid = s.sid AND e.store = s.store
    """
)
_OPEN = """
    SELECT o.device_id, o.sid FROM stimulation_session AS o
    WHERE o.state = 'open' AND o.device_id = d.device_id AND o.sid {where} :somewhere
    ORDER BY o.sid LIMIT :each
"""
_MARK_SILENT = text(
    f"""
    WITH {next_devices("stimulation_session", "t.state = 'open'")},
    silent AS MATERIALIZED (
      SELECT s.device_id, s.sid, e.store
      FROM device AS d
      CROSS JOIN LATERAL (({_OPEN.format(where=">=")}) UNION ALL ({_OPEN.format(where="<")})) AS s
      CROSS JOIN LATERAL (
        SELECT x.store FROM session_extent AS x
        WHERE x.device_id = s.device_id AND x.sid = s.sid AND NOT x.dirty
          AND NOT EXISTS (SELECT FROM session_extent AS any_store
                          WHERE any_store.device_id = s.device_id AND any_store.sid = s.sid
                            AND any_store.last_received_at >= :before)
        OFFSET 0 FOR UPDATE OF x SKIP LOCKED) AS e),
    marked AS (
      UPDATE session_extent AS e SET dirty = true
      FROM silent AS s
      WHERE e.device_id = s.device_id AND e.sid = s.sid AND e.store = s.store
      RETURNING 1)
    SELECT (SELECT count(*) FROM marked), (SELECT count(*) FROM device),
           (SELECT max(device_id) FROM device)
    """  # noqa: S608 - constants of this code
)
