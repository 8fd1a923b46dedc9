"""Erasing the frames of a session.

Their numbers stay resolved. If a device sends one again it is acknowledged, and nothing is stored.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import delete, select, text, tuple_
from sqlalchemy.orm import Session

from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.ingest.ledgers import StoreKey, lock_ledgers
from cymba.stimulation.tables import KeptSums, SessionExtent, StimulationSession


def erase_frames(session: Session, key: SessionKey) -> None:
    """Delete the session's frames and recordings. Its extents stay, so that late frames are found
    and erased too."""
    for statement in (_INBOX, _RECORDINGS):
        session.execute(statement, {"device_id": key.device_id, "sid": key.sid})


def erase_sessions(session: Session, keys: Sequence[SessionKey]) -> None:
    """Delete everything of sessions whose person was erased, their extents too.

    Frames of them that come later are recognised by their time. The ledgers of all their stores are
    locked first, so that no bridge adds a frame to an extent that is being deleted. They are locked
    all at once, in the order that everybody uses: session by session, a bridge might lock the same
    ones in another order and deadlock.
    """
    if not keys:
        return
    of_them = tuple_(SessionExtent.device_id, SessionExtent.sid).in_(
        [(key.device_id, key.sid) for key in keys]
    )
    stores = session.execute(
        select(SessionExtent.device_id, SessionExtent.store).where(of_them).distinct()
    )
    lock_ledgers(session, [StoreKey(*row) for row in stores])
    for key in keys:
        erase_frames(session, key)
    ids = [key.id for key in keys]
    session.execute(delete(SessionExtent).where(of_them))
    erase_sums(session, ids)
    session.execute(delete(StimulationSession).where(StimulationSession.id.in_(ids)))


def erase_sums(session: Session, ids: Collection[UUID]) -> None:
    """Before the sessions' own rows are deleted. On several nodes no reference does it."""
    session.execute(delete(KeptSums).where(KeptSums.session_id.in_(ids)))


_INBOX = text(
    """
    DELETE FROM frame AS f USING session_extent AS e
    WHERE e.device_id = :device_id AND e.sid = :sid
      AND f.device_id = e.device_id AND f.store = e.store
      AND f.seq BETWEEN e.low_seq AND e.high_seq AND f.sid = e.sid
    """
)
_RECORDINGS = text("DELETE FROM recording WHERE device_id = :device_id AND sid = :sid")
