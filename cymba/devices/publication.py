"""The outbox of desired programmes that the broker does not have yet.

The database holds what is desired; the broker's retained message is a copy that it may lose. A
version without `published_at` waits here. Only the newest version of a device is sent, and one
publisher works at a time, so no older version can replace a newer one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from cymba.devices.clocks import to_ms
from cymba.devices.issuing import newest_version
from cymba.devices.messages import Desired, Programme
from cymba.devices.tables import DeviceProgramme

_LOCK = 0x63796D62_64657369  # "cymbdesi", the key of an advisory lock


class UnpublishedProgramme(NamedTuple):
    device_id: str
    desired: Desired


def begin_publication(session: Session) -> bool:
    """Whether this transaction is the one that publishes, until it ends.

    It waits for the broker without a lock on any row, so it blocks nobody.
    """
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))))


def unpublished(session: Session, limit: int = 100) -> list[UnpublishedProgramme]:
    """The desired versions that are to be published, of up to `limit` devices."""
    row = DeviceProgramme
    waiting = (
        select(row.device_id)
        .where(row.published_at.is_(None))
        .distinct()
        .order_by(row.device_id)
        .limit(limit)
    )
    newest = (
        select(row)
        .where(row.device_id.in_(waiting))
        .ext(distinct_on(row.device_id))
        .order_by(row.device_id, row.ver.desc())
    )
    return [UnpublishedProgramme(one.device_id, as_message(one)) for one in session.scalars(newest)]


def mark_published(
    session: Session, published: Sequence[UnpublishedProgramme], now: datetime
) -> None:
    """The broker has acknowledged these, which replace all older versions."""
    row = DeviceProgramme
    for device_id, desired in published:
        session.execute(
            update(row)
            .where(row.device_id == device_id, row.ver <= desired.ver, row.published_at.is_(None))
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


def publish_all_again(session: Session) -> None:
    """Publish every device's desired version again, because the broker has lost its messages."""
    row = DeviceProgramme
    newest = select(row.device_id, func.max(row.ver)).group_by(row.device_id)
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
