"""Sessions that wait for a worker, by their devices: a round reads of each no more than its share.

So what one device has waiting costs the others nothing, not even the reading of its rows.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.stimulation.archive.reading import SessionKey

DEVICES_A_ROUND = 500
SESSIONS_OF_A_DEVICE = 20


class WaitingSession(NamedTuple):
    """`party` is the account that holds its device now, else the device."""

    key: SessionKey
    party: UUID | str
    frames: int  # at most: what it costs


class WaitingSessions(NamedTuple):
    """`after` is where the next round goes on; empty once all devices were looked at."""

    sessions: list[WaitingSession]
    after: str


def next_devices(table: str, condition: str) -> str:
    """SQL of `device`: the next :devices after :after that have rows of `condition`.

    Each is one step in an index of those rows that begins with the device.
    """
    return f"""
    RECURSIVE step AS (
      (SELECT t.device_id FROM {table} AS t WHERE {condition} AND t.device_id > :after
       ORDER BY t.device_id LIMIT 1)
      UNION ALL
      SELECT (SELECT t.device_id FROM {table} AS t
              WHERE {condition} AND t.device_id > s.device_id ORDER BY t.device_id LIMIT 1)
      FROM step AS s WHERE s.device_id IS NOT NULL),
    device AS MATERIALIZED (
      SELECT device_id FROM step WHERE device_id IS NOT NULL LIMIT :devices)
    """  # noqa: S608 - constants of this code


def waiting_sessions(devices: str, of_device: str) -> str:
    """SQL that `read_waiting` takes: of each of `devices` the extents that `of_device` gives."""
    return f"""
    WITH {devices}
    SELECT d.device_id,
           (SELECT t.account_id FROM device_tenure AS t
            WHERE t.device_id = d.device_id AND t.released_at IS NULL),
           e.sid, e.high_seq - e.low_seq + 1, max(d.device_id) OVER ()
    FROM device AS d LEFT JOIN LATERAL ({of_device}) AS e ON true
    ORDER BY e.waits_since, d.device_id, e.sid
    """  # noqa: S608 - constants of this code


def read_waiting(
    session: Session,
    statement: str,
    values: Mapping[str, Any],
    *,
    after: str,
    but: Collection[SessionKey],
) -> WaitingSessions:
    """Sessions in order of their waiting; none of `but`, which are set aside."""
    rows: Iterable[Any] = session.execute(
        text(statement),
        {
            "after": after,
            "devices": DEVICES_A_ROUND,
            "each": SESSIONS_OF_A_DEVICE,
            "aside": [key.sid for key in but],
        }
        | dict(values),
    ).all()
    found: dict[SessionKey, WaitingSession] = {}
    devices, last = set(), ""
    for device_id, account_id, sid, frames, last in rows:  # noqa: B007 - the same in each
        devices.add(device_id)
        key = SessionKey(device_id, sid)
        if sid is not None and key not in but:
            found[key] = WaitingSession(key, account_id or device_id, frames)
    return WaitingSessions(list(found.values()), "" if len(devices) < DEVICES_A_ROUND else last)
