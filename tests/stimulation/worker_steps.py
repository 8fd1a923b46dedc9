"""The session worker's two steps, within a test's own transaction."""

from datetime import datetime

from sqlalchemy.orm import Session

from cymba.database import utc_now
from cymba.stimulation.archive.compaction import SILENT_AFTER, compact_session, sessions_to_compact
from cymba.stimulation.session.summarising import (
    LONGEST_REST,
    dirty_sessions,
    summarise_sessions,
)

LIMIT = 10_000


def summarise_due(session: Session, *, now: datetime) -> int:
    """How many sessions were out of date. None is left to rest for being long."""
    keys = dirty_sessions(session, now + LONGEST_REST, LIMIT)
    summarise_sessions(session, keys, now=now, silent_after=SILENT_AFTER)
    return len(keys)


def compact_due(session: Session, *, now: datetime | None = None) -> int:
    """How many finished sessions were sealed."""
    keys = sessions_to_compact(session, LIMIT, now or utc_now())
    return sum(compact_session(session, key) for key in sorted(keys))
