"""Keeps `shown_with` of written sessions up to date with all witnesses of the same session.

Who writes a session down, or summarises a device's, takes the account's lock first. So neither
misses what the other is about to commit. Those who summarise share the lock: one waits for another
only where the account has written sessions.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.parts import of_part, parts
from cymba.stimulation.written.grouping import WRITTEN_WITHIN, Recorder, SessionWitness, leads
from cymba.stimulation.written.tables import WrittenSession

_WITHIN = max(WRITTEN_WITHIN.values())
_FARTHEST = timedelta(days=366)  # a clock that is off by more says nothing


class _Reach(NamedTuple):
    """When something of a unit may have been, whatever its error."""

    unit: str
    begin: datetime
    end: datetime


def lock_alone(session: Session, account_id: UUID) -> None:
    """Before a written session is changed: wait for whoever summarises sessions of the account."""
    session.execute(_LOCK_ALONE, {"account_id": str(account_id)})


def lock_shared(session: Session, account_ids: Collection[UUID]) -> list[UUID]:
    """Before devices' sessions are changed. Returns the accounts that have written sessions: for
    these the caller calls `regroup` in the same transaction, one process at a time."""
    in_order = sorted(account_ids)
    if not in_order:
        return []
    session.execute(_LOCK_SHARED, {"account_ids": list(map(str, in_order))})
    writing: list[UUID] = []
    for part in parts(session, in_order):
        mine = in_order if part is None else part
        writing += session.scalars(_WRITING, {"account_ids": mine, "part": part})
    writing.sort()
    if writing:
        session.execute(_LOCK_TURN, {"account_ids": list(map(str, writing))})
    return writing


def written_witness(row: WrittenSession) -> SessionWitness:
    error = WRITTEN_WITHIN[row.recorder]
    recorder: Recorder = "phone" if row.recorder == "phone" else "person"
    return SessionWitness(
        row.id, recorder, row.unit, row.started_at, row.ended_at, error, row.same_as
    )


def recorded_witness(
    id_: UUID, device_id: str, started_at: datetime, ended_at: datetime, error_ms: int
) -> SessionWitness:
    error = min(timedelta(milliseconds=error_ms), _FARTHEST)
    return SessionWitness(id_, "device", device_id, started_at, ended_at, error)


def regroup(session: Session, account_id: UUID, changed: Iterable[SessionWitness]) -> None:
    """Set `shown_with` anew for all written sessions that what changed may be grouped with, or may
    have been, and announce every session that is then shown differently.

    `changed`: of each witness what it was, unless it is new, and what it is, unless it went. Its
    error and the person's word count too: they say how far away its group may be. The caller holds
    the account's lock.
    """
    near = _near(session, account_id, changed)
    shown_as = leads(near.devices + [written_witness(row) for row in near.written])
    recorded = {one.id for one in near.devices}
    alive = recorded | {row.id for row in near.written}
    touched: set[UUID] = set()
    for row in near.written:
        # One that took a recorded session's id is that session, whatever it says.
        lead = row.id if row.id in recorded else shown_as[row.id]
        shown_with = None if lead == row.id and row.id not in recorded else lead
        if row.shown_with != shown_with:
            touched |= {row.id, *({row.shown_with, shown_with} - {None})}  # type: ignore[arg-type]
            row.shown_with = shown_with
    for id_ in sorted(touched & alive):
        announce(session, account_id, "session", id_)


def announce_lead(session: Session, row: WrittenSession) -> None:
    """Announce the session that this one is shown as: a part of it has changed."""
    if row.shown_with is not None:
        announce(session, row.account_id, "session", row.shown_with)


class _Near(NamedTuple):
    devices: list[SessionWitness]
    written: list[WrittenSession]


def _near(session: Session, account_id: UUID, changed: Iterable[SessionWitness]) -> _Near:
    """All witnesses that may be grouped with these, all that may be grouped with those in turn, and
    so on. No other witness can change how these are grouped."""
    devices: dict[UUID, SessionWitness] = {}
    written: dict[UUID, WrittenSession] = {}
    fresh = list(changed)
    asked: set[UUID | _Reach] = set()
    while True:
        new_spans = {_span(one) for one in fresh} - asked
        new_ids = {id_ for one in fresh for id_ in (one.id, one.same_as) if id_} - asked
        if not new_spans and not new_ids:
            return _Near(list(devices.values()), list(written.values()))
        asked |= new_ids | new_spans
        values = {
            "account_id": account_id,
            "within": _WITHIN,
            "farthest_ms": _FARTHEST // timedelta(milliseconds=1),
            "units": [span.unit for span in new_spans],
            "begins": [span.begin for span in new_spans],
            "ends": [span.end for span in new_spans],
            "ids": sorted(new_ids),
        }
        found = [recorded_witness(*row) for row in session.execute(_DEVICES_NEAR, values)]
        fresh = [one for one in found if one.id not in devices]
        devices |= {one.id: one for one in fresh}
        rows = _written(session, account_id, session.scalars(_WRITTEN_NEAR, values).all())
        for row in rows:
            if row.id not in written:
                written[row.id] = row
                fresh.append(written_witness(row))


def _span(one: SessionWitness) -> _Reach:
    return _Reach(one.unit, one.begin - one.error, one.end + one.error)


def _written(session: Session, account_id: UUID, ids: Sequence[UUID]) -> Sequence[WrittenSession]:
    query = select(WrittenSession).where(
        WrittenSession.account_id == account_id, WrittenSession.id.in_(ids)
    )
    return session.scalars(query).all()


_LOCK_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('witnesses/' || :account_id, 0))")
_LOCK_SHARED = text(
    """
    SELECT pg_advisory_xact_lock_shared(hashtextextended('witnesses/' || k.id, 0))
    FROM (SELECT * FROM unnest(CAST(:account_ids AS text[])) WITH ORDINALITY AS a (id, place)
          ORDER BY a.place) AS k
    """
)
_LOCK_TURN = text(
    """
    SELECT pg_advisory_xact_lock(hashtextextended('regroup/' || k.id, 0))
    FROM (SELECT * FROM unnest(CAST(:account_ids AS text[])) WITH ORDINALITY AS a (id, place)
          ORDER BY a.place) AS k
    """
)
_WRITING = text(
    f"""
    SELECT a.id FROM unnest(CAST(:account_ids AS uuid[])) AS a (id)
    WHERE EXISTS (SELECT FROM written_session AS w
                  WHERE w.account_id = a.id AND {of_part("w.account_id", "uuid")} OFFSET 0)
    """  # noqa: S608 - a constant
)
_SPANS = """
    unnest(CAST(:units AS text[]), CAST(:begins AS timestamptz[]), CAST(:ends AS timestamptz[]))
      AS k (unit, low, high)
