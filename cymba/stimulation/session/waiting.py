"""Which sessions wait for a new summary, and which have fallen silent."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.parts import of_part
from cymba.stimulation.archive.by_device import (
    DEVICE,
    NextDevices,
    WaitingSessions,
    devices_of_parts,
    read_waiting,
    waiting_sessions,
)
from cymba.stimulation.archive.compaction import SILENT_AFTER
from cymba.stimulation.archive.reading import SessionKey

LONGEST_REST = timedelta(minutes=10)
OF_A_DEVICE = 100  # that are looked at in a round, on either side of a place


def dirty_sessions(
    session: Session, now: datetime, *, after: str = "", but: Collection[SessionKey] = ()
) -> WaitingSessions:
    """Sessions that are due for a new summary, some of each device.

    A round looks at some of each device, and at others in the next round.
    """
    values: dict[str, Any] = {"now": now, "no_rest": now + LONGEST_REST}
    values |= {"somewhere": uuid4(), "most": OF_A_DEVICE}
    return read_waiting(session, _DIRTY_DEVICES, _DUE, values, after=after, but=but)


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
    values = {"before": now - silent_after, "somewhere": uuid4(), "each": OF_A_DEVICE}
    devices, after = _OPEN_DEVICES.read(session, after)
    extents = sum(
        session.scalars(_MARK_SILENT, values | of_part).one()
        for of_part in devices_of_parts(session, devices)
    )
    return Closed(extents, after)


_DIRTY = """
    SELECT x.sid, x.low_seq, x.high_seq, x.due_at FROM session_extent AS x
    WHERE x.dirty AND x.device_id = d.device_id AND x.sid {where} :somewhere
      AND {of_part}
    ORDER BY x.sid LIMIT :most
"""
# What is due later than anything rests was put off by a worker whose clock is ahead of this one's.
_EARLIER, _LATER = (
    _DIRTY.format(where=where, of_part=of_part("x.device_id")) for where in ("<", ">=")
)
_DIRTY_DEVICES = NextDevices("session_extent", "t.dirty")
_DUE = waiting_sessions(
    f"""
    SELECT y.sid, y.low_seq, y.high_seq, y.due_at AS waits_since
    FROM (({_LATER}) UNION ALL ({_EARLIER})) AS y
    WHERE (y.due_at <= :now OR y.due_at > :no_rest)
      AND y.sid <> ALL (CAST(:aside AS uuid[]))
    ORDER BY y.due_at LIMIT :each
    """,  # noqa: S608 - constants of this code
)
_OPEN = """
    SELECT o.device_id, o.sid FROM stimulation_session AS o
    WHERE o.state = 'open' AND o.device_id = d.device_id AND o.sid {where} :somewhere
      AND {of_part}
    ORDER BY o.sid LIMIT :each
"""
_EARLIER_OPEN, _LATER_OPEN = (
    _OPEN.format(where=where, of_part=of_part("o.device_id")) for where in ("<", ">=")
)
_OPEN_DEVICES = NextDevices("stimulation_session", "t.state = 'open'")
_MARK_SILENT = text(
    f"""
    WITH {DEVICE},
    silent AS MATERIALIZED (
      SELECT e.row, e.device_id
      FROM device AS d
      CROSS JOIN LATERAL (({_LATER_OPEN}) UNION ALL ({_EARLIER_OPEN})) AS s
      CROSS JOIN LATERAL (
        SELECT x.ctid AS row, x.device_id FROM session_extent AS x
        WHERE x.device_id = s.device_id AND x.sid = s.sid AND NOT x.dirty
          AND {of_part("x.device_id")}
          AND NOT EXISTS (SELECT FROM session_extent AS any_store
                          WHERE any_store.device_id = s.device_id AND any_store.sid = s.sid
                            AND any_store.last_received_at >= :before
                            AND {of_part("any_store.device_id")})
        OFFSET 0 FOR UPDATE OF x SKIP LOCKED) AS e),
    marked AS (
      UPDATE session_extent AS e SET dirty = true
      FROM silent AS s WHERE e.ctid = s.row AND e.device_id = s.device_id
        AND {of_part("e.device_id")}
      RETURNING 1)
    SELECT count(*) FROM marked
    """  # noqa: S608 - constants of this code
)
