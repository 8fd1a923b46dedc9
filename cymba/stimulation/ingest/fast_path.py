"""The fast path: a usual batch, written by one statement that commits itself.

Usually a device's next frame finds its ledger as the last one left it. So the ledgers are not read
and locked first. One statement compares each ledger with its cached value, locks it, and writes
everything if all are equal (optimistic concurrency).

In every other case nothing is written, and `ingest` takes the batch: for a number that is used, an
unreadable payload, a frame over a limit, a ledger that another process changed, or a new clock
hint. A stale or lost cache therefore costs time, and never a wrong answer.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from cachetools import LRUCache
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from cymba.devices.quotas import QuotaCheck
from cymba.stimulation.ingest.clock_hints import AnchorCache, clock_hints_of
from cymba.stimulation.ingest.decide import Delivery, Ledgers, acks_of, decide, store_of
from cymba.stimulation.ingest.ingest import Ingested
from cymba.stimulation.ingest.ledgers import AckLedger, StoreKey
from cymba.stimulation.ingest.statements import write_if_unmoved
from cymba.stimulation.wire.frames import Unreadable


class LedgerCache:
    """The ledgers as this process wrote them last, in PostgreSQL's notation.

    Not thread-safe.
    """

    MOST_STORES = 100_000
    MOST_CHARACTERS = 200  # a dozen ranges: a ledger with more holes is read each time

    def __init__(self) -> None:
        self._written: LRUCache[StoreKey, str] = LRUCache(self.MOST_STORES)

    def recall(self, keys: Iterable[StoreKey]) -> dict[StoreKey, str] | None:
        """The cached ledgers of `keys`; None if one is missing."""
        recalled: dict[StoreKey, str] = {}
        for key in keys:
            written = self._written.get(key)
            if written is None:
                return None
            recalled[key] = written
        return recalled

    def remember(self, ledgers: Ledgers) -> None:
        """Call it once they are committed."""
        for key, ledger in ledgers.items():
            written = str(ledger.resolved)
            if ledger.is_held and len(written) <= self.MOST_CHARACTERS:
                self._written[key] = written
            else:
                self._written.pop(key, None)

    def forget(self, keys: Iterable[StoreKey]) -> None:
        for key in keys:
            self._written.pop(key, None)


def append(
    connection: Connection,
    deliveries: Sequence[Delivery],
    ledgers: LedgerCache,
    anchors: AnchorCache,
    *,
    quota: QuotaCheck | None = None,
) -> Ingested | None:
    """Write and commit a batch that consists of expected next frames only.

    None if it is another kind of batch; nothing is written then. `connection` is in autocommit
    mode.

    Raises:
        sqlalchemy.exc.DBAPIError: the database did not answer. The batch may be stored or not.
        Ingest is idempotent, so it can be repeated.
    """
    keys = _stores_of_good_frames(deliveries)
    if not keys:
        return None
    expected = ledgers.recall(keys)
    if expected is None or anchors.news(clock_hints_of(deliveries)):
        return None
    moved = {key: AckLedger(written, is_held=True) for key, written in expected.items()}
    if not _all_are_next(deliveries, moved):
        return None
    outcomes, batch = decide(deliveries, moved, quota=quota)
    if len(batch.frames) < len(deliveries):
        return None  # one is rejected, which is for the slow path
    is_written = False
    with suppress(DataError, IntegrityError, UnicodeError):  # `ingest` finds the bad delivery
        is_written = write_if_unmoved(connection, batch, moved, expected)
    connection.rollback()
    if not is_written:
        ledgers.forget(keys)
        return None
    acks = acks_of(deliveries, outcomes, moved)
    return Ingested(deliveries, outcomes, acks, ledgers=moved)


def _stores_of_good_frames(deliveries: Sequence[Delivery]) -> set[StoreKey] | None:
    """The stores of the batch; None if one of its payloads cannot be read."""
    keys: set[StoreKey] = set()
    for delivery in deliveries:
        frame = delivery.read
        if isinstance(frame, Unreadable):
            return None
        keys.add(StoreKey(delivery.device_id, frame.store))
    return keys


def _all_are_next(deliveries: Sequence[Delivery], ledgers: Ledgers) -> bool:
    """Whether every number is free, and named only once."""
    named: set[tuple[StoreKey, int]] = set()
    for delivery in deliveries:
        key, seq = store_of(delivery), delivery.read.seq
        if key is None or seq is None or seq in ledgers[key].resolved:
            return False
        named.add((key, seq))
    return len(named) == len(deliveries)
