"""How much of what a device recorded has arrived."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cymba.stimulation.tables import QuarantinedFrame, StimulationSession


class Completeness(NamedTuple):
    """Of sessions that started after a given time. `share` counts those whose end is known."""

    sessions: int
    incomplete_sessions: int
    open_sessions: int
    share: float | None  # of the frames that are expected
    refused_frames: int  # in quarantine: an operator may still replay them


def completeness(
    session: Session, account_id: UUID, device_id: str, since: datetime
) -> Completeness:
    """The completeness of the account's sessions with the device."""
    row = StimulationSession
    is_told = row.frames_expected.is_not(None)
    sessions, incomplete, still_open, stored, expected = session.execute(
        select(
            func.count(),
            func.count().filter(row.completeness < 1),
            func.count().filter(row.state == "open"),
            func.sum(row.frames_stored).filter(is_told),
            func.sum(row.frames_expected).filter(is_told),
        ).where(
            row.account_id == account_id,
            row.device_id == device_id,
            row.started_at >= since,
            row.deleted_at.is_(None),
        )
    ).one()
    refused = session.scalar(
        select(func.count()).where(
            QuarantinedFrame.device_id == device_id,
            QuarantinedFrame.received_at >= since,
            QuarantinedFrame.replayed_at.is_(None),
        )
    )
    share = min(1.0, float(stored / expected)) if expected else None
    return Completeness(sessions, incomplete, still_open, share, refused or 0)
