"""Erasing what a session was recorded as. What was acknowledged stays so: a device that sends it
again hears that it is resolved, and nothing comes back."""

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from cymba.stimulation.ledger import StoreKey, lock_ledgers
from cymba.stimulation.reading import SessionKey
from cymba.stimulation.tables import SessionExtent, StimulationSession


def erase_frames(session: Session, key: SessionKey) -> None:
    """Delete the session's frames from inbox and recordings. It keeps its extents, so that late
    frames are found and erased too."""
    for statement in (_INBOX, _RECORDINGS):
        session.execute(statement, {"device_id": key.device_id, "sid": key.sid})


def erase_session(session: Session, key: SessionKey) -> None:
    """Delete all that there is of a session whose person was erased, its extents too: more of it
    that comes later is told by its time.

    Its stores' ledgers are locked, so that no bridge adds a frame to an extent that goes.
    """
    extents = (SessionExtent.device_id == key.device_id, SessionExtent.sid == key.sid)
    stores = session.scalars(select(SessionExtent.store).where(*extents)).all()
    lock_ledgers(session, [StoreKey(key.device_id, store) for store in stores])
    erase_frames(session, key)
    for statement in (
        delete(SessionExtent).where(*extents),
        delete(StimulationSession).where(StimulationSession.id == key.id),
    ):
        session.execute(statement.execution_options(synchronize_session=False))


_INBOX = text(
    """
    DELETE FROM frame AS f USING session_extent AS e
    WHERE e.device_id = :device_id AND e.sid = :sid
      AND f.device_id = e.device_id AND f.store = e.store
      AND f.seq BETWEEN e.low_seq AND e.high_seq AND f.sid = e.sid
    """
)
_RECORDINGS = text("DELETE FROM recording WHERE device_id = :device_id AND sid = :sid")
