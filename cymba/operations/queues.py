"""What waits for a process, and since when: the facts by which an operator sees that one hangs.

Each is an age that is known for sure: the thing has waited at least that long.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from cymba.accounts import outbox
from cymba.stimulation.session.waiting import LONGEST_REST
from cymba.stimulation.tables import QuarantinedFrame


class Queue(NamedTuple):
    waiting: int
    oldest_at: datetime | None  # since when the one waits that has waited longest

    def oldest_s(self, now: datetime) -> float:
        return 0.0 if self.oldest_at is None else max(0.0, (now - self.oldest_at).total_seconds())


def sessions_to_summarise(session: Session, now: datetime) -> Queue:
    """A session that runs is due again and again; it waits from when it was due, and from the last
    frame that came."""
    return _queue(session, _SUMMARIES, now=now, no_rest=now + LONGEST_REST)


def accounts_to_compute(session: Session, _now: datetime) -> Queue:
    """Accounts whose findings are out of date, from the oldest change that is not in them. A thing
    that has changed twice waits from the second time."""
    return _queue(session, _FINDINGS)


def imports_to_read(session: Session, _now: datetime) -> Queue:
    """Files that people brought, to be read, stored or undone. A long one counts while it is
    read."""
    return _queue(session, _IMPORTS)


def mails_to_send(session: Session, now: datetime) -> Queue:
    """Mails that are due, those among them that are to be tried again."""
    return _queue(session, _MAILS, now=now)


def programmes_to_publish(session: Session, _now: datetime) -> Queue:
    """Devices whose newest programme the broker does not have."""
    return _queue(session, _PROGRAMMES)


QUEUES: dict[str, Callable[[Session, datetime], Queue]] = {
    "summaries": sessions_to_summarise,
    "findings": accounts_to_compute,
    "imports": imports_to_read,
    "mails": mails_to_send,
    "programmes": programmes_to_publish,
}


def quarantine(session: Session, _now: datetime) -> dict[str, int]:
    """Frames in quarantine that no replay has settled, by the code they were rejected with."""
    row = QuarantinedFrame
    counted = select(row.code, func.count()).where(row.replayed_at.is_(None)).group_by(row.code)
    return dict(session.execute(counted.order_by(row.code)).all())


def _queue(session: Session, statement: str, **values: datetime) -> Queue:
    return Queue(*session.execute(text(statement), values).one())


# A round of the session worker reads the same index, a part at a time.
_SUMMARIES = """
    SELECT count(*), min(greatest(x.due_at, x.last_received_at)) FROM session_extent AS x
    WHERE x.dirty AND (x.due_at <= :now OR x.due_at > :no_rest)
"""
# What `insights.findings` takes as due, except for a new method, by which all are due at once.
_FINDINGS = """
    SELECT count(*), min(o.changed_at)
    FROM consent AS c
    JOIN account AS a ON a.id = c.account_id
    LEFT JOIN insight_state AS i ON i.account_id = a.id
    LEFT JOIN LATERAL (
      SELECT h.changed_at FROM change AS h
      WHERE h.account_id = a.id AND h.number > coalesce(i.at_change, -1)
      ORDER BY h.number LIMIT 1) AS o ON true
    WHERE c.purpose = 'insights' AND c.withdrawn_at IS NULL
      AND a.change_counter > coalesce(i.at_change, -1)
"""
_IMPORTS = """
    SELECT count(*), min(d.changed_at) FROM data_import AS d
    WHERE d.state IN ('waiting', 'storing', 'undoing')
"""
_MAILS = f"""
    SELECT count(*), min(o.next_try_at) FROM outgoing_mail AS o WHERE {outbox.DUE_NOW}
"""  # noqa: S608 - a constant
_PROGRAMMES = """
    SELECT count(DISTINCT p.device_id), min(p.created_at) FROM device_programme AS p
    WHERE p.published_at IS NULL
"""
