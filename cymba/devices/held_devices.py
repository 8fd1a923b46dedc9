"""The devices that an account holds now, as its person sees them."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import (
    ColumnElement,
    String,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from cymba.accounts.changes import announce
from cymba.database import Prepared, line_of
from cymba.devices.catalogue import known_model, newest_document
from cymba.devices.models import Model
from cymba.devices.presence import KNOWN_TO_HOLDER, LastPresence
from cymba.devices.suspension import Suspended, suspended
from cymba.devices.tables import (
    Device,
    DevicePresence,
    DeviceSuspension,
    DeviceTenure,
    UnknownVersion,
)
from cymba.errors import NotFound
from cymba.json_rows import array_as

MAX_NAME_CHARACTERS = 100


class ReadDevice(NamedTuple):
    id: str
    serial: str
    model: str
    erased_ver: int


class Holding(NamedTuple):
    """The account's tenure of it."""

    device_id: str
    name: str
    version: int
    claimed_at: datetime


class UnknownProgramme(NamedTuple):
    ver: int
    reported_at: datetime


class HeldDevice(NamedTuple):
    device: ReadDevice
    tenure: Holding
    presence: LastPresence | None  # none of a device that never came online
    suspension: Suspended | None
    unknown_programme: UnknownProgramme | None  # until the device has applied a newer one
    model: Model


def held_devices(session: Session, account_id: UUID) -> list[HeldDevice]:
    """All devices of the account, by the time they were claimed."""
    return _held(session, account_id, None)


def held_device(session: Session, account_id: UUID, device_id: str) -> HeldDevice:
    """One device of the account.

    Raises:
        NotFound: the account does not hold such a device.
    """
    found = _held(session, account_id, device_id)
    if not found:
        raise NotFound("There is no such device.")
    return found[0]


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


class _Row(NamedTuple):
    """As the statement gives it."""

    device: ReadDevice
    tenure: Holding
    presence: LastPresence | None
    suspended_until: datetime | None
    unknown: UnknownProgramme | None
    document: Any  # the model's


_read_row = msgspec.json.Decoder(_Row).decode


def _held(session: Session, account_id: UUID, device_id: str | None) -> list[HeldDevice]:
    """None: all that the account holds."""
    found = []
    for (row,) in _HELD.rows(line_of(session), account_id=account_id, device_id=device_id):
        device, tenure, presence, until, unknown, document = _read_row(row)
        model = known_model(device.model, document)
        assert model is not None  # noqa: S101 - no model is ever removed
        found.append(HeldDevice(device, tenure, presence, suspended(until), unknown, model))
    return found


def _if_there(
    key: InstrumentedAttribute[str], shape: type[NamedTuple], row: Any
) -> ColumnElement[Any]:
    return case((key.is_not(None), array_as(shape, row)))


_DEVICE_ID = bindparam("device_id", type_=String())
_row = func.json_build_array(
    array_as(ReadDevice, Device),
    array_as(Holding, DeviceTenure),
    _if_there(DevicePresence.device_id, LastPresence, DevicePresence),
    DeviceSuspension.until,
    _if_there(UnknownVersion.device_id, UnknownProgramme, UnknownVersion),
    newest_document(Device.model),
)
_HELD = Prepared(
    select(cast(_row, Text))
    .select_from(Device)
    .join(DeviceTenure, DeviceTenure.device_id == Device.id)
    .outerjoin(DevicePresence, KNOWN_TO_HOLDER)
    .outerjoin(DeviceSuspension, DeviceSuspension.device_id == Device.id)
    .outerjoin(
        UnknownVersion,
        (UnknownVersion.device_id == Device.id) & UnknownVersion.settled_at.is_(None),
    )
    .where(
        DeviceTenure.account_id == bindparam("account_id", type_=Uuid()),
        DeviceTenure.released_at.is_(None),
        or_(_DEVICE_ID.is_(None), Device.id == _DEVICE_ID),
    )
    .order_by(DeviceTenure.claimed_at, DeviceTenure.device_id)
)
