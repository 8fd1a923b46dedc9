"""The outbox of desired programmes that the broker does not have yet.

The database holds what is desired; the broker's retained message is a copy that it may lose. A
version without `published_at` waits here for the broker of its device's cell. Only the newest
version of a device is sent, and one publisher of a cell works at a time, so no older version
replaces a newer one.

That the broker has confirmed a message does not say that the device has it. What the device reports
does: until it has reported the newest version, that is published again, whatever became of it.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    func,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from cymba.database import one_of
from cymba.devices.clocks import to_ms
from cymba.devices.issuing import lock_devices, newest_version
from cymba.devices.messages import Desired, Programme
from cymba.devices.provisioning import tell_brokers
from cymba.devices.tables import CellMove, Device, DeviceProgramme
from cymba.parts import lies_in_parts, of_part, parts
from cymba.settings import FIRST_CELL

_LOCK = 0x63796D62_64657369  # "cymbdesi", of an advisory lock; each further cell has its own
PUBLISHING_S = 30.0
"""A publisher whose host is gone says nothing more. Then the database ends its transaction, and
another one publishes."""

REPORTED_WITHIN = timedelta(minutes=1)
"""A device that is online has reported a version by then (R40)."""
AGAIN_EVERY = timedelta(hours=1)
"""At the latest, to a device that is online and never reports, or that does not move."""


class UnpublishedProgramme(NamedTuple):
    device_id: str
    desired: Desired


def begin_publication(session: Session, cell: str) -> bool:
    """Whether this transaction is the one that publishes in `cell`, until it ends.

    It waits for the broker without a lock on any row, so it blocks nobody.
    """
    key = _LOCK if cell == FIRST_CELL else func.hashtextextended(cell, _LOCK)
    patience = f"{PUBLISHING_S * 1_000:.0f}"
    ends_when_silent = func.set_config("idle_in_transaction_session_timeout", patience, True)
    statement = select(func.pg_try_advisory_xact_lock(key), ends_when_silent)
    return bool(session.execute(statement).one()[0])


def unpublished(
    session: Session, cell: str, limit: int = 100, *, above: str = ""
) -> list[UnpublishedProgramme]:
    """The desired versions that are to be published in `cell`, of up to `limit` devices: first of
    those above `above`, then of the others."""
    row = DeviceProgramme
    waiting = to_publish(cell).distinct().order_by(row.device_id)
    ids = list(session.scalars(waiting.where(row.device_id > above).limit(limit)))
    if above and len(ids) < limit:
        others = waiting.where(row.device_id <= above).limit(limit - len(ids))
        ids += session.scalars(others)
    found = newest_messages(session, ids)
    return [UnpublishedProgramme(one, found[one]) for one in ids if one in found]


def to_publish(cell: str | BindParameter[str]) -> Select[str]:
    """The device of each version that its broker, that of `cell`, does not have yet."""
    row = DeviceProgramme
    return (
        select(row.device_id)
        .join(Device, Device.id == row.device_id)
        .where(row.published_at.is_(None), Device.cell == cell)
    )


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
    are locked; one that has left the cell meanwhile is published where it is, and one whose row
    somebody else holds at this moment is published again."""
    row = DeviceProgramme
    here = select(Device.id).where(Device.cell == cell)
    for device_id, desired in published:
        sent = select(row.device_id, row.ver).where(
            row.device_id == device_id, row.ver <= desired.ver, row.published_at.is_(None)
        )
        session.execute(
            update(row)
            .where(
                row.device_id == device_id,
                func.row(row.device_id, row.ver).in_(sent.with_for_update(skip_locked=True)),
                row.device_id.in_(here.where(Device.id == device_id)),
            )
            .values(published_at=now)
        )


def publish_again(
    session: Session, device_ids: Iterable[str], *, reset: Collection[str] = ()
) -> None:
    """Publish again to devices that came online what they have not reported on; to those that were
    `reset`, whatever they reported before.

    A row that is locked is being published or reported on at this moment, and is left alone.
    """
    row, wanted = DeviceProgramme, sorted(set(device_ids))
    for part in parts(session, wanted):
        there = row.device_id.in_(wanted if part is None else part)
        named_again = true() if part is None else there
        again = select(row.device_id, row.ver).where(
            func.row(row.device_id, row.ver).in_(_newest(there)),
            or_(row.reported_at.is_(None), row.device_id.in_(reset)),
            row.published_at.is_not(None),
            named_again,
        )
        session.execute(
            update(row)
            .where(
                func.row(row.device_id, row.ver).in_(again.with_for_update(skip_locked=True)),
                named_again,
            )
            .values(published_at=None)
        )


def publish_newer(session: Session, device_id: str, ver: int, at: datetime) -> None:
    """Publish the newest version again to a device that reports a lower one. If that was published
    a moment ago, the report has crossed it."""
    row = DeviceProgramme
    session.execute(
        update(row)
        .where(
            func.row(row.device_id, row.ver).in_(_newest(row.device_id == device_id)),
            row.ver > ver,
            row.published_at < at - REPORTED_WITHIN,
        )
        .values(published_at=None)
    )


class Reconciled(NamedTuple):
    again: Sequence[str]  # the devices to which the newest version is published again
    last: str | None  # of those that were looked at; None: there are no more


