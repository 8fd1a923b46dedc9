"""How much of what a device recorded has arrived."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import exists, func, or_, select, text
from sqlalchemy.orm import Session

from cymba.devices.presence import LastPresence
from cymba.stimulation.tables import QuarantinedFrame, SessionExtent, StimulationSession

CUT_OFF_TIMES = 3  # in a row
QUIET = timedelta(minutes=2)  # a device that is online and holds frames sends some within it


class Completeness(NamedTuple):
    """Of sessions that started after a given time. `share` counts those whose end is known."""

    sessions: int
    incomplete_sessions: int
    open_sessions: int
    share: float | None  # of the frames that are expected
    refused_frames: int  # in quarantine: an operator may still replay them
    # Whose numbers lie between those that came: the device has freed them, or will yet send them.
    missing_frames: int


def is_silent(session: Session, seen: LastPresence | None, now: datetime) -> bool:
    """Whether a device is online and said that it holds frames, and none has come since: it may
    publish them to a wrong topic, which a broker drops without a word."""
    if seen is None or not seen.online or not seen.queued_frames or seen.changed_at > now - QUIET:
        return False
    return not _came_since(session, seen.device_id, seen.changed_at)


def is_cut_off(session: Session, seen: LastPresence | None) -> bool:
    """Whether a device that holds frames was put out again and again soon after it had connected,
    and no frame came: a broker does so to whoever sends more than it takes, without a word."""
    if seen is None or not seen.queued_frames or seen.cut_off_since is None:
        return False
    return seen.cut_offs >= CUT_OFF_TIMES and not _came_since(
        session, seen.device_id, seen.cut_off_since
    )


def _came_since(session: Session, device_id: str, at: datetime) -> bool:
    """Whether anything that a device published as a frame came."""
    came, refused = SessionExtent, QuarantinedFrame
    return bool(
        session.scalar(
            select(
                or_(
                    exists().where(came.device_id == device_id, came.last_received_at >= at),
                    exists().where(refused.device_id == device_id, refused.received_at >= at),
                )
            )
        )
    )


def completeness(
    session: Session, account_id: UUID, device_id: str, since: datetime
) -> Completeness:
    """The completeness of the account's sessions with the device."""
    row = StimulationSession
    has_expected = row.frames_expected.is_not(None)
    sessions, incomplete, still_open, stored, expected = session.execute(
        select(
            func.count(),
            func.count().filter(row.completeness < 1),
            func.count().filter(row.state == "open"),
            func.sum(row.frames_stored).filter(has_expected),
            func.sum(row.frames_expected).filter(has_expected),
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
    of_whom = {"account_id": account_id, "device_id": device_id, "since": since}
    missing = session.scalars(_MISSING, of_whom).one()
    return Completeness(sessions, incomplete, still_open, share, refused or 0, missing)


_MISSING = text(
    """
    SELECT CAST(coalesce(sum(upper(r) - lower(r)), 0) AS bigint)
    FROM (SELECT e.store, int8multirange(int8range(min(e.low_seq), max(e.high_seq), '[]')) AS span
          FROM stimulation_session AS s
          JOIN session_extent AS e ON e.device_id = s.device_id AND e.sid = s.sid
          WHERE s.account_id = :account_id AND s.device_id = :device_id
            AND s.started_at >= :since AND s.hidden_at IS NULL
          GROUP BY e.store) AS whole
    JOIN flash_store AS f ON f.device_id = :device_id AND f.store = whole.store
    CROSS JOIN unnest(whole.span - f.resolved) AS r
    """
)
