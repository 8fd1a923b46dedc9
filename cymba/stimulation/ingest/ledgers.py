"""The ledger of a flash store: which sequence numbers are resolved, and what an ack says of it.

A row of `flash_store` is locked before anything of its store is looked at or written, and rows
are locked in one order everywhere. So what one transaction reads of a store stays true until it
commits, and two bridges never wait for each other.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session
from sqlalchemy.sql import cast
from sqlalchemy.types import Text

from cymba.stimulation.ingest.array_literals import integers, words
from cymba.stimulation.tables import AckLedgerRow

MAX_RANGES = 512
"""A store's resolved numbers lie in no more ranges than this; a frame that would begin another
is refused with `rate`. A real device has a few holes in its life."""

MAX_NEW_STORES_A_DAY = 16
"""Stores of one device that may appear within 24 h; a factory reset makes one."""


class StoreKey(NamedTuple):
    device_id: str
    store: int


class SeqRanges:
    """A set of sequence numbers, as the sorted bounds of its half-open ranges."""

    __slots__ = ("_bounds",)

    def __init__(self, written: str = "{}") -> None:
        """`written` is how PostgreSQL writes an int8multirange: `{[1,4201),[4205,4212)}`."""
        inside = written[2:-2].replace("),[", ",")
        self._bounds = [int(bound) for bound in inside.split(",")] if inside else []

    def __contains__(self, seq: int) -> bool:
        return bisect_right(self._bounds, seq) % 2 == 1

    def __str__(self) -> str:
        bounds = iter(self._bounds)
        return "{" + ",".join(f"[{low},{high})" for low, high in zip(bounds, bounds)) + "}"  # noqa: B905 - the same iterator twice makes pairs

    def ranges(self) -> list[tuple[int, int]]:
        """First and last of each, in order."""
        bounds = self._bounds
        return [(bounds[i], bounds[i + 1] - 1) for i in range(0, len(bounds), 2)]

    def index(self, seq: int) -> int | None:
        """How many are before `seq`, if that is in it."""
        bounds = self._bounds
        at = bisect_right(bounds, seq)
        if at % 2 == 0:
            return None
        before = sum(bounds[i + 1] - bounds[i] for i in range(0, at - 1, 2))
        return before + seq - bounds[at - 1]

    def has_room_for(self, seq: int) -> bool:
        """Whether `seq` can be added without a range too many."""
        bounds = self._bounds
        if len(bounds) < 2 * MAX_RANGES:
            return True
        at = bisect_right(bounds, seq)
        joins_before = at > 0 and bounds[at - 1] == seq
        joins_after = at < len(bounds) and bounds[at] == seq + 1
        return at % 2 == 1 or joins_before or joins_after

    def add(self, seq: int) -> None:
        bounds = self._bounds
        at = bisect_right(bounds, seq)
        if at % 2 == 1:
            return
        joins_before = at > 0 and bounds[at - 1] == seq
        joins_after = at < len(bounds) and bounds[at] == seq + 1
        if joins_before and joins_after:
            del bounds[at - 1 : at + 1]
        elif joins_before:
            bounds[at - 1] = seq + 1
        elif joins_after:
            bounds[at] = seq
        else:
            bounds[at:at] = (seq, seq + 1)

    @property
    def upto(self) -> int:
        """The highest number up to which all are in it; 0 if 1 is not."""
        return self._bounds[1] - 1 if self._bounds and self._bounds[0] == 1 else 0

    def beyond(self, seqs: Iterable[int] | None = None) -> list[tuple[int, int]]:
        """First and last of the ranges after `upto`: all, or those that hold one of `seqs`."""
        bounds = self._bounds
        first = 2 if bounds and bounds[0] == 1 else 0
        if len(bounds) == first:
            return []
        starts: Iterable[int] = range(first, len(bounds), 2)
        if seqs is not None:
            places = {bisect_right(bounds, seq) for seq in seqs}
            starts = sorted(at - 1 for at in places if at % 2 == 1 and at > first)
        return [(bounds[at], bounds[at + 1] - 1) for at in starts]


class AckLedger:
    """A locked row of `flash_store`."""

    __slots__ = ("changed", "is_held", "resolved")

    def __init__(self, written: str, is_held: bool) -> None:
        self.resolved = SeqRanges(written)
        self.is_held = is_held  # somebody holds the device now
        self.changed = False

    def resolve(self, seq: int) -> None:
        if seq not in self.resolved:
            self.resolved.add(seq)
            self.changed = True


def lock_ledgers(
    session: Session, keys: Collection[StoreKey], needed: Collection[StoreKey] = ()
) -> dict[StoreKey, AckLedger] | None:
    """Lock the rows of `keys` that there are. None, and no lock, where one of `needed` is not."""
    values = _columns(list(keys)) | {
        f"needed_{name}": written for name, written in _columns(list(needed)).items()
    }
    rows = session.execute(_LOCK, values | {"needed": len(needed)})
    ledgers = {StoreKey(row[0], row[1]): AckLedger(row[2], row[3]) for row in rows}
    return ledgers if ledgers.keys() >= set(needed) else None


def open_ledgers(session: Session, keys: Sequence[StoreKey]) -> None:
    """Begin the ledgers of new stores, of devices that somebody holds.

    The caller must hold no lock on a ledger yet.
    """
    session.execute(_OPEN, _columns(keys) | {"most": MAX_NEW_STORES_A_DAY})


def held_devices(session: Session, device_ids: Iterable[str]) -> set[str]:
    """Those of the devices that exist and that somebody holds now."""
    return set(session.scalars(_HELD, {"devices": words(device_ids)}))


def read_resolved(session: Session, key: StoreKey) -> SeqRanges:
    """What is resolved in a store, without a lock; nothing in a store that is not known."""
    written = session.scalar(
        select(cast(AckLedgerRow.resolved, Text)).where(
            AckLedgerRow.device_id == key.device_id, AckLedgerRow.store == key.store
        )
    )
    return SeqRanges(written or "{}")


def _columns(keys: Sequence[StoreKey]) -> dict[str, object]:
    return {
        "devices": words([key.device_id for key in keys]),
        "stores": integers([key.store for key in keys]),
    }


# Each row by its key, in order (OFFSET 0 holds the planner to that): a join might read all of a
# large table, and lock in any order; EXISTS would hash every tenure there is.
_LOCK = text(
    """
    WITH known AS MATERIALIZED (
      SELECT count(*) AS stores
      FROM unnest(CAST(:needed_devices AS text[]), CAST(:needed_stores AS bigint[]))
        AS n (device_id, store)
      CROSS JOIN LATERAL (
        SELECT FROM flash_store AS f
        WHERE f.device_id = n.device_id AND f.store = n.store OFFSET 0) AS s)
    SELECT k.device_id, k.store, s.resolved,
           coalesce((SELECT true FROM device_tenure AS t
                     WHERE t.device_id = k.device_id AND t.released_at IS NULL LIMIT 1), false)
    FROM (SELECT * FROM unnest(CAST(:devices AS text[]), CAST(:stores AS bigint[]))
            AS u (device_id, store)
          WHERE (SELECT stores FROM known) >= :needed ORDER BY device_id, store) AS k
    CROSS JOIN LATERAL (
      SELECT CAST(f.resolved AS text) AS resolved FROM flash_store AS f
      WHERE f.device_id = k.device_id AND f.store = k.store OFFSET 0 FOR UPDATE) AS s
    """
)
_OPEN = text(
    """
    INSERT INTO flash_store (device_id, store, resolved)
    SELECT n.device_id, n.store, '{}'
    FROM (SELECT k.device_id, k.store,
                 row_number() OVER (PARTITION BY k.device_id ORDER BY k.store) AS number
          FROM unnest(CAST(:devices AS text[]), CAST(:stores AS bigint[])) AS k (device_id, store)
          WHERE EXISTS (SELECT FROM device_tenure AS t
                        WHERE t.device_id = k.device_id AND t.released_at IS NULL)
         ) AS n
    WHERE n.number + (SELECT count(*) FROM flash_store AS s
                      WHERE s.device_id = n.device_id
                        AND s.first_seen_at > now() - interval '1 day') <= :most
    ORDER BY n.device_id, n.store
    ON CONFLICT DO NOTHING
    """
)
_HELD = text(
    """
    SELECT DISTINCT t.device_id FROM device_tenure AS t
    WHERE t.device_id = ANY (CAST(:devices AS text[])) AND t.released_at IS NULL
    """
)
