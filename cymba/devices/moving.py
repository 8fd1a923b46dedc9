"""Moving a device to another cell. No step waits for a broker that is dead, nor hurries past it:

1. It is asked for. The device goes on where it is.
2. The new cell's bridge publishes the device's newest programme at its broker. A version that is
   set later has it do so again.
3. Then that broker admits the device, and the old cell's bridge tells it the new address.
4. The device comes. From then on it belongs there, the old broker refuses it, and what it retains
   is withdrawn.

So a device that cannot follow loses nothing: it stays where it is, or comes back, and an operator
may ask again. Whatever it sent to both cells is in one ledger.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import BindParameter, Select, any_, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from cymba.broker_address import BrokerAddress
from cymba.database import one_of
from cymba.devices import cells
from cymba.devices.clocks import to_ms
from cymba.devices.issuing import lock_devices
from cymba.devices.messages import Desired, Relocation
from cymba.devices.provisioning import tell_brokers
from cymba.devices.publication import AGAIN_EVERY, newest_messages, publish_newest
from cymba.devices.signing import sign
from cymba.devices.tables import CellMove, Device, RetainedWithdrawal
from cymba.devices.withdrawal import ask_withdrawal
from cymba.errors import Conflict, NotFound, Rejected


class Preparation(NamedTuple):
    """A device that is to come here, and the programme that has to be here before it."""

    device_id: str
    at_ms: int
    desired: Desired | None


class Telling(NamedTuple):
    """A device of this cell that is to hear where to go."""

    device_id: str
    relocation: Relocation


def ask(
    session: Session, key: Ed25519PrivateKey, device_id: str, to_cell: str, now: datetime
) -> None:
    """Have a device come to another cell. Its own cell's name takes back an earlier move.

    Raises:
        NotFound: there is no such device.
        Rejected: there is no such cell, no address of it is known, or one without TLS, which no
            device follows that has it.
        Conflict: the device is there already.
    """
    lock_devices(session, [device_id])
    device = session.get(Device, device_id, populate_existing=True)
    if device is None:
        raise NotFound(f"there is no device {device_id}")
    earlier = session.get(CellMove, device_id, populate_existing=True)
    address = None if device.cell == to_cell else _address_to_tell(session, device, to_cell)
    if address is None and earlier is None:
        raise Conflict(f"device {device_id} is in cell {to_cell!r} already")
    if earlier is not None:
        ask_withdrawal(session, [device_id], now, cells=[device.cell, earlier.to_cell])
        session.delete(earlier)
        session.flush()
    if address is not None:
        # What its broker retains of an earlier time there.
        ask_withdrawal(session, [device_id], now, cells=[to_cell])
        # Above all that it may have followed, whatever the clock says: it ignores what is not.
        at_ms = device.last_move_ms = max(round(to_ms(now)), device.last_move_ms + 1)
        told = sign(key, device_id, Relocation(at=at_ms, broker=address))
        assert told.signature is not None  # noqa: S101 - `sign` has just set it
        session.add(
            CellMove(
                device_id=device_id,
                to_cell=to_cell,
                at_ms=at_ms,
                address=address,
                signature=told.signature,
            )
        )
        session.flush()
    tell_brokers(session)


def _address_to_tell(session: Session, device: Device, to_cell: str) -> str:
    address, here = (cells.known_cell(session, one) for one in (to_cell, device.cell))
    if address is None:
        raise Rejected(
            f"no address of cell {to_cell!r} is known: cymba cell add {to_cell} mqtts://host"
        )
    if here and BrokerAddress.parse(here).tls and not BrokerAddress.parse(address).tls:
        raise Rejected(f"{address} is without TLS, which device {device.id} would not give up")
    return address


def to_prepare(session: Session, cell: str, limit: int) -> list[Preparation]:
    """Devices that are to come to `cell`."""
    moves = session.scalars(coming(cell).order_by(CellMove.device_id).limit(limit)).all()
    programmes = newest_messages(session, [one.device_id for one in moves])
    return [Preparation(one.device_id, one.at_ms, programmes.get(one.device_id)) for one in moves]


def coming(cell: str | BindParameter[str]) -> Select[CellMove]:
    """What is to be withdrawn in `cell` goes first."""
    withdrawn = exists().where(
        RetainedWithdrawal.device_id == CellMove.device_id, any_(RetainedWithdrawal.cells) == cell
    )
    return select(CellMove).where(CellMove.to_cell == cell, CellMove.ready_at.is_(None), ~withdrawn)


def to_tell(session: Session, cell: str, limit: int, now: datetime) -> list[Telling]:
    """Devices of `cell` whom another one awaits. Those that do not follow are told again: the
    broker may have lost the message."""
    moves = session.scalars(going(cell, now).order_by(CellMove.device_id).limit(limit))
    return [
        Telling(
            one.device_id,
            Relocation(at=one.at_ms, broker=one.address, signature=one.signature),
        )
        for one in moves
    ]


def going(
    cell: str | BindParameter[str], now: datetime | BindParameter[datetime]
) -> Select[CellMove]:
    return (
        select(CellMove)
        .join(Device, Device.id == CellMove.device_id)
        .where(Device.cell == cell, CellMove.ready_at.is_not(None))
        .where(or_(CellMove.told_at.is_(None), CellMove.told_at < now - AGAIN_EVERY))
    )


def mark_prepared(session: Session, prepared: Sequence[Preparation], now: datetime) -> None:
    """The new broker has acknowledged these: it may admit their devices. The devices are locked;
    a version that was set meanwhile is published first."""
    newest = newest_messages(session, [one.device_id for one in prepared])
    for device_id, at_ms, desired in prepared:
        if newest.get(device_id) == desired:
            session.execute(
                update(CellMove)
                .where(CellMove.device_id == device_id, CellMove.at_ms == at_ms)
                .values(ready_at=now)
            )
    if prepared:
        tell_brokers(session)


def mark_told(session: Session, told: Sequence[Telling], now: datetime) -> None:
    for device_id, relocation in told:
        session.execute(
            update(CellMove)
            .where(CellMove.device_id == device_id, CellMove.at_ms == relocation.at)
            .values(told_at=now)
        )


def still_here(session: Session, device_ids: Collection[str], cell: str) -> dict[str, str]:
    """Those of these devices of `cell` that were told to go, with the cell that awaits them."""
    rows = session.execute(
        select(CellMove.device_id, CellMove.to_cell)
        .join(Device, Device.id == CellMove.device_id)
        .where(one_of(CellMove.device_id, device_ids), CellMove.told_at.is_not(None))
        .where(Device.cell == cell)
    )
    return dict(rows.all())


def arrive(session: Session, device_ids: Collection[str], cell: str, now: datetime) -> list[str]:
    """Make devices that were heard from in `cell` its own, if they were to come. Return which."""
    coming = one_of(CellMove.device_id, device_ids), CellMove.to_cell == cell
    expected = session.scalars(select(CellMove.device_id).where(*coming)).all()
    if not expected:
        return []
    lock_devices(session, expected)
    came = session.execute(
        select(Device.id, Device.cell).where(
            Device.id.in_(select(CellMove.device_id).where(*coming))
        )
    ).all()
    for device_id, left in came:
        session.execute(update(Device).where(Device.id == device_id).values(cell=cell))
        session.execute(delete(CellMove).where(CellMove.device_id == device_id))
        ask_withdrawal(session, [device_id], now, cells=[left])
    arrived = [device_id for device_id, _ in came]
    if arrived:
        publish_newest(session, arrived)
        tell_brokers(session)
    return arrived
