"""The session worker's two steps, within a test's own transaction, and their announcements."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Change
from cymba.database import utc_now
from cymba.stimulation.archive.by_device import SESSIONS_OF_A_DEVICE
from cymba.stimulation.archive.compaction import SILENT_AFTER, compact_session, sessions_to_compact
from cymba.stimulation.session.retiming import devices_due, mark_retimed
from cymba.stimulation.session.summarising import summarise_sessions
from cymba.stimulation.session.waiting import LONGEST_REST, dirty_sessions


def summarise_due(session: Session, *, now: datetime) -> int:
    """How many sessions were out of date. None is left to rest, for being long or retimed often."""
    for device_id in devices_due(session, now + timedelta(days=100)):
        mark_retimed(session, device_id, now)
    summed_up = 0
    while found := dirty_sessions(session, now + LONGEST_REST).sessions:
        keys = [one.key for one in found]
        summarise_sessions(session, keys, now=now, silent_after=SILENT_AFTER)
        summed_up += len(keys)
        if len(keys) < SESSIONS_OF_A_DEVICE:
            break
    return summed_up


def compact_due(session: Session, *, now: datetime | None = None) -> int:
    """How many ended sessions were compacted."""
    keys = [one.key for one in sessions_to_compact(session, now or utc_now()).sessions]
    return sum(compact_session(session, key) for key in sorted(keys))


def changes(session: Session) -> dict[UUID, tuple[int, bool]]:
    """The number of each account's change, and whether it is a deletion."""
    session.commit()
    rows = session.execute(select(Change.account_id, Change.number, Change.deleted))
    return {account_id: (number, deleted) for account_id, number, deleted in rows}
