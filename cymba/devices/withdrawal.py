"""Retained messages to be withdrawn from the broker: a device's programme and presence from the
time of a holder who released it or was erased.

An empty retained message removes the one before and is itself not kept (MQTT 3.1.1, 3.3.1.3).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.devices.publication import publish_again
from cymba.devices.tables import RetainedWithdrawal


def ask_withdrawal(session: Session, device_ids: Iterable[str], now: datetime) -> None:
    """Withdraw the retained messages of these devices after the commit."""
    rows = [{"device_id": device_id, "asked_at": now} for device_id in sorted(set(device_ids))]
    if rows:
        statement = insert(RetainedWithdrawal).values(rows)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=[RetainedWithdrawal.device_id],
                set_={"asked_at": statement.excluded.asked_at},
            )
        )


def awaited_withdrawals(session: Session, limit: int = 100) -> Sequence[RetainedWithdrawal]:
    """What is to be withdrawn, before anything is published; call it within a publication."""
    waiting = select(RetainedWithdrawal).order_by(RetainedWithdrawal.device_id).limit(limit)
    return session.scalars(waiting).all()


def mark_withdrawn(session: Session, withdrawn: Sequence[RetainedWithdrawal]) -> None:
    """The broker has acknowledged the empty messages.

    A withdrawal that was asked for again meanwhile stays. The programme of a next holder, which the
    withdrawal may have removed, is published again.
    """
    for one in withdrawn:
        session.execute(
            delete(RetainedWithdrawal).where(
                RetainedWithdrawal.device_id == one.device_id,
                RetainedWithdrawal.asked_at == one.asked_at,
            )
        )
    publish_again(session, (one.device_id for one in withdrawn))
