"""A device's presence: when it was last seen, and its last status message."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from cymba.database import one_of
from cymba.devices.counter_laps import HALF_A_LAP_MS
from cymba.devices.messages import Presence
from cymba.devices.tables import DevicePresence, DeviceTenure
from cymba.parts import of_part, parts

CUT_OFF_WITHIN = timedelta(minutes=2)  # a will so soon after the message before it: cut off
SEEN_STEP = timedelta(seconds=60)  # how exact "last seen" is, for a device that only sends frames


class LastPresence(NamedTuple):
    """What is kept of a device's presence (`DevicePresence`), as it is read."""

    device_id: str
    online: bool
    store: int
    boot: int
    sent_ms: int
    firmware: str | None
    battery_pct: int | None
    queued_frames: int | None
    changed_at: datetime
    seen_at: datetime
    cut_offs: int
    cut_off_since: datetime | None
    drained_at: datetime | None


def record_presence(
    session: Session, device_id: str, presence: Presence, at: datetime, *, live: bool = True
) -> Literal["current", "late"]:
    """Store a device's presence message, unless a newer one is stored.

    Messages are ordered by their connection, `(boot, sent)`: a last will that comes late belongs to
    an older connection than the present one. Within one connection the will is the last message. A
    new store (a factory reset) starts again when it first comes online, and so does a counter of 32
    bits that begins anew (`counter_laps`). `live` is false for a message that the broker had
    retained, which shows nobody at that moment.
    """
    row = DevicePresence
    drained = live and presence.online and presence.queued == 0
    statement = insert(DevicePresence).values(
        device_id=device_id,
        online=presence.online,
        store=presence.store,
        boot=presence.boot,
        sent_ms=presence.sent,
        firmware=presence.firmware,
        battery_pct=presence.battery_pct,
        queued_frames=presence.queued,
        changed_at=at,
        seen_at=at,
        drained_at=at if drained else None,
    )
    values = statement.excluded
    newer = or_(
        and_(row.store != values.store, values.online),
        and_(
            row.store == values.store,
            or_(
                values.boot > row.boot,
                and_(
                    values.boot == row.boot,
                    or_(
                        and_(
                            values.sent_ms > row.sent_ms,
                            or_(values.online, values.sent_ms - row.sent_ms <= HALF_A_LAP_MS),
                        ),
                        and_(values.online, row.sent_ms - values.sent_ms > HALF_A_LAP_MS),
                        and_(
                            values.sent_ms == row.sent_ms,
                            or_(row.online, ~values.online),
                        ),
                    ),
                ),
            ),
        ),
    )
    ends = and_(row.online, ~values.online)
    soon = values.changed_at - row.changed_at < CUT_OFF_WITHIN
    stored = session.scalar(
        statement.on_conflict_do_update(
            index_elements=[row.device_id],
            set_={
                "online": values.online,
                "store": values.store,
                "boot": values.boot,
                "sent_ms": values.sent_ms,
                # A will was written at the connection's start: what it leaves out is kept.
                "firmware": func.coalesce(values.firmware, row.firmware),
                "battery_pct": func.coalesce(values.battery_pct, row.battery_pct),
                "queued_frames": func.coalesce(values.queued_frames, row.queued_frames),
                "drained_at": func.coalesce(values.drained_at, row.drained_at),
                "changed_at": values.changed_at,
                "cut_offs": case((ends & soon, row.cut_offs + 1), (ends, 0), else_=row.cut_offs),
                "cut_off_since": case(
                    (ends & soon, func.coalesce(row.cut_off_since, row.changed_at)),
                    (ends, None),
                    else_=row.cut_off_since,
                ),
                "seen_at": func.greatest(row.seen_at, values.seen_at) if live else row.seen_at,
            },
            where=newer,
        ).returning(row.device_id)
    )
    return "current" if stored else "late"


def record_seen(session: Session, seen: Mapping[str, datetime]) -> None:
    """Update `seen_at` of devices that sent frames, but those that another process updates now."""
    for part in parts(session, seen) if seen else ():
        devices = list(seen) if part is None else list(part)
        session.execute(
            _RECORD_SEEN,
            {
                "part": part,
                "devices": devices,
                "times": [seen[one] for one in devices],
                "step": SEEN_STEP,
            },
        )


_RECORD_SEEN = text(
    f"""
    UPDATE device_presence AS p SET seen_at = k.at
    FROM unnest(CAST(:devices AS text[]), CAST(:times AS timestamptz[])) AS k (device_id, at)
    WHERE p.device_id = k.device_id AND {of_part("p.device_id")} AND (p.device_id, p.ctid) IN (
      SELECT q.device_id, q.ctid FROM device_presence AS q
      JOIN unnest(CAST(:devices AS text[]), CAST(:times AS timestamptz[]))
             AS j (device_id, at) USING (device_id)
      WHERE q.seen_at < j.at - CAST(:step AS interval) AND {of_part("q.device_id")}
      FOR UPDATE OF q SKIP LOCKED)
    """  # noqa: S608 - a constant
)


def latest_store(session: Session, device_id: str) -> int | None:
    """The flash store that a device last came online with."""
    return session.scalar(select(DevicePresence.store).where(DevicePresence.device_id == device_id))


def with_another_store(session: Session, stores: Mapping[str, int]) -> set[str]:
    """Those of the devices that last came online with another flash store than now: since then they
    were reset. Call it before their presence is recorded."""
    row = DevicePresence
    known = session.execute(select(row.device_id, row.store).where(one_of(row.device_id, stores)))
    return {device_id for device_id, store in known if store != stores[device_id]}


_earlier = aliased(DeviceTenure)
KNOWN_TO_HOLDER: ColumnElement[bool] = and_(
    DevicePresence.device_id == DeviceTenure.device_id,
    or_(
        DevicePresence.seen_at >= DeviceTenure.claimed_at,
        ~exists()
        .where(
            _earlier.device_id == DeviceTenure.device_id,
            _earlier.claimed_at < DeviceTenure.claimed_at,
            _earlier.account_id.is_distinct_from(DeviceTenure.account_id),
        )
        .correlate(DeviceTenure),
    ),
)
"""Joins a tenure with its device's last presence, unless that was in an earlier holder's time: when
they last used it is private."""
