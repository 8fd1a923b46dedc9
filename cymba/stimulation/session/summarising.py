"""Keeping `stimulation_session` up to date with the frames, and announcing changes to the apps.

Several processes may do this at once, and each may be killed. So a session's summary, its sums, the
clearing of its dirty mark and the announced change belong to one transaction.

Each statement is for all sessions of a transaction. Only those whose frames do not simply follow
what is summed are read whole, one by one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from cymba.accounts.references import hold_accounts
from cymba.accounts.tables import Account
from cymba.accounts.zones import PastZones, zone_at
from cymba.database import line_of
from cymba.devices.anchors import load_clocks, load_many_clocks
from cymba.devices.catalogue import models_by_device
from cymba.devices.claiming import Tenures, load_many_tenures
from cymba.devices.clocks import DeviceClocks, to_ms
from cymba.devices.models import Model
from cymba.parts import of_part, part_of, parts
from cymba.stimulation.archive.erasure import erase_frames, erase_sessions
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.session.folding import SUMMED_CHANNELS, SessionSums, kept, sums_of
from cymba.stimulation.session.kept_sums import (
    Extents,
    MarkedExtent,
    fold_new_frames,
    read_extents,
    write_sums,
)
from cymba.stimulation.session.made_up import KNOWS_ALL, unknown_to
from cymba.stimulation.session.summary import RECTANGULAR, Summary, summarise, summed_up
from cymba.stimulation.session.summary_news import announce_summaries, differs, moved, owners
from cymba.stimulation.session.timing import boots_of
from cymba.stimulation.session.waiting import LONGEST_REST
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.witnesses import lock_shared, regroup

OPEN_REST = timedelta(seconds=10)
"""How long a session rests after a summary while it runs; its end is summarised at once."""

REST_PER_FRAME = timedelta(milliseconds=1)
"""How long one rests whose frames were all read: the longer it is the more that costs. What a
hostile device can make of 64 MB rests two minutes."""

_DERIVED = (*Summary.__dataclass_fields__, "account_id", "time_zone")
_WRITTEN = (*_DERIVED, "id", "device_id", "sid", "excluded", "version", "changed_at")


class _Summed(NamedTuple):
    """`sums` are to be kept. `was_read`: all of the session's frames were."""

    summary: Summary
    owner: UUID | None
    sums: bytes | None
    was_read: bool


class _Rest(NamedTuple):
    """When a session is due again, and whether it stays marked because more of it comes."""

    rest: timedelta = timedelta(0)
    is_running: bool = False
    is_open: bool = False


def summarise_sessions(
    session: Session, keys: Sequence[SessionKey], *, now: datetime, silent_after: timedelta
) -> int:
    """Aggregate the sessions again and return how many changed.

    A session that another process is working on is skipped.
    """
    return sum(
        _summarise(session, reserved, now=now, silent_after=silent_after)
        for reserved in _reserved(session, keys)
    )


def erase_forgotten(session: Session, keys: Sequence[SessionKey]) -> None:
    """Erase those of the sessions that nobody was shown and whose person was erased. No other is
    written.

    A session that another process is working on is skipped.
    """
    for reserved in _reserved(session, keys):
        known = _known(session, reserved)
        extents = read_extents(session, [key for key in reserved if key.id not in known])
        devices = _Devices(session, {key.device_id for key in extents})
        summed = _sum_up(session, extents, devices, dict.fromkeys(extents, True))
        forgotten = [
            key
            for key, one in summed.items()
            if devices.tenures[key.device_id].is_forgotten(one.summary.started_at)
        ]
        erase_sessions(session, forgotten)


