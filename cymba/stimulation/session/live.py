"""The live view of a running session: the frames that a client has not been sent yet.

Frames arrive in any order, so each view keeps the ranges that it has sent, for each store. Written
out, these ranges are also the event id from which an interrupted view resumes: nothing is lost or
repeated.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Literal
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cymba.database import line_of
from cymba.devices.anchors import load_clocks
from cymba.devices.claiming import load_tenures
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.reading import load_frames
from cymba.stimulation.session.made_up import reports_of, without_made_up
from cymba.stimulation.session.timing import boots_of, place
from cymba.stimulation.tables import Recording, StimulationSession
from cymba.stimulation.wire.frames import unpack
from cymba.stimulation.wire.messages import Frame
from cymba.stimulation.wire.seq_ranges import SeqRanges

MAX_FRAMES_AT_ONCE = 500
MAX_WRITTEN_RANGES = 64
_STORE = re.compile(r"([0-9]{1,10}):([0-9]{1,10}-[0-9]{1,10}(?:,[0-9]{1,10}-[0-9]{1,10})*)")


@dataclass(slots=True)
class SentRanges:
    """The sequence numbers that were sent of each store."""

    ranges: dict[int, SeqRanges] = field(default_factory=dict)

    def __contains__(self, key: tuple[int, int]) -> bool:
        store, seq = key
        return store in self.ranges and seq in self.ranges[store]

    def add(self, store: int, seq: int) -> None:
        self.ranges.setdefault(store, SeqRanges()).add(seq)

    def __str__(self) -> str:
        """`store:low-high,low-high;store:…`. At most the first `MAX_WRITTEN_RANGES` are written:
        frames of the others would be sent again, not lost."""
        left = MAX_WRITTEN_RANGES
        stores = []
        for store, known in sorted(self.ranges.items()):
            written = known.ranges()[:left]
            left -= len(written)
            if written:
                stores.append(f"{store}:" + ",".join(f"{low}-{high}" for low, high in written))
        return ";".join(stores)

    @classmethod
    def parse(cls, written: str) -> "SentRanges | None":
        """Read what `str` wrote; None if it has another form."""
        seen = cls()
        for part in written.split(";") if written else ():
            match = _STORE.fullmatch(part)
            if match is None:
                return None
            pairs = [pair.split("-") for pair in match[2].split(",")]
            ranges = [(int(low), int(high)) for low, high in pairs]
            last = 0
            for low, high in ranges:
                if not last < low <= high:
                    return None
                last = high
            seen.ranges[int(match[1])] = SeqRanges.of(ranges)
        return seen


@dataclass(frozen=True, slots=True)
class LiveFrame:
    at_ms: int  # since 1970, of the frame's first sample
    frame: Frame


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """What to send next: new frames, by store and seq, and whether the session continues."""

    frames: list[LiveFrame]
    state: Literal["open", "ended", "gone"]
    device_id: str = ""  # none of what is gone


def read_update(
    session: Session, account_id: UUID, session_id: UUID, seen: SentRanges
) -> LiveUpdate:
    """At most `MAX_FRAMES_AT_ONCE` frames that are not in `seen`.

    The state is `ended` only when nothing of the session is left to send, and `gone` if the account
    does not have the session (any more).
    """
    # The state is read first, so that frames stored before the session ended are found below.
    table = StimulationSession
    row = session.execute(
        select(table.device_id, table.sid, table.state, table.started_at).where(
            table.id == session_id, table.account_id == account_id, table.deleted_at.is_(None)
        )
    ).one_or_none()
    if row is None:
        return LiveUpdate([], "gone")
    before = load_tenures(line_of(session), row.device_id).closed_at(row.started_at)
    # The frame table before the recordings: compaction moves frames from one to the other.
    fresh = _from_frame_table(session, row.device_id, row.sid, seen, before)
    if not fresh and _is_recorded(session, row.device_id, row.sid):
        frames = load_frames(session, row.device_id, row.sid, before=before)
        unseen = (read for read in frames if (read.frame.store, read.frame.seq) not in seen)
        fresh = list(islice(unseen, MAX_FRAMES_AT_ONCE))
    state: Literal["open", "ended"] = "open" if fresh or row.state == "open" else "ended"
    placed = _placed(session, row.device_id, fresh)
    return LiveUpdate(list(placed), state, row.device_id)


def _placed(session: Session, device_id: str, fresh: list[ReadFrame]) -> Iterator[LiveFrame]:
    if fresh:
        timing = place(fresh, load_clocks(session, device_id, boots_of(fresh)))
        for read in without_made_up(fresh, reports_of(line_of(session), device_id)):
            yield LiveFrame(timing.at_ms(read.frame), read.frame)


def _from_frame_table(
    session: Session, device_id: str, sid: UUID, seen: SentRanges, before: datetime | None
) -> list[ReadFrame]:
    stores = sorted(seen.ranges)
    rows = session.execute(
        _UNSEEN,
        {
            "device_id": device_id,
            "sid": sid,
            "before": before,
            "limit": MAX_FRAMES_AT_ONCE,
            "stores": stores,
            "seen": [str(seen.ranges[store]) for store in stores],
        },
    )
    return [ReadFrame(unpack(row), row.received_at) for row in rows]


def _is_recorded(session: Session, device_id: str, sid: UUID) -> bool:
    found = select(Recording.store).where(Recording.device_id == device_id, Recording.sid == sid)
    return session.scalars(found.limit(1)).first() is not None


# The unbroken range from the session's beginning that was already sent is not read again.
_UNSEEN = text(
    """
    SELECT f.store, f.seq, f.boot, f.sid, f.kind, f.up_ms, f.utc_ms, f.body,
           f.received_at
    FROM session_extent AS e
    LEFT JOIN unnest(CAST(:stores AS bigint[]), CAST(:seen AS int8multirange[])) AS k (store, seen)
           ON k.store = e.store
    JOIN frame AS f
      ON f.device_id = e.device_id AND f.store = e.store AND f.sid = e.sid
     AND f.seq BETWEEN CASE WHEN k.seen @> e.low_seq
                            THEN (SELECT upper(r) FROM unnest(k.seen) AS r WHERE r @> e.low_seq)
                            ELSE e.low_seq END
                   AND e.high_seq
     AND NOT coalesce(k.seen @> f.seq, false)
    WHERE e.device_id = :device_id AND e.sid = :sid
      AND f.received_at < coalesce(CAST(:before AS timestamptz), 'infinity')
    ORDER BY f.store, f.seq
    LIMIT :limit
    """
)
