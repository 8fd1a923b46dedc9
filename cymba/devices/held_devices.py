"""The devices that an account holds now, as its person sees them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Row, Select, select, text
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.devices.catalogue import find_models
from cymba.devices.models import Model
from cymba.devices.presence import KNOWN_TO_HOLDER
from cymba.devices.suspension import Suspended, suspended
from cymba.devices.tables import (
    Device,
    DevicePresence,
    DeviceSuspension,
    DeviceTenure,
    UnknownVersion,
)
from cymba.errors import NotFound

MAX_NAME_CHARACTERS = 100


class HeldDevice(NamedTuple):
    device: Device
    tenure: DeviceTenure
    presence: DevicePresence | None  # none of a device that never came online
    suspension: Suspended | None
    unknown_programme: UnknownVersion | None  # until the device has applied a newer one
    model: Model


def held_devices(session: Session, account_id: UUID) -> Sequence[HeldDevice]:
    """All devices of the account, by the time they were claimed."""
    statement = _held(account_id).order_by(DeviceTenure.claimed_at, DeviceTenure.device_id)
    return _as_holding(session, session.execute(statement).all())


def held_device(session: Session, account_id: UUID, device_id: str) -> HeldDevice:
    """One device of the account.

    Raises:
        NotFound: the account does not hold such a device.
    """
    found = session.execute(_held(account_id).where(Device.id == device_id)).all()
    if not found:
        raise NotFound("There is no such device.")
    return _as_holding(session, found)[0]


def lock_tenure(session: Session, account_id: UUID, device_id: str) -> DeviceTenure:
    """The account's tenure, locked, so that its version can be checked and raised.

    Raises:
        NotFound: the account does not hold such a device.
    """
    # The device first, as claiming and releasing do; key_share does not block bridges.
    session.execute(select(Device.id).where(Device.id == device_id).with_for_update(key_share=True))
    tenure = session.scalars(
        select(DeviceTenure)
        .where(
            DeviceTenure.device_id == device_id,
            DeviceTenure.account_id == account_id,
            DeviceTenure.released_at.is_(None),
        )
        .execution_options(populate_existing=True)
    ).one_or_none()
    if tenure is None:
        raise NotFound("There is no such device.")
    return tenure


def rename(session: Session, account_id: UUID, tenure: DeviceTenure, name: str) -> None:
    """Give the device the person's own name."""
    if tenure.name == name:
        return
    tenure.name = name
    tenure.version += 1
    announce(session, account_id, "device", tenure.device_id)


def forget_holder(session: Session, account_id: UUID, now: datetime) -> None:
    """Release all devices of an account that is about to be erased, and forget who held them."""
    held = session.scalars(select(DeviceTenure.id).where(DeviceTenure.account_id == account_id))
    ids = list(held)
    # An export has shown their ids. Each of several nodes would make another one.
    session.execute(_FORGET, {"ids": ids, "fresh": [uuid4() for _ in ids], "now": now})


_FORGET = text(
    """
    UPDATE device_tenure AS t
    SET id = f.fresh, account_id = NULL, name = '',
        released_at = greatest(t.claimed_at, coalesce(t.released_at, :now))
    FROM unnest(CAST(:ids AS uuid[]), CAST(:fresh AS uuid[])) AS f (id, fresh)
    WHERE t.id = f.id
    """
)
_Row = Row[Device, DeviceTenure, DevicePresence, DeviceSuspension, UnknownVersion]


def _as_holding(session: Session, rows: Sequence[_Row]) -> list[HeldDevice]:
    models = find_models(session, {row[0].model for row in rows})
    return [
        HeldDevice(device, tenure, presence, suspended(suspension), unknown, models[device.model])
        for device, tenure, presence, suspension, unknown in rows
    ]


def _held(
    account_id: UUID,
) -> Select[Device, DeviceTenure, DevicePresence, DeviceSuspension, UnknownVersion]:
    unknown = UnknownVersion
    stands = (unknown.device_id == Device.id) & unknown.settled_at.is_(None)
    return (
        select(Device, DeviceTenure, DevicePresence, DeviceSuspension, unknown)
        .join(DeviceTenure, DeviceTenure.device_id == Device.id)
        .outerjoin(DevicePresence, KNOWN_TO_HOLDER)
        .outerjoin(DeviceSuspension, DeviceSuspension.device_id == Device.id)
        .outerjoin(unknown, stands)
        .where(DeviceTenure.account_id == account_id, DeviceTenure.released_at.is_(None))
    )
