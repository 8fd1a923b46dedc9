"""Retained messages to be withdrawn from a broker: a device's programme and presence from the time
of a holder who released it or was erased, or from before it moved to another cell.

A broker that is away keeps its own waiting, and nobody else's.

An empty retained message removes the one before and is itself not kept (MQTT 3.1.1, 3.3.1.3).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BindParameter, Select, any_, delete, func, select, text, update
from sqlalchemy.orm import Session

from cymba.devices.publication import publish_newest
from cymba.devices.tables import CellMove, Device, RetainedWithdrawal


class Withdrawal(NamedTuple):
    device_id: str
    asked_at: datetime


def ask_withdrawal(
    session: Session,
    device_ids: Iterable[str],
    now: datetime,
    *,
    cells: Sequence[str] | None = None,
) -> None:
    """Withdraw the retained messages of these devices after the commit, at the brokers of `cells`;
    None: of the cell that each is in, and of that to which it is to move."""
    asked = {"devices": sorted(set(device_ids)), "at": now, "cells": cells}
    session.execute(_ASK, asked)


def awaited_withdrawals(session: Session, cell: str, limit: int = 100) -> list[Withdrawal]:
    """What is to be withdrawn in `cell`, before anything is published; call it within a
    publication."""
    waiting = to_withdraw(cell).order_by(RetainedWithdrawal.device_id)
    return [Withdrawal(*one) for one in session.execute(waiting.limit(limit))]


def to_withdraw(cell: str | BindParameter[str]) -> Select[str, datetime]:
    row = RetainedWithdrawal
    return select(row.device_id, row.asked_at).where(any_(row.cells) == cell)


def mark_withdrawn(session: Session, withdrawn: Sequence[Withdrawal], cell: str) -> None:
    """The broker of `cell` has acknowledged the empty messages.

    A withdrawal that was asked for again meanwhile stays. The programme that a device of `cell` is
    to hold, and where it is to move, which the withdrawal may have removed, are published again.
    """
    if not withdrawn:
        return
    row = RetainedWithdrawal
    for device_id, asked_at in withdrawn:
        here = row.device_id == device_id, row.asked_at == asked_at
        rest = func.array_remove(row.cells, cell)
        session.execute(update(row).where(*here).values(cells=rest))
        session.execute(delete(row).where(*here, func.cardinality(row.cells) == 0))
        session.execute(
            update(CellMove).where(CellMove.device_id == device_id).values(told_at=None)
        )
    ids = [one.device_id for one in withdrawn]
    of_cell = select(Device.id).where(Device.id.in_(ids), Device.cell == cell)
    publish_newest(session, session.scalars(of_cell).all())


_ASK = text(
    """
    INSERT INTO retained_withdrawal AS r (device_id, asked_at, cells)
    SELECT d.id, :at, coalesce(CAST(:cells AS varchar[]),
                               array_remove(ARRAY[d.cell, m.to_cell], NULL))
    FROM device AS d LEFT JOIN cell_move AS m ON m.device_id = d.id
    WHERE d.id = ANY(:devices)
    ORDER BY d.id
    ON CONFLICT (device_id) DO UPDATE SET
      asked_at = excluded.asked_at,
      cells = ARRAY(SELECT unnest(r.cells) UNION SELECT unnest(excluded.cells))
    """
)
