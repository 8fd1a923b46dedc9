"""A session's frames, whether they still lie in the inbox or in a sealed recording."""

from typing import NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.recording import unseal
from cymba.stimulation.wire.frames import unpack

__all__ = ["ReadFrame", "SessionKey", "load_frames"]

_SESSIONS = UUID("2a8a4b52-6c1e-5d0b-9b8f-0c3d5f0b7e11")


class SessionKey(NamedTuple):
    """How a device names a session: `sid` is its own, so other devices' may be the same."""

    device_id: str
    sid: UUID

    @property
    def id(self) -> UUID:
        """The session's id for everybody else, which no other device can name."""
        return uuid5(_SESSIONS, f"{self.device_id}/{self.sid}")


def load_frames(session: Session, device_id: str, sid: UUID) -> list[ReadFrame]:
    """All frames of a session, by store and seq.

    One statement reads both places, so that it cannot fall between the two while frames are moved.
    """
    inbox: list[ReadFrame] = []
    sealed: dict[tuple[int, int], ReadFrame] = {}
    rows = session.execute(_BOTH_PLACES, {"device_id": device_id, "sid": sid})
    for row in rows:
        if row.is_recording:
            for read in unseal(row.body, row.store, sid):
                sealed[read.frame.store, read.frame.seq] = read
        else:
            inbox.append(ReadFrame(unpack(row), row.received_at))
    unsealed = [read for read in inbox if (read.frame.store, read.frame.seq) not in sealed]
    return sorted([*sealed.values(), *unsealed], key=lambda r: (r.frame.store, r.frame.seq))


_BOTH_PLACES = text(
    """
    SELECT false AS is_recording, f.store, f.seq, f.boot, f.sid, f.kind, f.up_ms, f.utc_ms,
           f.body, date_trunc('milliseconds', f.received_at) AS received_at
    FROM session_extent AS e
    JOIN frame AS f
      ON f.device_id = e.device_id AND f.store = e.store
     AND f.seq BETWEEN e.low_seq AND e.high_seq AND f.sid = e.sid
    WHERE e.device_id = :device_id AND e.sid = :sid
    UNION ALL
    SELECT true, r.store, NULL, NULL, r.sid, NULL, NULL, NULL, r.body, NULL
    FROM recording AS r
    WHERE r.device_id = :device_id AND r.sid = :sid
    """
)
