"""Cells: brokers, each with its own bridges. A device belongs to one.

Which cell a device is of is said here alone: who may connect to a broker, and what a bridge takes
in and publishes, is asked of it. A device that moves may come to both (`moving`).
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, and_, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.broker_address import BrokerAddress
from cymba.database import one_of
from cymba.devices.tables import Cell, CellMove, Device
from cymba.errors import Rejected
from cymba.settings import FIRST_CELL, CellName


class CellShown(NamedTuple):
    name: str
    address: str | None  # None: the first one, whose address nobody has told
    devices: int
    coming: int  # devices that are to move here and have not come yet


def admitted_by(cell: str) -> ColumnElement[bool]:
    """Whether a device may connect to the broker of `cell`: it belongs there, or is to come and
    its programme stands there."""
    ready = select(CellMove.device_id).where(
        CellMove.to_cell == cell, CellMove.ready_at.is_not(None)
    )
    return or_(Device.cell == cell, Device.id.in_(ready))


def elsewhere(session: Session, device_ids: Collection[str], cell: str) -> dict[str, str]:
    """Those of the devices that have no business in `cell`, each with the cell it belongs to."""
    rows = session.execute(
        select(Device.id, Device.cell)
        .outerjoin(CellMove, and_(CellMove.device_id == Device.id, CellMove.to_cell == cell))
        .where(one_of(Device.id, device_ids), Device.cell != cell, CellMove.device_id.is_(None))
    )
    return dict(rows.all())


def add(session: Session, name: str, address: str, now: datetime) -> None:
    """Add a cell, or tell a new address of one that there is. Devices that are there already hear
    nothing of it.

    Raises:
        Rejected: it is no name, or no address.
    """
    try:
        msgspec.convert(name, CellName)
    except msgspec.ValidationError:
        raise Rejected(
            f"{name!r} is no name of a cell: up to 31 small letters and digits, a letter first"
        ) from None
    try:
        parsed = BrokerAddress.parse(address)
    except ValueError as error:
        raise Rejected(f"the address of a cell: {error}") from None
    if parsed.username is not None or len(address) > 200 or not address.isascii():
        raise Rejected("the address is told to devices: mqtt[s]://host[:port], and no user in it")
    row = insert(Cell).values(name=name, address=address, added_at=now)
    session.execute(
        row.on_conflict_do_update(index_elements=[Cell.name], set_={"address": address})
    )


def cells(session: Session) -> list[CellShown]:
    """All cells; the first one before the others."""
    counted = session.execute(text(_COUNTED), {"first": FIRST_CELL})
    return [CellShown(*row) for row in counted]


def known_cell(session: Session, name: str) -> str | None:
    """The address of a cell; None of the first one, where nobody has told it.

    Raises:
        Rejected: there is no such cell.
    """
    address = session.scalar(select(Cell.address).where(Cell.name == name))
    if address is None and name != FIRST_CELL:
        names = ", ".join(one.name for one in cells(session))
        raise Rejected(f"there is no cell {name!r}; there are {names}", code="unknown-cell")
    return address


_COUNTED = """
    SELECT n.name, c.address,
           (SELECT count(*) FROM device AS d WHERE d.cell = n.name), coalesce(m.devices, 0)
    FROM (SELECT :first AS name UNION SELECT name FROM cell) AS n
    LEFT JOIN cell AS c ON c.name = n.name
    LEFT JOIN (SELECT to_cell, count(*) AS devices FROM cell_move GROUP BY to_cell) AS m
      ON m.to_cell = n.name
    ORDER BY n.name <> :first, n.name
"""
