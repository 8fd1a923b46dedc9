"""Single devices as their operator sees them, and what the operator may do: lift a suspension, move
a device to another cell, and replay a frame from quarantine. Whoever holds the device reads of it
in their audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from cymba.accounts.audit import Actor, note
from cymba.database import line_of
from cymba.devices import moving, suspension
from cymba.devices.claiming import load_tenures
from cymba.devices.provisioning import read_serial
from cymba.devices.tables import Device, DeviceSuspension
from cymba.errors import NotFound
from cymba.operations.devices import JOINED, MOST_BACKLOG, RECENT, STATE
from cymba.stimulation.ingest import quarantine
from cymba.stimulation.ingest.quarantine import Replayed


class FleetDevice(NamedTuple):
    id: str
    serial: str
    model: str
    state: str  # one of devices.STATES
    firmware: str | None  # as it reports it, so it may be anything
    seen_at: datetime | None
    backlog_frames: int | None
    completeness: float | None  # mean of the sessions that began within a day


class SuspendedDevice(NamedTuple):
    device_id: str
    suspended_at: datetime
    until: datetime


def page(
    session: Session,
    now: datetime,
    *,
    state: str | None = None,
    firmware: str | None = None,
    after: str = "",
    limit: int = 50,
) -> list[FleetDevice]:
    """A page in the order of the ids; `after` is the last one of the page before."""
    conditions = ["d.id > :after"]
    if state is not None:
        conditions.append(f"{STATE} = :state")
    if firmware is not None:
        conditions.append("p.firmware = :firmware")
    statement = f"""
        SELECT d.id, d.serial, d.model, {STATE}, p.firmware, p.seen_at,
               least(p.queued_frames, :most)
        FROM {JOINED}
        WHERE {" AND ".join(conditions)}
        ORDER BY d.id LIMIT :limit
    """  # noqa: S608 - constants of this code
    values: dict[str, Any] = {"after": after, "state": state, "firmware": firmware, "limit": limit}
    values["most"] = MOST_BACKLOG
    rows = session.execute(text(statement), values).all()
    of_page = {"devices": [row.id for row in rows], "since": now - RECENT}
    means: dict[str, float] = dict(session.execute(_COMPLETENESS, of_page).all())
    return [FleetDevice._make([*row, means.get(row.id)]) for row in rows]


_COMPLETENESS = text("""
    SELECT x.device_id, avg(x.completeness) FROM stimulation_session AS x
    WHERE x.device_id = ANY (CAST(:devices AS text[])) AND x.started_at >= :since
      AND x.hidden_at IS NULL
    GROUP BY x.device_id
""")


def suspended(session: Session, *, after: str = "", limit: int = 50) -> Sequence[SuspendedDevice]:
    """Devices that are kept out for now, in the order of their ids."""
    row = DeviceSuspension
    query = select(row.device_id, row.until).where(row.device_id > after).order_by(row.device_id)
    return [
        SuspendedDevice(device_id, until - suspension.SUSPENDED_FOR, until)
        for device_id, until in session.execute(query.limit(limit))
    ]


def lift_suspension(session: Session, device_id: str, by: Actor, now: datetime) -> bool:
    """Let a device in before its time; False if it is not suspended (any more).

    Raises:
        NotFound: there is no such device.
    """
    if session.get(Device, device_id) is None:
        raise NotFound(f"there is no device {device_id}")
    if not suspension.lift(session, device_id):
        return False
    _tell(session, device_id, now, by, "device.suspension_lifted")
    return True


def move(
    session: Session, key: Ed25519PrivateKey, name: str, cell: str, *, by: Actor, now: datetime
) -> None:
    """Have a device, by its id or serial, come to another cell (`moving.ask`).

    Raises:
        NotFound, Rejected, Conflict: as there.
    """
    named = select(Device.id).where(or_(Device.id == name, Device.serial == read_serial(name)))
    device_id = session.scalar(named.order_by(Device.id != name).limit(1))
    if device_id is None:
        raise NotFound(f"there is no device {name}")
    moving.ask(session, key, device_id, cell, now)
    _tell(session, device_id, now, by, "device.moved", cell=cell)


def replay(session: Session, quarantine_id: int, by: Actor) -> Replayed:
    """As `quarantine.replay`, and whose device it was at the time reads of it.

    Raises:
        NotFound, Conflict: as there.
    """
    row = quarantine.get(session, quarantine_id)
    device_id, received_at = row.device_id, row.received_at
    replayed = quarantine.replay(session, quarantine_id)
    _tell(session, device_id, received_at, by, "quarantine.replayed", frame=quarantine_id)
    return replayed


def _tell(
    session: Session, device_id: str, at: datetime, by: Actor, action: str, **detail: int | str
) -> None:
    holder: UUID | None = load_tenures(line_of(session), device_id).holder_at(at)
    if holder is not None:
        note(session, holder, by, action, device=device_id, **detail)
