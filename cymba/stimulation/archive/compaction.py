"""Compaction: moving the frames of finished sessions out of the frame table into recordings.

A session's frames are read and compressed without a lock. Then the session's row and the ledgers of
its stores are locked, in that order. If nothing was written to the session meanwhile, the recording
is written and the frames are deleted in one transaction.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.ranges import MultiRange, Range
from sqlalchemy.orm import Session

from cymba.parts import of_part
from cymba.settings import SESSION_SILENT_HOURS
from cymba.stimulation.archive.by_device import (
    NextDevices,
    WaitingSessions,
    read_waiting,
    waiting_sessions,
)
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.archive.recording import EncodedRecording, encode_recording
from cymba.stimulation.ingest.ledgers import StoreKey, lock_ledgers
from cymba.stimulation.tables import Recording, SessionExtent, StimulationSession, StoredFrame
from cymba.stimulation.wire.seq_ranges import SeqRanges

SILENT_AFTER = timedelta(hours=SESSION_SILENT_HOURS)
"""A session is over when none of its frames has arrived for so long."""

UNSEALED_OF_A_DEVICE = 100  # that are looked at in a round, on either side of a place


def sessions_to_compact(
    session: Session,
    now: datetime,
    silent_after: timedelta = SILENT_AFTER,
    *,
    after: str = "",
    but: Collection[SessionKey] = (),
) -> WaitingSessions:
    """Ended sessions with frames in the frame table that are complete, or silent for
    `silent_after`.

    A round looks at some of each device, and at others in the next round.
    """
    values = {"before": now - silent_after, "somewhere": uuid4(), "most": UNSEALED_OF_A_DEVICE}
    return read_waiting(session, _UNSEALED_DEVICES, _FINISHED, values, after=after, but=but)


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
        .where(
            StimulationSession.device_id == key.device_id,
            StimulationSession.sid == key.sid,
            StimulationSession.deleted_at.is_(None),
        )
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
_UNSEALED = """
    SELECT u.device_id, u.sid, u.low_seq, u.high_seq, u.last_received_at FROM session_extent AS u
    WHERE NOT u.sealed AND u.device_id = d.device_id AND u.sid {where} :somewhere AND {of_part}
    ORDER BY u.sid LIMIT :most
"""
_EARLIER, _LATER = (
    _UNSEALED.format(where=where, of_part=of_part("u.device_id")) for where in ("<", ">=")
)
_UNSEALED_DEVICES = NextDevices("session_extent", "NOT t.sealed")
_FINISHED = waiting_sessions(
    f"""
    SELECT x.sid, x.low_seq, x.high_seq, x.last_received_at AS waits_since
    FROM (({_LATER}) UNION ALL ({_EARLIER})) AS x
    CROSS JOIN LATERAL (
      SELECT t.frames_stored, t.frames_expected FROM stimulation_session AS t
      WHERE t.device_id = x.device_id AND t.sid = x.sid AND t.state = 'ended'
        AND t.hidden_at IS NULL AND {of_part("t.device_id")} OFFSET 0) AS s
    WHERE x.sid <> ALL (CAST(:aside AS uuid[]))
      AND NOT EXISTS (SELECT FROM session_extent AS y
                      WHERE y.device_id = x.device_id AND y.sid = x.sid AND y.dirty
                        AND {of_part("y.device_id")})
      AND (s.frames_stored = s.frames_expected
           OR NOT EXISTS (SELECT FROM session_extent AS r
                          WHERE r.device_id = x.device_id AND r.sid = x.sid
                            AND r.last_received_at >= :before
                            AND {of_part("r.device_id")}))
    LIMIT :each
    """,  # noqa: S608 - constants of this code
)