def _summarise(
    session: Session, keys: Sequence[SessionKey], *, now: datetime, silent_after: timedelta
) -> int:
    extents = read_extents(session, keys)
    known = _known(session, keys)
    # A deleted session stays deleted.
    late = [key for key in keys if key.id in known and known[key.id].hidden_at is not None]
    devices = _Devices(session, {key.device_id for key in keys})
    silent = {key: _last(extents[key], now) < now - silent_after for key in keys if key in extents}
    alive = {key: extents[key] for key in extents if key not in set(late)}
    summed = _sum_up(session, alive, devices, silent)
    rows: list[dict[str, Any]] = []
    forgotten: list[SessionKey] = []
    sums: dict[UUID, bytes | None] = {}
    rests: dict[SessionKey, _Rest] = {}
    zones = _Zones(session, {one.owner for one in summed.values()})
    for key, one in summed.items():
        before = known.get(key.id)
        row = _row(key, one, zones, before, now)
        if devices.tenures[key.device_id].is_forgotten(one.summary.started_at):
            if before is None or before.account_id is None:
                forgotten.append(key)  # of a person who was erased
                continue
            # A corrected time does not take a session from the person who was shown it.
            row |= {"account_id": before.account_id, "time_zone": before.time_zone}
        sums[key.id] = one.sums
        rests[key] = _rest(one, before)
        if differs(row, before, _DERIVED):
            rows.append(row)
    writing = lock_shared(session, owners(rows, known))
    written = _write(session, rows)
    hold_accounts(session, [row["account_id"] for row in rows])
    write_sums(session, {id_: of for id_, of in sums.items() if id_ in written or id_ in known})
    for key in late:
        erase_frames(session, key)
    # Ledgers are locked before extents, as in ingest. So the marks are cleared after this.
    erase_sessions(session, forgotten)
    _clear(session, [(e, rests.get(key, _Rest())) for key in keys for e in extents[key]], now)
    changed = [row for row in rows if row["id"] in written]
    announce_summaries(session, changed, known)
    for account_id in writing:
        regroup(session, account_id, moved(account_id, changed, known))
    return len(written)


class _Devices:
    """What the sessions of a device have in common."""

    def __init__(self, session: Session, device_ids: set[str]) -> None:
        line = line_of(session)
        self.tenures = load_many_tenures(line, device_ids)
        self.models: Mapping[str, Model] = models_by_device(line, device_ids)
        self.unknown = {id_: unknown_to(self.known(id_)["reports"]) for id_ in device_ids}

    def known(self, device_id: str) -> dict[str, Any]:
        """What `summarise` takes of the model."""
        model = self.models.get(device_id)
        if model is None:
            return {"waveform": RECTANGULAR, "reports": KNOWS_ALL}
        return {"waveform": model.waveform, "reports": model.reports}


class _Zones:
    """The zones of accounts, now and before."""

    def __init__(self, session: Session, account_ids: set[UUID | None]) -> None:
        query = select(Account.id, Account.past_zones, Account.time_zone)
        rows = session.execute(query.where(Account.id.in_(account_ids - {None})))
        self._known: dict[UUID, tuple[PastZones, str]] = {
            id_: (past, now) for id_, past, now in rows
        }

    def at(self, account_id: UUID | None, at: datetime, stored: str | None) -> str:
        """The person's zone at a time. `stored` is what the session has so far: it stands where no
        change of the zone is known, since it may be from before changes were kept."""
        if account_id is None:
            return "UTC"
        past, zone = self._known.get(account_id, ([], "UTC"))
        return zone_at(past, zone, at) if past or stored is None else stored


def _reserved(session: Session, keys: Sequence[SessionKey]) -> Iterator[list[SessionKey]]:
    """By parts, those of `keys` that no other process is aggregating, locked until the transaction
    ends."""
    for part in parts(session, {key.device_id for key in keys}):
        by_lock = {key.id.int % 2**63: key for key in keys if part is None or key.device_id in part}
        if by_lock and (got := session.scalars(_TRY_LOCKS, {"locks": sorted(by_lock)}).all()):
            yield sorted(by_lock[lock] for lock in got)


def _known(session: Session, keys: Iterable[SessionKey]) -> dict[UUID, Row[Any]]:
    given = list(keys)
    devices = [one.device_id for one in given]
    columns = {"devices": devices, "sids": [one.sid for one in given]}
    rows = session.execute(_KNOWN, columns | {"part": part_of(session, devices)})
    return {row.id: row for row in rows}


def _last(extents: Iterable[MarkedExtent], now: datetime) -> datetime:
    return max((extent.last_received_at for extent in extents), default=now)


