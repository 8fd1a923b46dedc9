"""The ledger of a flash store: which sequence numbers are resolved, and what an ack says of it.

A row of `flash_store` is locked before anything of its store is read or written, and rows are
locked in the same order everywhere. So what a transaction reads of a store stays true until it
commits, and two bridges never deadlock.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session
from sqlalchemy.sql import cast
from sqlalchemy.types import Text

from cymba.parts import of_part, part_of
from cymba.stimulation.ingest.array_literals import integers, words
from cymba.stimulation.tables import AckLedgerRow
from cymba.stimulation.wire.seq_ranges import SeqRanges

MAX_RANGES = 512
"""The most ranges of resolved numbers that a store may have. A frame that would begin another is
rejected with `rate`. A real device has a few holes in its life."""

MAX_NEW_STORES_A_DAY = 16
"""New stores of one device within 24 h. A factory reset makes one."""


class StoreKey(NamedTuple):
    device_id: str
    store: int


class AckLedger:
    """A locked row of `flash_store`."""

    __slots__ = ("changed", "is_held", "resolved")

    def __init__(self, written: str, is_held: bool) -> None:
        self.resolved = SeqRanges(written)
        self.is_held = is_held  # somebody holds the device now
        self.changed = False

    def has_room_for(self, seq: int) -> bool:
        """Whether `seq` can be resolved without a range too many."""
        return self.resolved.has_room_for(seq, MAX_RANGES)

    def resolve(self, seq: int) -> None:
        if seq not in self.resolved:
            self.resolved.add(seq)
            self.changed = True


def lock_ledgers(
    session: Session, keys: Collection[StoreKey], needed: Collection[StoreKey] = ()
) -> dict[StoreKey, AckLedger] | None:
    """Lock the existing rows of `keys`. None, and no lock, if one of `needed` does not exist."""
    if not keys:
        return {}
    values = _columns(list(keys)) | {
        f"needed_{name}": written for name, written in _columns(list(needed)).items()
    }
    part = part_of(session, (key.device_id for key in keys))
    rows = session.execute(_LOCK, values | {"needed": len(needed), "part": part})
    ledgers = {StoreKey(row[0], row[1]): AckLedger(row[2], row[3]) for row in rows}
    return ledgers if ledgers.keys() >= set(needed) else None


def open_ledgers(session: Session, keys: Sequence[StoreKey]) -> None:
    """Create ledgers for new stores of devices that somebody holds.

    The caller must not hold a lock on a ledger.
    """
    part = part_of(session, (key.device_id for key in keys))
    session.execute(_OPEN, _columns(keys) | {"most": MAX_NEW_STORES_A_DAY, "part": part})


def held_devices(session: Session, device_ids: Iterable[str]) -> set[str]:
    """Those of the devices that exist and that somebody holds now."""
    return set(session.scalars(_HELD, {"devices": words(device_ids)}))


def read_resolved(session: Session, key: StoreKey) -> SeqRanges:
    """The resolved numbers of a store, without a lock. Empty for an unknown store."""
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


# Each row by its key, in order; OFFSET 0 keeps the planner to that. A join might scan a large table
# and lock in any order, and EXISTS would hash every tenure.
_LOCK = text(
    f"""
    WITH known AS MATERIALIZED (
      SELECT count(*) AS stores
      FROM unnest(CAST(:needed_devices AS text[]), CAST(:needed_stores AS bigint[]))
        AS n (device_id, store)
      CROSS JOIN LATERAL (
        SELECT FROM flash_store AS f
        WHERE f.device_id = n.device_id AND f.store = n.store AND {of_part("f.device_id")}
        OFFSET 0) AS s)
    SELECT k.device_id, k.store, s.resolved,
           coalesce((SELECT true FROM device_tenure AS t
                     WHERE t.device_id = k.device_id AND t.released_at IS NULL LIMIT 1), false)
    FROM (SELECT * FROM unnest(CAST(:devices AS text[]), CAST(:stores AS bigint[]))
            AS u (device_id, store)
          WHERE (SELECT stores FROM known) >= :needed ORDER BY device_id, store) AS k
    CROSS JOIN LATERAL (
      SELECT CAST(f.resolved AS text) AS resolved FROM flash_store AS f
      WHERE f.device_id = k.device_id AND f.store = k.store AND {of_part("f.device_id")}
      OFFSET 0 FOR UPDATE) AS s
    """  # noqa: S608 - a constant
)
_OPEN = text(
    f"""
    INSERT INTO flash_store (device_id, store, resolved)
    SELECT n.device_id, n.store, '{{}}'
    FROM (SELECT k.device_id, k.store,
                 row_number() OVER (PARTITION BY k.device_id ORDER BY k.store) AS number
          FROM unnest(CAST(:devices AS text[]), CAST(:stores AS bigint[])) AS k (device_id, store)
          WHERE EXISTS (SELECT FROM device_tenure AS t
                        WHERE t.device_id = k.device_id AND t.released_at IS NULL)
         ) AS n
    WHERE n.number + (SELECT count(*) FROM flash_store AS s
                      WHERE s.device_id = n.device_id AND {of_part("s.device_id")}
                        AND s.first_seen_at > now() - interval '1 day') <= :most
    ORDER BY n.device_id, n.store
    ON CONFLICT DO NOTHING
    """  # noqa: S608 - a constant
)
_HELD = text(
    """
    SELECT DISTINCT t.device_id FROM device_tenure AS t
    WHERE t.device_id = ANY (CAST(:devices AS text[])) AND t.released_at IS NULL
    """
)
