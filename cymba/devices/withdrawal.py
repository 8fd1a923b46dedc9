"""Retained messages that the broker is to forget: what was desired of a device by a holder who let
it go or was erased, and what the device said of itself in their time.

An empty retained message takes the place of one and is itself not kept (MQTT 3.1.1, 3.3.1.3).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.devices.publication import publish_again
from cymba.devices.tables import RetainedWithdrawal


def ask_withdrawal(session: Session, device_ids: Iterable[str], now: datetime) -> None:
    """Have what the broker retains of these devices withdrawn after the commit."""
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
    """The broker has the empty messages and has said so.

    One that was asked for again meanwhile stays. A next holder's programme that the withdrawal
    may have overtaken is published once more.
    """
    for one in withdrawn:
        session.execute(
            delete(RetainedWithdrawal).where(
                RetainedWithdrawal.device_id == one.device_id,
                RetainedWithdrawal.asked_at == one.asked_at,
            )
        )
    publish_again(session, (one.device_id for one in withdrawn))
