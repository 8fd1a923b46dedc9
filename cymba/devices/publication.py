"""The outbox of desired programmes that the broker does not have yet.

The database holds what is desired; the broker's retained message is a copy that it may lose. A
version without `published_at` waits here for the broker of its device's cell. Only the newest
version of a device is sent, and one publisher of a cell works at a time, so no older version can
replace a newer one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from cymba.devices.clocks import to_ms
from cymba.devices.issuing import newest_version
from cymba.devices.messages import Desired, Programme
from cymba.devices.provisioning import tell_brokers
from cymba.devices.tables import CellMove, Device, DeviceProgramme
from cymba.settings import FIRST_CELL

_LOCK = 0x63796D62_64657369  # "cymbdesi", of an advisory lock; each further cell has its own


class UnpublishedProgramme(NamedTuple):
    device_id: str
    desired: Desired


def begin_publication(session: Session, cell: str) -> bool:
    """Whether this transaction is the one that publishes in `cell`, until it ends.

    It waits for the broker without a lock on any row, so it blocks nobody.
    """
    key = _LOCK if cell == FIRST_CELL else func.hashtextextended(cell, _LOCK)
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(key))))


def unpublished(session: Session, cell: str, limit: int = 100) -> list[UnpublishedProgramme]:
    """The desired versions that are to be published in `cell`, of up to `limit` devices."""
    row = DeviceProgramme
    waiting = (
        select(row.device_id)
        .join(Device, Device.id == row.device_id)
        .where(row.published_at.is_(None), Device.cell == cell)
        .distinct()
        .order_by(row.device_id)
        .limit(limit)
    )
    return [
        UnpublishedProgramme(*one)
        for one in newest_messages(session, session.scalars(waiting).all()).items()
    ]


def newest_messages(session: Session, device_ids: Sequence[str]) -> dict[str, Desired]:
    """The newest version of each of the devices that have one, in the order of their ids."""
    row = DeviceProgramme
    newest = (
        select(row)
        .where(row.device_id.in_(device_ids))
        .ext(distinct_on(row.device_id))
        .order_by(row.device_id, row.ver.desc())
    )
    return {one.device_id: as_message(one) for one in session.scalars(newest)} if device_ids else {}


def mark_published(
    session: Session, published: Sequence[UnpublishedProgramme], cell: str, now: datetime
) -> None:
    """The broker of `cell` has acknowledged these, which replace all older versions. The devices
    are locked (`lock_devices`); one that has left the cell meanwhile is published where it is."""
    row = DeviceProgramme
    here = select(Device.id).where(Device.cell == cell)
    for device_id, desired in published:
        session.execute(
            update(row)
            .where(
                row.device_id == device_id,
                row.ver <= desired.ver,
                row.published_at.is_(None),
                row.device_id.in_(here.where(Device.id == device_id)),
            )
            .values(published_at=now)
        )


def publish_again(session: Session, device_ids: Iterable[str]) -> None:
    """Publish again to devices that came online what they have not reported on."""
    row = DeviceProgramme
    ids = sorted(set(device_ids))
    newest = (
        select(row.device_id, func.max(row.ver))
        .where(row.device_id.in_(ids))
        .group_by(row.device_id)
    )
    session.execute(
        update(row)
        .where(
            func.row(row.device_id, row.ver).in_(newest),
            row.reported_at.is_(None),
            row.published_at.is_not(None),
        )
        .values(published_at=None)
    )


def publish_newest(session: Session, device_ids: Sequence[str]) -> None:
    """Publish again whatever these devices are to hold, at the broker of the cell they are in."""
    _publish_newest(session, DeviceProgramme.device_id.in_(device_ids))


def publish_all_again(session: Session, cell: str) -> None:
    """Publish all again in `cell`, because its broker has lost its messages. Devices that are to
    come wait until theirs stand there."""
    here = select(Device.id).where(Device.cell == cell)
    _publish_newest(session, DeviceProgramme.device_id.in_(here))
    session.execute(update(CellMove).where(CellMove.to_cell == cell).values(ready_at=None))
    session.execute(
        update(CellMove).where(CellMove.device_id.in_(here)).values(told_at=None),
        execution_options={"synchronize_session": False},
    )
    tell_brokers(session)


def _publish_newest(session: Session, whose: ColumnElement[bool]) -> None:
    row = DeviceProgramme
    newest = select(row.device_id, func.max(row.ver)).where(whose).group_by(row.device_id)
    session.execute(
        update(row).where(func.row(row.device_id, row.ver).in_(newest)).values(published_at=None)
    )


def retained_message(session: Session, device_id: str) -> Desired | None:
    """What the broker retains for a device, or is about to. None before the first version."""
    newest = newest_version(session, device_id)
    return None if newest is None else as_message(newest)


def as_message(row: DeviceProgramme) -> Desired:
    """The message as it was signed."""
    return Desired(
        ver=row.ver,
        programme=msgspec.convert(row.programme, Programme),
        limits=row.limits,
        expires=None if row.expires_at is None else round(to_ms(row.expires_at)),
        signature=row.signature,
    )
