"""Suspending devices that flood the broker.

A broker delivers messages in order, so all others wait behind a flood: rejecting frames one by one
is not enough. A device that sends thousands of frames over its rate limit breaks the protocol. It
loses its secret for the time of the suspension, which every broker enforces like a revocation. Its
recordings stay in its flash and may arrive later.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cymba.devices.holders import announce_to_holders
from cymba.devices.provisioning import tell_brokers
from cymba.devices.tables import Device, DeviceSuspension

SUSPENDED_FOR = timedelta(minutes=10)
Reason = Literal["flood"]


class Suspended(NamedTuple):
    """A device is suspended, until soon after `until`."""

    reason: Reason
    suspended_at: datetime
    until: datetime


def suspend(session: Session, device_id: str, now: datetime) -> bool:
    """Suspend the device for `SUSPENDED_FOR`; False if it has no valid secret anyway."""
    device = _locked(session, device_id)
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
    """End the suspensions whose time is over; returns the ids of their devices."""
    ended = session.scalars(
        select(DeviceSuspension.device_id).where(DeviceSuspension.until <= now)
    ).all()
    return _let_in(session, ended, now)


def lift(session: Session, device_id: str) -> bool:
    """Let the device in before its time; False if it is not suspended (any more)."""
    return bool(_let_in(session, [device_id], datetime.max.replace(tzinfo=UTC)))


def _let_in(session: Session, device_ids: Sequence[str], until: datetime) -> Sequence[str]:
    """End those of their suspensions that would end by `until`."""
    let_in = []
    for device_id in sorted(device_ids):
        # The device first, as everywhere. Another process may have ended the suspension meanwhile.
        device = _locked(session, device_id)
        secret_hash = session.scalar(
            delete(DeviceSuspension)
            .where(DeviceSuspension.device_id == device_id, DeviceSuspension.until <= until)
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


def _locked(session: Session, device_id: str) -> Device | None:
    return session.scalar(
        select(Device)
        .where(Device.id == device_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def suspended(until: datetime | None) -> Suspended | None:
    return None if until is None else Suspended("flood", until - SUSPENDED_FOR, until)
