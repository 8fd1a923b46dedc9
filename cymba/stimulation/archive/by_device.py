"""Sessions that wait for a worker, by their devices: a round reads of each no more than its share.

So what one device has waiting costs the others nothing, not even the reading of its rows.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from cymba.parts import lies_in_parts, parts
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


class NextDevices:
    """The next devices that have rows of `condition` in `table`, in the order of their ids.

    Each is one step in an index of those rows that begins with the device. On several nodes, where
    no statement takes steps, each part gives its next ones.
    """

    def __init__(self, table: str, condition: str) -> None:
        self._in_parts = text(
            f"""
            SELECT DISTINCT t.device_id FROM {table} AS t
            WHERE {condition} AND t.device_id > :after ORDER BY t.device_id LIMIT :devices
            """  # noqa: S608 - constants of this code
        )
        self._by_steps = text(
            f"""
            WITH RECURSIVE step AS (
              (SELECT t.device_id FROM {table} AS t WHERE {condition} AND t.device_id > :after
               ORDER BY t.device_id LIMIT 1)
              UNION ALL
              SELECT (SELECT t.device_id FROM {table} AS t
                      WHERE {condition} AND t.device_id > s.device_id
                      ORDER BY t.device_id LIMIT 1)
              FROM step AS s WHERE s.device_id IS NOT NULL)
            SELECT device_id FROM step WHERE device_id IS NOT NULL LIMIT :devices
            """  # noqa: S608 - constants of this code
        )

    def read(self, session: Session, after: str) -> tuple[list[str], str]:
        """Those of a round, and where the next one goes on: empty after the last."""
        statement = self._in_parts if lies_in_parts(session) else self._by_steps
        values = {"after": after, "devices": DEVICES_A_ROUND}
        found = list(session.scalars(statement, values))
        return found, found[-1] if len(found) == DEVICES_A_ROUND else ""


def devices_of_parts(session: Session, devices: Collection[str]) -> list[dict[str, Any]]:
    """The values of `DEVICE` and `of_part`, for a statement of each part."""
    return [
        {"given": list(devices) if part is None else part, "part": part}
        for part in (parts(session, devices) if devices else ())
    ]


DEVICE = """
    device AS MATERIALIZED (SELECT device_id FROM unnest(CAST(:given AS text[])) AS g (device_id))
"""


def waiting_sessions(of_device: str) -> TextClause:
    """What `read_waiting` takes: of each device the extents that `of_device` gives."""
    return text(
        f"""
        WITH {DEVICE}
        SELECT e.waits_since, d.device_id, e.sid,
               (SELECT t.account_id FROM device_tenure AS t
                WHERE t.device_id = d.device_id AND t.released_at IS NULL),
               e.high_seq - e.low_seq + 1
        FROM device AS d CROSS JOIN LATERAL ({of_device}) AS e
        """  # noqa: S608 - constants of this code
    )


def read_waiting(
    session: Session,
    next_devices: NextDevices,
    statement: TextClause,
    values: Mapping[str, Any],
    *,
    after: str,
    but: Collection[SessionKey],
) -> WaitingSessions:
    """Sessions in order of their waiting; none of `but`, which are set aside."""
    devices, after = next_devices.read(session, after)
    common = {"each": SESSIONS_OF_A_DEVICE, "aside": [key.sid for key in but]} | dict(values)
    rows: list[Any] = []
    for of_part in devices_of_parts(session, devices):
        rows += session.execute(statement, common | of_part)
    found: dict[SessionKey, WaitingSession] = {}
    for _, device_id, sid, account_id, frames in sorted(rows, key=lambda row: row[:3]):
        key = SessionKey(device_id, sid)
        if key not in but:
            found[key] = WaitingSession(key, account_id or device_id, frames)
    return WaitingSessions(list(found.values()), after)
