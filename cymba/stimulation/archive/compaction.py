"""Compaction: moving the frames of finished sessions out of the frame table into recordings.

A session's frames are read and compressed without a lock. Then the session's row and the ledgers of
its stores are locked, in that order. If nothing was written to the session meanwhile, the recording
is written and the frames are deleted in one transaction.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.ranges import MultiRange, Range
from sqlalchemy.orm import Session

from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.archive.recording import EncodedRecording, encode_recording
from cymba.stimulation.ingest.ledgers import StoreKey, lock_ledgers
from cymba.stimulation.tables import Recording, SessionExtent, StimulationSession, StoredFrame
from cymba.stimulation.wire.seq_ranges import SeqRanges

SILENT_AFTER = timedelta(hours=24)
"""A session is over when nothing of it has arrived for so long."""


def sessions_to_compact(
    session: Session, limit: int, now: datetime, silent_after: timedelta = SILENT_AFTER
) -> list[SessionKey]:
    """Ended sessions with frames in the frame table that are complete, or of which nothing has
    arrived for `silent_after`."""
    rows = session.execute(_FINISHED, {"before": now - silent_after, "limit": limit})
    return [SessionKey(*row) for row in rows]


def compact_session(session: Session, key: SessionKey) -> bool:
    """Write all of a session's frames, in the frame table or recorded before, into recordings.

    False if the session is being written to, and so has to wait, or was deleted.
    """
    versions = _versions(session, key)
    by_store: dict[int, list[ReadFrame]] = defaultdict(list)
    for read in load_frames(session, key.device_id, key.sid):
        by_store[read.frame.store].append(read)
    encoded = {store: encode_recording(reads) for store, reads in sorted(by_store.items())}
    if not _lock(session, key, sorted(versions)) or _versions(session, key) != versions:
        return False
    for store, recording in encoded.items():
        _move(session, key, store, recording)
    session.execute(
        update(SessionExtent)
        .where(SessionExtent.device_id == key.device_id, SessionExtent.sid == key.sid)
        .values(sealed=True)
    )
    return True


def multirange(seqs: Sequence[int]) -> MultiRange[int]:
    """`seqs`, in order, as the driver takes them."""
    return MultiRange(Range(low, high + 1) for low, high in SeqRanges.of_sorted(seqs).ranges())


def _versions(session: Session, key: SessionKey) -> dict[int, int]:
    """`xmin` of the extent of each store: it changes with every write."""
    rows = session.execute(_VERSIONS, {"device_id": key.device_id, "sid": key.sid})
    return {store: xmin for store, xmin in rows}  # noqa: C416 - rows are no tuples


def _lock(session: Session, key: SessionKey, stores: Sequence[int]) -> bool:
    """Keep out deletion, ingest and other workers. False if one of them has the session."""
    row: UUID | None = session.scalar(
        select(StimulationSession.id)
        .where(StimulationSession.id == key.id, StimulationSession.deleted_at.is_(None))
        .with_for_update(skip_locked=True, key_share=True)
    )
    if row is None:
        return False
    lock_ledgers(session, [StoreKey(key.device_id, store) for store in stores])
    return True


def _move(session: Session, key: SessionKey, store: int, encoded: EncodedRecording) -> None:
    values: dict[str, Any] = {
        "frame_count": encoded.frame_count,
        "sample_count": encoded.sample_count,
        "seqs": multirange(encoded.seqs),
        "digests": encoded.digests,
        "body": encoded.body,
    }
    statement = insert(Recording).values(
        device_id=key.device_id, sid=key.sid, store=store, **values
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Recording.device_id, Recording.sid, Recording.store], set_=values
        )
    )
    session.execute(
        delete(StoredFrame).where(
            StoredFrame.device_id == key.device_id,
            StoredFrame.store == store,
            StoredFrame.seq.between(encoded.seqs[0], encoded.seqs[-1]),
            StoredFrame.sid == key.sid,
        )
    )


_VERSIONS = text(
    """
    SELECT e.store, CAST(CAST(e.xmin AS text) AS bigint)
    FROM session_extent AS e WHERE e.device_id = :device_id AND e.sid = :sid
    """
)
_FINISHED = text(
    """
    SELECT e.device_id, e.sid
    FROM session_extent AS e
    JOIN stimulation_session AS s ON s.device_id = e.device_id AND s.sid = e.sid
    WHERE NOT e.sealed AND s.state = 'ended' AND s.hidden_at IS NULL
      AND NOT EXISTS (SELECT FROM session_extent AS d
                      WHERE d.device_id = e.device_id AND d.sid = e.sid AND d.dirty)
      AND (s.frames_stored = s.frames_expected
           OR NOT EXISTS (SELECT FROM session_extent AS r
                          WHERE r.device_id = e.device_id AND r.sid = e.sid
                            AND r.last_received_at >= :before))
    GROUP BY e.device_id, e.sid
    LIMIT :limit
    """
)