def publish_unreported(
    session: Session, cell: str, now: datetime, *, above: str = "", limit: int = 5_000
) -> Reconciled:
    """Publish again what devices of `cell` that are online should have reported by now, of up to
    `limit` devices above `above`.

    It is first due after `REPORTED_WITHIN`, and then each time that the device has been silent for
    twice as long, at least `AGAIN_EVERY`. It is due too if it was published at a time that is still
    to come: that was by a clock that has been set back since.
    """
    given = {"cell": cell, "now": now, "above": above, "limit": limit}
    waits = {"first": REPORTED_WITHIN, "most": AGAIN_EVERY}
    online = session.scalars(_ONLINE, given).all() if lies_in_parts(session) else None
    again: list[str] = []
    looked_at, last = 0, None
    for part in parts(session, online or ()):
        looked_at, last, found = session.execute(
            _PUBLISH_UNREPORTED, given | waits | {"part": part}
        ).one()
        again += found
    if online:  # in parts; whoever has gone since then was looked at too
        looked_at, last = len(online), online[-1]
    return Reconciled(again, last if looked_at == limit else None)


def publish_newest(session: Session, device_ids: Sequence[str]) -> None:
    """Publish again whatever these devices are to hold, at the broker of the cell they are in."""
    _publish_newest(session, DeviceProgramme.device_id.in_(device_ids))


def publish_all_again(
    session: Session, cell: str, *, above: str = "", limit: int = 1_000
) -> str | None:
    """Publish all again in `cell`, because its broker has lost its messages: what is of up to
    `limit` devices above `above`. Return the last of these; None if there are no more. Devices that
    are to come wait until theirs stand there.

    In parts, so that no statement takes too long, and what is new need not wait for all.
    """
    ids = session.scalars(
        select(Device.id)
        .outerjoin(CellMove, CellMove.device_id == Device.id)
        .where(Device.id > above, or_(Device.cell == cell, CellMove.to_cell == cell))
        .order_by(Device.id)
        .limit(limit)
    ).all()
    # First, as whoever moves a device or sets a version does: so nobody waits in a circle.
    lock_devices(session, ids)
    here = select(Device.id).where(one_of(Device.id, ids), Device.cell == cell)
    _publish_newest(session, DeviceProgramme.device_id.in_(here))
    coming = (
        one_of(CellMove.device_id, ids),
        CellMove.to_cell == cell,
        CellMove.ready_at.is_not(None),
    )
    unready = update(CellMove).where(*coming).values(ready_at=None)
    if session.scalars(unready.returning(CellMove.device_id)).all():
        tell_brokers(session)
    session.execute(update(CellMove).where(CellMove.device_id.in_(here)).values(told_at=None))
    return ids[-1] if len(ids) == limit else None


def _publish_newest(session: Session, whose: ColumnElement[bool]) -> None:
    row = DeviceProgramme
    newest = _newest(whose)
    if not lies_in_parts(session):  # where rows of several parts cannot be locked so
        # In the devices' order, as bridges lock what is reported on: nobody waits in a circle.
        named = select(row.device_id, row.ver).where(func.row(row.device_id, row.ver).in_(newest))
        newest = named.order_by(row.device_id).with_for_update()
    session.execute(
        update(row).where(func.row(row.device_id, row.ver).in_(newest)).values(published_at=None)
    )


def _newest(whose: ColumnElement[bool]) -> Select[str, int]:
    row = DeviceProgramme
    return select(row.device_id, func.max(row.ver)).where(whose).group_by(row.device_id)


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


_WHO_IS_ONLINE = """
      FROM device_presence AS p JOIN device AS d ON d.id = p.device_id
      WHERE p.online AND d.cell = :cell AND p.device_id > :above AND d.id > :above
"""
_ONLINE = text(f"SELECT p.device_id {_WHO_IS_ONLINE} ORDER BY p.device_id LIMIT :limit")
_PUBLISH_UNREPORTED = text(
    f"""
    WITH looked_at AS MATERIALIZED (
      SELECT p.device_id, p.changed_at {_WHO_IS_ONLINE}
        AND {of_part("p.device_id")} AND {of_part("d.id")}
      ORDER BY p.device_id LIMIT :limit),
    late AS (
      SELECT l.device_id, l.ver
      FROM looked_at AS s
      CROSS JOIN LATERAL (
        SELECT v.ver, v.reported_at FROM device_programme AS v
        WHERE v.device_id = s.device_id AND {of_part("v.device_id")}
        ORDER BY v.ver DESC LIMIT 1) AS n
      CROSS JOIN LATERAL (
        SELECT r.device_id, r.ver FROM device_programme AS r
        WHERE r.device_id = s.device_id AND r.ver = n.ver AND {of_part("r.device_id")}
          AND r.reported_at IS NULL
          AND (r.published_at > :now + CAST(:first AS interval)
            OR r.published_at < :now - greatest(CAST(:first AS interval),
                 least(CAST(:most AS interval),
                       r.published_at - greatest(r.created_at, s.changed_at))))
        OFFSET 0 FOR UPDATE OF r SKIP LOCKED) AS l
      WHERE n.reported_at IS NULL),
    again AS (
      UPDATE device_programme AS r SET published_at = NULL
      FROM late AS l
      WHERE r.device_id = l.device_id AND r.ver = l.ver AND {of_part("r.device_id")}
        AND r.device_id = ANY (ARRAY(SELECT device_id FROM late))
      RETURNING r.device_id)
    SELECT (SELECT count(*) FROM looked_at), (SELECT max(device_id) FROM looked_at),
           ARRAY(SELECT device_id FROM again)
    """  # noqa: S608 - constants
)
