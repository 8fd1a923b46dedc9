"""Erasing what a session was recorded as. What was acknowledged stays so: a device that sends it
again hears that it is resolved, and nothing comes back."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.stimulation.reading import SessionKey


def erase_frames(session: Session, key: SessionKey) -> None:
    """Delete the session's frames from inbox and recordings. It keeps its extents, so that late
    frames are found and erased too."""
    for statement in (_INBOX, _RECORDINGS):
        session.execute(statement, {"device_id": key.device_id, "sid": key.sid})


_INBOX = text(
    """
    DELETE FROM frame AS f USING session_extent AS e
    WHERE e.device_id = :device_id AND e.sid = :sid
      AND f.device_id = e.device_id AND f.store = e.store
      AND f.seq BETWEEN e.low_seq AND e.high_seq AND f.sid = e.sid
    """
)
_RECORDINGS = text("DELETE FROM recording WHERE device_id = :device_id AND sid = :sid")