"""
_WRITTEN_NEAR = text(
    f"""
    SELECT w.id FROM written_session AS w
    WHERE w.account_id = :account_id AND w.deleted_at IS NULL
      AND (w.id = ANY (CAST(:ids AS uuid[])) OR w.same_as = ANY (CAST(:ids AS uuid[]))
           OR EXISTS (
             SELECT FROM {_SPANS}
             WHERE k.unit = coalesce(w.device_id, 'model:' || w.model)
               AND w.started_at <= k.high + :within
               AND w.started_at + w.duration_s * interval '1 second' >= k.low - :within))
    """  # noqa: S608 - a constant of this code
)
_DEVICES_NEAR = text(
    f"""
    SELECT s.id, s.device_id, s.started_at, s.ended_at, s.time_error_ms
    FROM stimulation_session AS s
    WHERE s.account_id = :account_id AND s.hidden_at IS NULL
      AND (s.id = ANY (CAST(:ids AS uuid[]))
           OR EXISTS (
             SELECT FROM {_SPANS}
             WHERE k.unit = s.device_id
               AND s.started_at - least(s.time_error_ms, :farthest_ms) * interval '1 millisecond'
                   <= k.high + :within
               AND s.ended_at + least(s.time_error_ms, :farthest_ms) * interval '1 millisecond'
                   >= k.low - :within))
    """  # noqa: S608 - a constant of this code
)
