"""Devices that flood the broker are kept out of it for a while.

A broker hands on what it gets in the order in which it came, so what one device floods it with all
others wait behind: refusing frames one by one is not enough. A device whose frames keep coming by
the thousand though it is told to slow down breaks the protocol's every rule of sending. It loses
its secret for the time of the suspension, which every broker enforces as it does a revocation.
What it recorded is in its flash and may come later.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cymba.devices.holders import announce_to_holders
from cymba.devices.provisioning import tell_brokers
from cymba.devices.tables import Device, DeviceSuspension

SUSPENDED_FOR = timedelta(minutes=10)
Reason = Literal["flood"]


class Suspended(NamedTuple):
    """That a device is kept out; it is let in again soon after `until`."""

    reason: Reason
    suspended_at: datetime
    until: datetime


def suspend(session: Session, device_id: str, now: datetime) -> bool:
    """Keep the device out until `SUSPENDED_FOR` has passed; False if nobody lets it in anyway."""
    device = session.scalar(
        select(Device)
        .where(Device.id == device_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if device is None or device.secret_hash is None:
        return False
    until = now + SUSPENDED_FOR
    session.add(DeviceSuspension(device_id=device_id, secret_hash=device.secret_hash, until=until))
    device.secret_hash = None
    session.flush()
    tell_brokers(session)
    announce_to_holders(session, [device_id])
    return True


def end_suspensions(session: Session, now: datetime) -> Sequence[str]:
    """Let those in again whose time is over; gives their ids."""
    ended = session.scalars(
        select(DeviceSuspension.device_id).where(DeviceSuspension.until <= now)
    ).all()
    let_in = []
    for device_id in sorted(ended):
        # The device first, as everywhere; another process may have ended it meanwhile.
        device = session.scalar(
            select(Device)
            .where(Device.id == device_id)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
        secret_hash = session.scalar(
            delete(DeviceSuspension)
            .where(DeviceSuspension.device_id == device_id, DeviceSuspension.until <= now)
            .returning(DeviceSuspension.secret_hash)
        )
        if device is not None and secret_hash is not None:
            device.secret_hash = secret_hash
            let_in.append(device_id)
    if let_in:
        session.flush()
        tell_brokers(session)
        announce_to_holders(session, let_in)
    return let_in


def suspended(row: DeviceSuspension | None) -> Suspended | None:
    return None if row is None else Suspended("flood", row.until - SUSPENDED_FOR, row.until)


def suspended_until(session: Session, device_id: str) -> datetime | None:
    return session.scalar(
        select(DeviceSuspension.until).where(DeviceSuspension.device_id == device_id)
    )
