"""The fleet as its operator sees it: states, firmware, backlog and completeness. Nothing of it is
about a person: no holder, no time of a session, no reading."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

STATES = ("revoked", "suspended", "unclaimed", "unseen", "online", "offline")
"""Of a device the first that holds. `unseen`: somebody holds it, and it never connected."""

RECENT = timedelta(days=1)
# A device can claim to hold any number of frames; no flash holds more than this.
MOST_BACKLOG = 10_000_000
# As many as a list shows; what others have is counted as theirs together.
MOST_FIRMWARES = 100


class ReportedFirmware(NamedTuple):
    name: str | None  # as devices report it, so it may be anything; null: they report none
    devices: int


class Backlog(NamedTuple):
    """What devices said they hold when they last spoke."""

    devices: int
    frames: int


class RecentSessions(NamedTuple):
    """Of sessions that began within a day, by how much of them is here."""

    complete: int
    incomplete: int
    open: int  # their end has not come, so nobody knows how much is missing
    share: float | None  # the mean of those that are known; each counts once, whatever it claims


def by_state(session: Session, _now: datetime) -> dict[str, int]:
    found: dict[str, int] = dict(session.execute(text(_BY_STATE)).all())
    return {state: found.get(state, 0) for state in STATES}


def by_firmware(session: Session, _now: datetime) -> list[ReportedFirmware]:
    """The most common ones, by how many devices report them."""
    rows = session.execute(text(_BY_FIRMWARE), {"most": MOST_FIRMWARES})
    return [ReportedFirmware(*row) for row in rows]


def backlog(session: Session, _now: datetime) -> Backlog:
    return Backlog(*session.execute(text(_BACKLOG), {"most": MOST_BACKLOG}).one())


def recent_sessions(session: Session, now: datetime) -> RecentSessions:
    return RecentSessions(*session.execute(text(_RECENT), {"since": now - RECENT}).one())


STATE = """
    CASE WHEN d.revoked_at IS NOT NULL THEN 'revoked'
         WHEN s.device_id IS NOT NULL THEN 'suspended'
         WHEN t.device_id IS NULL THEN 'unclaimed'
         WHEN p.device_id IS NULL THEN 'unseen'
         WHEN p.online THEN 'online'
         ELSE 'offline' END
"""
JOINED = """
    device AS d
    LEFT JOIN device_suspension AS s ON s.device_id = d.id
    LEFT JOIN device_tenure AS t ON t.device_id = d.id AND t.released_at IS NULL
    LEFT JOIN device_presence AS p ON p.device_id = d.id
"""
_BY_STATE = f"SELECT {STATE}, count(*) FROM {JOINED} GROUP BY 1"  # noqa: S608 - constants
_BY_FIRMWARE = """
    SELECT p.firmware, count(*) FROM device_presence AS p
    GROUP BY p.firmware ORDER BY count(*) DESC, p.firmware LIMIT :most
"""
_BACKLOG = """
    SELECT count(*), coalesce(CAST(sum(least(p.queued_frames, :most)) AS bigint), 0)
    FROM device_presence AS p WHERE p.queued_frames > 0
"""
_RECENT = """
    SELECT count(*) FILTER (WHERE s.completeness >= 1),
           count(*) FILTER (WHERE s.completeness < 1),
           count(*) FILTER (WHERE s.completeness IS NULL),
           avg(s.completeness)
    FROM stimulation_session AS s
    WHERE s.started_at >= :since AND s.hidden_at IS NULL
"""