def _sum_up(
    session: Session, extents: Extents, devices: _Devices, silent: Mapping[SessionKey, bool]
) -> dict[SessionKey, _Summed]:
    """The summaries of all that have frames."""
    folded: dict[SessionKey, SessionSums] = {}
    for key, sums in fold_new_frames(session, extents, devices.unknown).items():
        closings = devices.tenures[key.device_id].closings()
        if not closings or sums.came_from_ms >= to_ms(closings[-1]):
            folded[key] = sums
    boots = [(key.device_id, {(b.store, b.boot) for b in s.boots}) for key, s in folded.items()]
    clocks = dict(zip(folded, load_many_clocks(line_of(session), boots), strict=True))
    found: dict[SessionKey, _Summed] = {}
    for key in extents:
        if key in folded:
            given = (folded[key], clocks[key])
            found[key] = _summed(key, given, devices, silent=silent[key], was_read=False)
        else:
            read = _read_whole(session, key, devices, silent=silent[key])
            if read is not None:
                found[key] = read
    return found


def _summed(
    key: SessionKey,
    given: tuple[SessionSums, DeviceClocks],
    devices: _Devices,
    *,
    silent: bool,
    was_read: bool,
) -> _Summed:
    sums, clocks = given
    written = kept(sums)
    summary = summed_up(sums, clocks, silent=silent, **devices.known(key.device_id))
    tenures = devices.tenures[key.device_id]
    # What comes after the device has gone to somebody else is in nobody's record.
    is_late = tenures.closed_at(summary.started_at) is not None
    owner = None if is_late else tenures.holder_at(summary.started_at)
    return _Summed(summary, owner, written if summary.state == "open" else None, was_read)


def _read_whole(
    session: Session, key: SessionKey, devices: _Devices, *, silent: bool
) -> _Summed | None:
    """By all frames of the session; None while it has none."""
    frames = load_frames(session, key.device_id, key.sid, reads=SUMMED_CHANNELS.__contains__)
    if not frames:
        return None
    tenures: Tenures = devices.tenures[key.device_id]
    clocks = load_clocks(session, key.device_id, boots_of(frames))
    # The first owner keeps the session as it was known when the device went to somebody else.
    for closed_at in tenures.closings():
        in_time = [read for read in frames if read.received_at < closed_at]
        if in_time:
            known = devices.known(key.device_id)
            summary = summarise(in_time, clocks, silent=True, **known)
            if tenures.closed_at(summary.started_at) == closed_at:
                return _Summed(summary, tenures.holder_at(summary.started_at), None, was_read=True)
    sums = sums_of(frames, clocks, devices.unknown[key.device_id])
    return _summed(key, (sums, clocks), devices, silent=silent, was_read=True)


def _row(
    key: SessionKey, summed: _Summed, zones: _Zones, before: Row[Any] | None, now: datetime
) -> dict[str, Any]:
    summary, owner = summed.summary, summed.owner
    stored = before.time_zone if before and before.account_id == owner else None
    return {name: getattr(summary, name) for name in Summary.__dataclass_fields__} | {
        "id": key.id,
        "device_id": key.device_id,
        "sid": key.sid,
        "account_id": owner,
        "time_zone": zones.at(owner, summary.started_at, stored),
        "excluded": False,
        "version": 1,
        "changed_at": now,
    }


def _rest(summed: _Summed, before: Row[Any] | None) -> _Rest:
    frames = summed.summary.frames_stored
    rest = min(frames * REST_PER_FRAME, LONGEST_REST) if summed.was_read else timedelta(0)
    if summed.summary.state == "ended":
        return _Rest(rest)
    is_running = before is None or before.frames_stored != frames
    return _Rest(max(rest, OPEN_REST), is_running, is_open=True)


def _write(session: Session, rows: Sequence[dict[str, Any]]) -> set[UUID]:
    """Write the rows. Return the ids of those that were not deleted meanwhile."""
    if not rows:
        return set()
    return set(session.scalars(_UPSERT, {"rows": orjson.dumps(rows).decode()}))


