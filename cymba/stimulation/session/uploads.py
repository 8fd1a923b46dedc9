"""The time up to which everything that a person's devices recorded has been uploaded.

History and insights use it to tell "no session" from "not uploaded yet".
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from cymba.devices.tables import DevicePresence, DeviceTenure
from cymba.stimulation.tables import AckLedgerRow, StimulationSession


class Upload(NamedTuple):
    """A device that the person held, and the time up to which all of it is uploaded.

    `held_from` is the claim, or the person's first session on the device if that was earlier.
    """

    held_from: datetime
    released_at: datetime | None
    uploaded_until: datetime | None


def is_uploaded(uploads: Iterable[Upload], begins_at: datetime, ends_at: datetime) -> bool:
    """Whether no session between these times can still arrive.

    False for a time in which the person held no device: nothing is known of it.
    """
    held = [
        upload
        for upload in uploads
        if upload.held_from < ends_at
        and (upload.released_at is None or upload.released_at > begins_at)
    ]
    return bool(held) and all(
        upload.uploaded_until is not None
        and upload.uploaded_until >= min(ends_at, upload.released_at or ends_at)
        for upload in held
    )


def load_uploads(session: Session, account_id: UUID) -> list[Upload]:
    """A device reports when its flash store was empty. If no number of its stores is missing,
    everything before its latest session is here too. If one is missing (live sessions are sent
    before the backlog, and a damaged flash leaves a hole for good), only its report counts."""
    latest = (
        select(
            StimulationSession.device_id,
            func.max(StimulationSession.started_at).label("at"),
            func.min(StimulationSession.started_at).label("first_at"),
        )
        .where(StimulationSession.account_id == account_id)
        .where(StimulationSession.deleted_at.is_(None))
        .group_by(StimulationSession.device_id)
        .subquery()
    )
    resolved = AckLedgerRow.resolved
    with_holes = (
        select(AckLedgerRow.device_id)
        .where(
            (func.int8multirange(func.range_merge(resolved)) != resolved)
            | (func.lower(resolved) > 1)
        )
        .distinct()
        .subquery()
    )
    rows = session.execute(
        select(
            case(
                (
                    DeviceTenure.claimed_at
                    == func.min(DeviceTenure.claimed_at).over(partition_by=DeviceTenure.device_id),
                    func.least(DeviceTenure.claimed_at, latest.c.first_at),
                ),
                else_=DeviceTenure.claimed_at,
            ),
            DeviceTenure.released_at,
            func.greatest(
                DevicePresence.drained_at, case((with_holes.c.device_id.is_(None), latest.c.at))
            ),
        )
        .outerjoin(DevicePresence, DevicePresence.device_id == DeviceTenure.device_id)
        .outerjoin(latest, latest.c.device_id == DeviceTenure.device_id)
        .outerjoin(with_holes, with_holes.c.device_id == DeviceTenure.device_id)
        .where(DeviceTenure.account_id == account_id)
    )
    return [Upload(*row) for row in rows]
