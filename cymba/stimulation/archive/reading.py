"""Reading a session's frames, from the frame table and from recordings."""

from datetime import datetime
from itertools import chain, islice
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import msgspec
import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.database import Prepared, line_of
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.recording import Reads, decode_recording
from cymba.stimulation.wire.frames import unpack
from cymba.stimulation.wire.messages import Column, Frame, SamplesFrame

__all__ = ["ReadFrame", "SessionKey", "load_frames"]

ROWS_AT_ONCE = 200
_SESSIONS = UUID("2a8a4b52-6c1e-5d0b-9b8f-0c3d5f0b7e11")


class SessionKey(NamedTuple):
    """A session as its device names it. Two devices may use the same `sid`."""

    device_id: str
    sid: UUID

    @property
    def id(self) -> UUID:
        """The session's id in the API. No other device can produce it."""
        return uuid5(_SESSIONS, f"{self.device_id}/{self.sid}")


def load_frames(
    session: Session,
    device_id: str,
    sid: UUID,
    *,
    reads: Reads | None = None,
    before: datetime | None = None,
) -> list[ReadFrame]:
    """All frames of a session, by store and seq; with `before`, those received by then.

    With `reads`, only the columns of the channels for which it is true, as arrays of floats in
    which NaN stands for null: a fifth of the memory that lists take.

    One statement reads both places, so that no frame is missed while compaction moves it.
    """
    in_table: list[ReadFrame] = []
    recorded: dict[tuple[int, int], ReadFrame] = {}
    rows = _BOTH_PLACES.some_at_once(line_of(session), ROWS_AT_ONCE, device_id=device_id, sid=sid)
    while some := [_StoredRow._make(row) for row in islice(rows, ROWS_AT_ONCE)]:
        of_table = [row for row in some if not row.is_recording]
        frames = _narrowed([unpack(row) for row in of_table], reads)
        in_table += map(ReadFrame, frames, [row.received_at for row in of_table])
        for row in some:
            if row.is_recording:
                for read in decode_recording(row.body, row.store, sid, reads=reads):
                    recorded[read.frame.store, read.frame.seq] = read
    only_in_table = [
        read for read in in_table if (read.frame.store, read.frame.seq) not in recorded
    ]
    found = [
        read
        for read in [*recorded.values(), *only_in_table]
        if before is None or read.received_at < before
    ]
    return sorted(found, key=lambda r: (r.frame.store, r.frame.seq))


def _narrowed(frames: list[Frame], reads: Reads | None) -> list[Frame]:
    """With the wanted columns alone, which are parts of one array of floats for each channel."""
    if reads is None:
        return frames
    columns: dict[int, dict[str, Any]] = {}
    parts: dict[str, list[tuple[int, Column]]] = {}
    for number, frame in enumerate(frames):
        if isinstance(frame, SamplesFrame):
            columns[number] = {}
            for name, values in frame.c.items():
                parts.setdefault(name, []).append((number, values))
    for name, of_channel in parts.items():
        if reads(name):
            every = np.array(
                list(chain.from_iterable(values for _, values in of_channel)), dtype=np.float64
            )  # None becomes NaN
            end = 0
            for number, values in of_channel:
                begin, end = end, end + len(values)
                columns[number][name] = every[begin:end]
    return [
        msgspec.structs.replace(frame, c=columns[number]) if number in columns else frame
        for number, frame in enumerate(frames)
    ]


class _StoredRow(NamedTuple):
    """As `frames.unpack` reads it; of a recording, its store and body alone."""

    is_recording: bool
    store: int
    seq: int
    boot: int
    sid: UUID
    kind: int
    up_ms: int
    utc_ms: int | None
    body: bytes
    received_at: datetime


IN_FRAME_TABLE = """
        FROM session_extent AS e
        JOIN frame AS f
          ON f.device_id = e.device_id AND f.store = e.store
         AND f.seq BETWEEN e.low_seq AND e.high_seq AND f.sid = e.sid
        WHERE e.device_id = :device_id AND e.sid = :sid
"""
"""SQL: a session's frames `f` in the frame table, of all its stores."""
_BOTH_PLACES = Prepared(
    text(
        f"""
        SELECT false AS is_recording, f.store, f.seq, f.boot, f.sid, f.kind, f.up_ms, f.utc_ms,
               f.body, date_trunc('milliseconds', f.received_at) AS received_at
        {IN_FRAME_TABLE}
        UNION ALL
        SELECT true, r.store, NULL, NULL, r.sid, NULL, NULL, NULL, r.body, NULL
        FROM recording AS r
        WHERE r.device_id = :device_id AND r.sid = :sid
        """  # noqa: S608 - a constant of this code
    )
)
