"""What runs, what waits and how the devices are: all that an operator looks at first."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.devices import cells
from cymba.devices.cells import CellShown
from cymba.operations import devices, queues
from cymba.operations.devices import Backlog, RecentSessions, ReportedFirmware
from cymba.operations.queues import Queue
from cymba.settings import FIRST_CELL

PARTS = ("api", "bridge", "seal", "insights", "imports", "mail", "passwords", "watch")
"""Processes that an installation has, by the second word of the names of their connections."""

NAME = "cymba"


class ConnectedProcess(NamedTuple):
    """A process as the database sees it. Every worker speaks with it in each round, so `quiet_s`
    is its heartbeat; a bridge and the API are quiet while nobody sends or asks anything."""

    name: str  # "bridge-0", of another cell than the first "bridge-north-0"
    connections: int
    connected_at: datetime
    quiet_s: float


class Status(NamedTuple):
    at: datetime
    processes: list[ConnectedProcess]
    missing: list[str]  # of PARTS: not connected at all
    queues: dict[str, Queue]
    quarantine: dict[str, int]  # frames that wait, by code
    states: dict[str, int]  # devices, by devices.STATES
    firmwares: list[ReportedFirmware]
    backlog: Backlog
    sessions: RecentSessions
    cells: list[CellShown]


def read_status(session: Session, now: datetime) -> Status:
    running = processes(session)
    divided = cells.cells(session)
    # A bridge of another cell than the first has that in its name: "bridge-north-0".
    parts = {one.name.partition("-")[0] for one in running}
    bridges = {one.name.rpartition("-")[0] for one in running}
    needed = [*PARTS, *(f"bridge-{one.name}" for one in divided if one.name != FIRST_CELL)]
    return Status(
        at=now,
        processes=running,
        missing=[part for part in needed if part not in parts | bridges],
        queues={name: read(session, now) for name, read in queues.QUEUES.items()},
        quarantine=queues.quarantine(session, now),
        states=devices.by_state(session, now),
        firmwares=devices.by_firmware(session, now),
        backlog=devices.backlog(session, now),
        sessions=devices.recent_sessions(session, now),
        cells=divided,
    )


def processes(session: Session) -> list[ConnectedProcess]:
    """Those that are connected now, of this user of the database."""
    return [ConnectedProcess(*row) for row in session.execute(text(_CONNECTED), {"name": NAME})]


# Of other users the database shows no name.
_CONNECTED = """
    SELECT substr(a.application_name, length(:name) + 2), count(*), min(a.backend_start),
           CAST(extract(epoch FROM
             clock_timestamp() - max(greatest(a.query_start, a.state_change))) AS float8)
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.backend_type = 'client backend'
      AND starts_with(a.application_name, :name || ' ')
    GROUP BY a.application_name ORDER BY a.application_name
"""
