"""Sessions whose times may move because a clock became known better: marked for a new summary.

The bridge asks (`ingest.statements.ask_retiming`), a worker marks: some sessions of a device at a
time, and a device that asks again and again waits longer each time. Every new boot with a time of
its own asks; an honest device has a few of those a day.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Row, Text, func, literal_column, or_, select, text, update
from sqlalchemy.orm import Session

from cymba.stimulation.tables import Retiming

DEVICES_AT_ONCE = 100
EXTENTS_AT_ONCE = 1_000  # of one device: more than a hundred days of eight sessions each
FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=10)


def devices_due(session: Session, now: datetime, *, but: Collection[str] = ()) -> list[str]:
    """Devices whose sessions are to be marked now. Each is there once, and then goes behind."""
    query = (
        select(Retiming.device_id)
        .where(
            Retiming.asked,
            or_(
                Retiming.due_at <= now,
                Retiming.due_at > now + LONGEST_WAIT,  # by a clock that is ahead of this one
                Retiming.swept_sid.is_not(None),
            ),
            Retiming.device_id.not_in(but),
        )
        .order_by(Retiming.due_at, Retiming.device_id)
        .limit(DEVICES_AT_ONCE)
    )
    return list(session.scalars(query))


def mark_retimed(session: Session, device_id: str, now: datetime) -> int:
    """Mark the next sessions of the device, in a transaction of its own; how many extents.

    Those are the sessions of the store, in the boots that moved and their neighbours up to the
    next boots that are anchored on both sides, which nothing moves; and, since an anchored boot
    shows how far the device's own clock is off, all that were placed by that.
    """
    name = func.hashtextextended(f"retiming/{device_id}", 0)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(name))):
        return 0
    # The row is locked after the extents, as the bridge locks it.
    asked = _read(session, device_id)
    if asked is None or not asked.asked:
        return 0
    begins = asked.swept_sid is None
    marked, sid, store, looked_at = session.execute(
        _MARK,
        {
            "device_id": device_id,
            "store": asked.store,
            "low_boot": asked.low_boot,
            "high_boot": asked.high_boot,
            "after_sid": UUID(int=0) if begins else asked.swept_sid,
            "after_store": -1 if begins else asked.swept_store,
            "most": EXTENTS_AT_ONCE,
        },
    ).one()
    is_whole = looked_at < EXTENTS_AT_ONCE
    last = _read(session, device_id, lock=True)
    values: dict[str, Any] = {}
    if begins:
        wait = _wait(asked, now)
        values |= {
            "wait_s": wait.total_seconds(),
            "due_at": now + wait,
        }
    if last is not None and last.xmin == asked.xmin:  # else more was asked meanwhile
        values |= {"asked": not is_whole}
        values |= dict.fromkeys(("swept_sid", "swept_store"))
        if not is_whole:
            values |= {"swept_sid": sid, "swept_store": store}
    if values:
        session.execute(update(Retiming).where(Retiming.device_id == device_id).values(values))
    return int(marked)


def _read(session: Session, device_id: str, *, lock: bool = False) -> Row[Any] | None:
    table = Retiming.__table__
    query = select(table, _XMIN).where(table.c.device_id == device_id)
    return session.execute(query.with_for_update() if lock else query).first()


def _wait(asked: Row[Any], now: datetime) -> timedelta:
    """Twice the last one, or the first again where the device was quiet for as long as that."""
    last = timedelta(seconds=asked.wait_s)
    return FIRST_WAIT if now > asked.due_at + last else min(2 * last, LONGEST_WAIT)


_XMIN = literal_column("xmin").cast(Text).cast(BigInteger).label("xmin")
_MARK = text(
    """
    WITH moved AS MATERIALIZED (
      SELECT (SELECT a.boot FROM clock_anchor AS a
              WHERE a.device_id = :device_id AND a.store = CAST(:store AS bigint)
                AND a.boot < :low_boot AND a.kind IN ('exchange', 'arrival')
              ORDER BY a.boot DESC LIMIT 1) AS before_boot,
             (SELECT a.boot FROM clock_anchor AS a
              WHERE a.device_id = :device_id AND a.store = CAST(:store AS bigint)
                AND a.boot > :high_boot AND a.kind IN ('exchange', 'arrival')
              ORDER BY a.boot LIMIT 1) AS after_boot),
    looked_at AS MATERIALIZED (
      SELECT e.sid, e.store, e.low_boot, e.high_boot FROM session_extent AS e
      WHERE e.device_id = :device_id AND (e.sid, e.store) > (:after_sid, :after_store)
      ORDER BY e.sid, e.store LIMIT :most),
    touched AS (
      SELECT l.sid, l.store FROM looked_at AS l CROSS JOIN moved AS m
      WHERE CAST(:store AS bigint) IS NULL
         OR (l.store = :store AND l.high_boot > coalesce(m.before_boot, -1)
             AND (m.after_boot IS NULL OR l.low_boot < m.after_boot))
         OR EXISTS (SELECT FROM stimulation_session AS p
                    WHERE p.device_id = :device_id AND p.sid = l.sid
                      AND p.time_source = 'device_clock')),
    locked AS MATERIALIZED (
      SELECT t.sid, t.store FROM (SELECT * FROM touched ORDER BY sid, store) AS t
      CROSS JOIN LATERAL (
        SELECT FROM session_extent AS e
        WHERE e.device_id = :device_id AND e.sid = t.sid AND e.store = t.store
        OFFSET 0 FOR UPDATE) AS s),
    marked AS (
      UPDATE session_extent AS e SET dirty = true FROM locked AS t
      WHERE e.device_id = :device_id AND e.sid = t.sid AND e.store = t.store RETURNING 1)
    SELECT (SELECT count(*) FROM marked), z.sid, z.store, (SELECT count(*) FROM looked_at)
    FROM (SELECT 1) AS one
    LEFT JOIN (SELECT * FROM looked_at ORDER BY sid DESC, store DESC LIMIT 1) AS z ON true
    """
)
