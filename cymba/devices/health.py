"""A device's health: its last presence, and the quality of its clock."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import Uuid, bindparam, select
from sqlalchemy.orm import Session

from cymba.devices.anchors import load_clocks
from cymba.devices.clocks import TimeSource
from cymba.devices.presence import KNOWN_TO_HOLDER, LastPresence
from cymba.devices.tables import DevicePresence, DeviceTenure

Unsynced = Literal["none", "waiting", "unknown"]
"""`waiting`: the device reported frames that it holds. `unknown`: it may have recorded since it was
last seen, so no session here does not mean that there was none."""


class ClockQuality(NamedTuple):
    """How well moments of the device's present boot can be placed."""

    source: TimeSource
    error_ms: int


class Health(NamedTuple):
    online: bool
    last_seen_at: datetime | None  # None: it never came online
    firmware: str | None
    battery_pct: int | None
    backlog_frames: int | None  # when it last said so
    unsynced: Unsynced
    complete_until: datetime | None  # all that it had recorded by then is here
    clock: ClockQuality | None


def health(session: Session, seen: LastPresence | None, now: datetime) -> Health:
    """A device's health by its last presence, if the caller may see one."""
    if seen is None:
        return Health(False, None, None, None, None, "unknown", None, None)
    clocks = load_clocks(session, seen.device_id, [(seen.store, seen.boot)])
    store = clocks.stores.get(seen.store)
    boot = store.boots.get(seen.boot) if store else None
    last_up_ms = boot.last_up_ms if boot else seen.sent_ms
    moment = clocks.at(seen.store, seen.boot, last_up_ms, now)
    return Health(
        online=seen.online,
        last_seen_at=seen.seen_at,
        firmware=seen.firmware,
        battery_pct=seen.battery_pct,
        backlog_frames=seen.queued_frames,
        unsynced=_unsynced(seen.queued_frames, online=seen.online),
        complete_until=seen.drained_at,
        clock=ClockQuality(moment.source, moment.error_ms),
    )


class Behind(NamedTuple):
    """A device that may hold more than was uploaded."""

    device_id: str
    unsynced: Unsynced
    backlog_frames: int | None
    complete_until: datetime | None


BEHIND = (
    select(
        DeviceTenure.device_id,
        DevicePresence.online,
        DevicePresence.queued_frames,
        DevicePresence.drained_at,
    )
    .outerjoin(DevicePresence, KNOWN_TO_HOLDER)
    .where(
        DeviceTenure.account_id == bindparam("account_id", type_=Uuid()),
        DeviceTenure.released_at.is_(None),
    )
)
"""The account's devices, as `devices_behind` takes them."""


def devices_behind(
    rows: Iterable[tuple[str, bool | None, int | None, datetime | None]],
) -> list[Behind]:
    """Those of the rows of `BEHIND` whose sessions may not all have been uploaded, by their ids."""
    found = [
        Behind(device_id, _unsynced(queued_frames, online=online), queued_frames, drained_at)
        for device_id, online, queued_frames, drained_at in rows
    ]
    return sorted(one for one in found if one.unsynced != "none")


def _unsynced(queued_frames: int | None, *, online: bool | None) -> Unsynced:
    if queued_frames:
        return "waiting"
    return "none" if online and queued_frames == 0 else "unknown"
