"""Quarantine: frames that were rejected for good (dead letters), to inspect and to replay."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cymba.database import utc_now
from cymba.errors import Conflict, NotFound
from cymba.stimulation.ingest.decide import Delivery, Duplicate, Outcome, Quarantined, Stored
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.tables import QuarantinedFrame


class QuarantineListing(NamedTuple):
    """A row of quarantine without its payload."""

    id: int
    device_id: str
    store: int | None
    seq: int | None
    code: str
    detail: str
    payload_bytes: int
    times_seen: int
    received_at: datetime
    replayed_at: datetime | None
    replay_outcome: str | None


class Replayed(NamedTuple):
    """`is_settled` says that the row needs no other replay."""

    outcome: Outcome
    is_settled: bool


def page(
    session: Session,
    *,
    device_id: str | None = None,
    code: str | None = None,
    only_waiting: bool = True,
    after: int = 0,
    limit: int = 100,
) -> list[QuarantineListing]:
    """A page, oldest first. `after` is the last id of the page before."""
    query = (
        select(
            QuarantinedFrame.id,
            QuarantinedFrame.device_id,
            QuarantinedFrame.store,
            QuarantinedFrame.seq,
            QuarantinedFrame.code,
            QuarantinedFrame.detail,
            func.length(QuarantinedFrame.payload),
            QuarantinedFrame.times_seen,
            QuarantinedFrame.received_at,
            QuarantinedFrame.replayed_at,
            QuarantinedFrame.replay_outcome,
        )
        .where(QuarantinedFrame.id > after)
        .order_by(QuarantinedFrame.id)
        .limit(limit)
    )
    if device_id is not None:
        query = query.where(QuarantinedFrame.device_id == device_id)
    if code is not None:
        query = query.where(QuarantinedFrame.code == code)
    if only_waiting:
        query = query.where(QuarantinedFrame.replayed_at.is_(None))
    return [QuarantineListing(*row) for row in session.execute(query)]


def get(session: Session, quarantine_id: int) -> QuarantinedFrame:
    """One row, with its payload.

    Raises:
        NotFound: there is none with that id.
    """
    row = session.get(QuarantinedFrame, quarantine_id)
    if row is None:
        raise NotFound(f"nothing in quarantine has the id {quarantine_id}")
    return row


def replay(session: Session, quarantine_id: int) -> Replayed:
    """Ingest a payload again, as if it arrived now, and note the outcome in its row.

    The row is settled then, unless the payload was rejected for the same reason again. Ingest is
    idempotent, so nothing is locked meanwhile.

    Raises:
        NotFound: there is none with that id.
        Conflict: it was settled by an earlier replay.
    """
    row = get(session, quarantine_id)
    if row.replayed_at is not None:
        raise Conflict(f"{quarantine_id} was replayed before: {row.replay_outcome}")
    delivery = Delivery(row.device_id, row.payload, row.received_at, settled=False)
    (outcome,) = ingest(session, [delivery]).outcomes
    times_seen, code = row.times_seen, row.code
    table = QuarantinedFrame
    query = select(table).where(table.id == row.id, table.device_id == row.device_id)
    row = session.scalars(query.with_for_update().execution_options(populate_existing=True)).one()
    # A replay does not count as a resend.
    row.times_seen = times_seen if isinstance(outcome, Quarantined) else row.times_seen
    match outcome:
        case Stored() | Duplicate():
            is_settled, note = True, type(outcome).__name__.lower()
        case Quarantined():
            is_settled, note = outcome.code != code, f"quarantined, {outcome.code}"
        case _:
            is_settled, note = False, f"refused, {outcome.code}"
    row.replay_outcome = note
    row.replayed_at = utc_now() if is_settled else None
    session.flush()
    return Replayed(outcome, is_settled)
