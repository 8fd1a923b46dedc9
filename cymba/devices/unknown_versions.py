"""Versions that a device reports although they were never set here.

The database was restored from an older backup, or the device lies. Either way the device may hold
limits that nobody here knows: it is sent a newer version, and an operator is informed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.devices.catalogue import model_of
from cymba.devices.holders import announce_to_holders
from cymba.devices.issuing import SetBy, issue, lock_devices, newest_version
from cymba.devices.messages import Programme, ReportedState
from cymba.devices.models import no_output_limit, usual_programme, without_output
from cymba.devices.tables import Device, DeviceProgramme, UnknownVersion

log = structlog.get_logger(__name__)
HIGHEST_FOLLOWED = 2**32 - 2**16
"""No version gets such a number for a hundred years: a device that reports a higher one is broken
or lies, and following it would use up the numbers of the wire."""
ANSWERED_EVERY = timedelta(minutes=1)
"""A device that keeps reporting unknown versions gets at most one answer in this time."""


def note_unknown(session: Session, device_id: str, reported: ReportedState, at: datetime) -> None:
    """Store that the device reported a version, and whether it applied it; `answer_unknown`
    follows."""
    log.error(
        "a device reports a programme that was never set here: was a backup restored?",
        device=device_id,
        version=reported.ver,
        applied=reported.applied,
    )
    row = UnknownVersion
    held_ver = min(reported.ver, HIGHEST_FOLLOWED) if reported.applied else 0
    statement = insert(row).values(
        device_id=device_id, ver=reported.ver, held_ver=held_ver, reported_at=at
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[row.device_id],
            set_={
                "ver": statement.excluded.ver,
                "held_ver": func.greatest(row.held_ver, statement.excluded.held_ver),
                "reported_at": func.greatest(row.reported_at, at),
                "settled_at": None,
            },
        )
    )


def settle(session: Session, device_id: str, applied_ver: int, at: datetime) -> None:
    """The device has applied `applied_ver`, which was set here."""
    row = UnknownVersion
    session.execute(
        update(row)
        .where(row.device_id == device_id, row.held_ver < applied_ver, row.settled_at.is_(None))
        .values(settled_at=at)
    )


def unanswered(session: Session, now: datetime, limit: int = 100) -> Sequence[str]:
    """Devices to which a newer version is due (`answer_unknown`)."""
    row = UnknownVersion
    return session.scalars(
        select(row.device_id)
        .where(
            row.settled_at.is_(None),
            or_(
                row.answered_at.is_(None),
                (row.answered_at < row.reported_at) & (row.answered_at < now - ANSWERED_EVERY),
            ),
        )
        .order_by(row.device_id)
        .limit(limit)
    ).all()


def answer_unknown(
    session: Session, key: Ed25519PrivateKey, device_id: str, now: datetime
) -> DeviceProgramme:
    """Issue the desired programme again under a higher number than the device reported; or no
    current if there is none."""
    lock_devices(session, [device_id])
    device = session.get_one(Device, device_id, populate_existing=True)
    desired = newest_version(session, device_id)
    if desired is None:
        none = no_current(session, device)
        row = issue(session, key, device, none, account_id=None, set_by=None, now=now)
    else:
        row = issue(
            session,
            key,
            device,
            _still(desired, now),
            account_id=desired.account_id,
            set_by=cast("SetBy | None", desired.set_by),
            now=now,
        )
    session.execute(
        update(UnknownVersion).where(UnknownVersion.device_id == device_id).values(answered_at=now)
    )
    announce_to_holders(session, [device_id])
    return row


def no_current(session: Session, device: Device) -> tuple[Programme, Mapping[str, float], None]:
    """What a device without a holder's programme is to hold."""
    model = model_of(session, device)
    return without_output(usual_programme(model)), no_output_limit(model), None


def _still(
    desired: DeviceProgramme, now: datetime
) -> tuple[Programme, Mapping[str, float], datetime | None]:
    """The same programme. If it has expired, its limits still hold (R41), but a device takes limits
    only with a programme that has not: then one that leaves the current to titration."""
    programme = msgspec.convert(desired.programme, Programme)
    if desired.expires_at is None or desired.expires_at > now:
        return programme, desired.limits, desired.expires_at
    return without_output(programme), desired.limits, None