def _clear(session: Session, marks: Sequence[tuple[MarkedExtent, _Rest]], now: datetime) -> None:
    """Clear the marks, except of extents that were written to meanwhile, and of sessions that are
    running. None is summarised again before its rest is over.

    It skips extents that another transaction has locked, which is about to mark them. So it can
    never deadlock.
    """
    if not marks:
        return
    session.execute(
        _CLEAR,
        {
            "part": part_of(session, (mark.device_id for mark, _ in marks)),
            "devices": [mark.device_id for mark, _ in marks],
            "sids": [mark.sid for mark, _ in marks],
            "stores": [mark.store for mark, _ in marks],
            "xmins": [mark.xmin for mark, _ in marks],
            "rests_ms": [one.rest / timedelta(milliseconds=1) for _, one in marks],
            "running": [one.is_running for _, one in marks],
            "open": [one.is_open for _, one in marks],
            "now": now,
        },
    )


_TRY_LOCKS = text(
    """
    SELECT k.lock FROM unnest(CAST(:locks AS bigint[])) AS k (lock)
    WHERE pg_try_advisory_xact_lock(k.lock)
    """
)
_KNOWN = text(
    f"""
    SELECT s.* FROM unnest(CAST(:devices AS text[]), CAST(:sids AS uuid[])) AS k (device_id, sid)
    CROSS JOIN LATERAL (
      SELECT * FROM stimulation_session AS t
      WHERE t.device_id = k.device_id AND t.sid = k.sid AND {of_part("t.device_id")}
      OFFSET 0) AS s
    """  # noqa: S608 - a constant
).columns(**{one.name: one.type for one in StimulationSession.__table__.c})
# In the order of the ids everywhere, so that two processes never deadlock. The note of one person
# is not shown to the next.
_UPSERT = text(
    f"""
    INSERT INTO stimulation_session AS old ({", ".join(_WRITTEN)})
    SELECT {", ".join(_WRITTEN)}
    FROM json_populate_recordset(CAST(NULL AS stimulation_session), CAST(:rows AS json))
    ORDER BY id
    ON CONFLICT (device_id, sid) DO UPDATE SET
      {", ".join(f"{name} = excluded.{name}" for name in (*_DERIVED, "changed_at"))},
      version = old.version + 1,
      note = CASE WHEN old.account_id IS NOT DISTINCT FROM excluded.account_id THEN old.note END,
      excluded = old.excluded AND old.account_id IS NOT DISTINCT FROM excluded.account_id
    WHERE old.hidden_at IS NULL
    RETURNING old.id
    """  # noqa: S608 - names of columns
)
# LATERAL with OFFSET 0: each row by its key, whatever the planner's statistics are.
_CLEAR = text(
    f"""
    WITH seen AS MATERIALIZED (
      SELECT k.device_id, e.row, :now + k.rest_ms * interval '1 millisecond' AS due_at, k.running,
             k.open, e.xmin = k.seen AS is_clean
      FROM unnest(CAST(:devices AS text[]), CAST(:sids AS uuid[]), CAST(:stores AS bigint[]),
                  CAST(:xmins AS bigint[]), CAST(:rests_ms AS float8[]),
                  CAST(:running AS boolean[]), CAST(:open AS boolean[]))
        AS k (device_id, sid, store, seen, rest_ms, running, open)
      CROSS JOIN LATERAL (
        SELECT x.ctid AS row, CAST(CAST(x.xmin AS text) AS bigint) AS xmin
        FROM session_extent AS x
        WHERE x.device_id = k.device_id AND x.sid = k.sid AND x.store = k.store AND x.dirty
          AND {of_part("x.device_id")}
        OFFSET 0 FOR UPDATE OF x SKIP LOCKED) AS e)
    UPDATE session_extent AS e
    SET dirty = s.running OR NOT s.is_clean,
        due_at = s.due_at,
        ends_at_once = s.open,
        sealed = e.sealed AND NOT (s.is_clean AND EXISTS (
          SELECT FROM frame AS f
          WHERE f.device_id = e.device_id AND f.store = e.store
            AND f.seq BETWEEN e.low_seq AND e.high_seq AND f.sid = e.sid
            AND {of_part("f.device_id")}))
    FROM seen AS s
    WHERE e.ctid = s.row AND e.device_id = s.device_id AND {of_part("e.device_id")}
    """  # noqa: S608 - a constant
)
