"""The kept sums of open sessions, and the frames that came since, for many sessions at once."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.parts import of_part, part_of
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.session.folding import SessionSums, fold_on, recall
from cymba.stimulation.wire.frames import PlainRow, unpack


class MarkedExtent(NamedTuple):
    """A session's part in one store before its frames were read. `xmin` changes with every write to
    it."""

    device_id: str
    sid: UUID
    store: int
    xmin: int
    last_received_at: datetime
    low_seq: int
    high_seq: int


Extents = Mapping[SessionKey, Sequence[MarkedExtent]]


def read_extents(session: Session, keys: Sequence[SessionKey]) -> Extents:
    found: dict[SessionKey, list[MarkedExtent]] = defaultdict(list)
    for row in session.execute(_EXTENTS, _columns(session, keys)):
        extent = MarkedExtent(*row)
        found[SessionKey(extent.device_id, extent.sid)].append(extent)
    return found


def fold_new_frames(
    session: Session, extents: Extents, unknown: Mapping[str, Collection[str]]
) -> dict[SessionKey, SessionSums]:
    """The sums of those sessions whose new frames all follow the kept ones. `unknown`: by device,
    what its model cannot know.

    The store's ledger shows whether any other frame came: each frame has a number of its own, and
    the ledger has it as resolved. So where it has as many numbers within the session as frames are
    summed, these are all. One statement reads both.
    """
    kept = _read(session, extents, unknown)
    if not kept:
        return {}
    in_order = list(kept)
    rows: list[list[Any]] = [[] for _ in in_order]
    resolved = [0] * len(in_order)
    for number, count, *frame in session.execute(_NEW, _bounds(session, extents, kept)):
        resolved[number] = count
        if frame[0] is not None:
            rows[number].append(frame)
    found: dict[SessionKey, SessionSums] = {}
    for number, key in enumerate(in_order):
        frames, sums = rows[number], kept[key]
        if resolved[number] == sums.frames + len(frames):
            reads = [_read_frame(key, extents[key][0].store, frame) for frame in frames]
            if fold_on(sums, reads):
                found[key] = sums
    return found


def write_sums(session: Session, sums: Mapping[UUID, bytes | None]) -> None:
    """None: no longer kept."""
    gone = [id_ for id_, written in sums.items() if written is None]
    written = {id_: one for id_, one in sorted(sums.items()) if one is not None}
    if gone:
        session.execute(_FORGET, {"ids": gone})
    if written:
        session.execute(_KEEP, {"ids": list(written), "sums": list(written.values())})


def _read(
    session: Session, extents: Extents, unknown: Mapping[str, Collection[str]]
) -> dict[SessionKey, SessionSums]:
    """The kept sums that are of this code, and of what the extents say."""
    by_id = {key.id: key for key, of_stores in extents.items() if len(of_stores) == 1}
    found: dict[SessionKey, SessionSums] = {}
    for id_, written in session.execute(_KEPT, {"ids": list(by_id)}):
        key = by_id[id_]
        (extent,) = extents[key]
        sums = recall(written, unknown[key.device_id])
        if sums is None or sums.boots[-1].store != extent.store:
            continue
        if sums.low_seq == extent.low_seq:
            found[key] = sums
    return found


def _bounds(
    session: Session, extents: Extents, kept: Mapping[SessionKey, SessionSums]
) -> dict[str, Any]:
    of_one = [extents[key][0] for key in kept]
    return _columns(session, list(kept)) | {
        "stores": [extent.store for extent in of_one],
        "lows": [extent.low_seq for extent in of_one],
        "summed": [sums.high_seq for sums in kept.values()],
        "highs": [extent.high_seq for extent in of_one],
    }


def _columns(session: Session, keys: Sequence[SessionKey]) -> dict[str, Any]:
    devices = [key.device_id for key in keys]
    part = part_of(session, devices)
    return {"devices": devices, "sids": [key.sid for key in keys], "part": part}


def _read_frame(key: SessionKey, store: int, row: Sequence[Any]) -> ReadFrame:
    *frame, received_at = row
    return ReadFrame(unpack(PlainRow(store, key.sid, *frame)), received_at)


# LATERAL with OFFSET 0: each row by its key, whatever the planner's statistics are.
_WANTED = "unnest(CAST(:devices AS text[]), CAST(:sids AS uuid[]))"
_EXTENTS = text(
    f"""
    SELECT k.device_id, k.sid, e.*
    FROM {_WANTED} AS k (device_id, sid) CROSS JOIN LATERAL (
      SELECT x.store, CAST(CAST(x.xmin AS text) AS bigint), x.last_received_at, x.low_seq,
             x.high_seq
      FROM session_extent AS x
      WHERE x.device_id = k.device_id AND x.sid = k.sid AND {of_part("x.device_id")}
      OFFSET 0) AS e
    """  # noqa: S608 - a constant
)
_KEPT = text(
    """
    SELECT s.session_id, s.sums FROM session_sums AS s
    WHERE s.session_id = ANY (CAST(:ids AS uuid[]))
    """
)
_NEW = text(
    f"""
    SELECT k.number - 1, c.resolved, f.*
    FROM unnest(CAST(:devices AS text[]), CAST(:sids AS uuid[]), CAST(:stores AS bigint[]),
                CAST(:lows AS bigint[]), CAST(:summed AS bigint[]), CAST(:highs AS bigint[]))
      WITH ORDINALITY AS k (device_id, sid, store, low, summed, high, number)
    CROSS JOIN LATERAL (
      SELECT CAST(coalesce(sum(upper(r) - lower(r)), 0) AS bigint) AS resolved
      FROM unnest((SELECT s.resolved FROM flash_store AS s
                   WHERE s.device_id = k.device_id AND s.store = k.store
                     AND {of_part("s.device_id")})
                  * int8multirange(int8range(k.low, k.high + 1))) AS r OFFSET 0) AS c
    LEFT JOIN LATERAL (
      SELECT g.seq, g.boot, g.kind, g.up_ms, g.utc_ms, g.body,
             date_trunc('milliseconds', g.received_at)
      FROM frame AS g
      WHERE g.device_id = k.device_id AND g.store = k.store AND g.seq > k.summed
        AND g.seq <= k.high AND g.sid = k.sid AND {of_part("g.device_id")}
      ORDER BY g.seq OFFSET 0) AS f ON true
    """  # noqa: S608 - a constant
)
_KEEP = text(
    """
    INSERT INTO session_sums (session_id, sums)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:sums AS bytea[]))
    ON CONFLICT (session_id) DO UPDATE SET sums = excluded.sums
    """
)
_FORGET = text(
    """
    DELETE FROM session_sums AS s USING unnest(CAST(:ids AS uuid[])) AS k (id)
    WHERE s.session_id = k.id
    """
)
