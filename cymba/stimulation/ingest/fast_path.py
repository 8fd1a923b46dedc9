"""The usual batch in one statement: frames that follow what this process itself stored last.

A device's next frame finds its store as the last one left it. So the ledgers are not read and
locked first: one statement, which commits itself, locks each ledger only if it is still as it is
remembered, and writes all if all are. Where anything else is the case (a number seen before, a
payload that cannot be read, a frame too many, a ledger that another process has moved on, news of
a clock), nothing is written and `ingest` takes the batch in. No answer rests on memory alone: where
it is late or lost, only time is.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from cachetools import LRUCache
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from cymba.devices.rate_limits import QuotaCheck
from cymba.stimulation.ingest.clock_hints import AnchorCache, clock_hints_of
from cymba.stimulation.ingest.decide import Delivery, Ledgers, acks_of, decide, store_of
from cymba.stimulation.ingest.ingest import Ingested
from cymba.stimulation.ingest.ledgers import AckLedger, StoreKey
from cymba.stimulation.ingest.statements import write_if_unmoved
from cymba.stimulation.wire.frames import Unreadable


class LedgerCache:
    """How this process left the ledgers that it wrote last, as PostgreSQL writes them.

    Not for several threads at once.
    """

    MOST_STORES = 100_000
    MOST_CHARACTERS = 200  # a dozen ranges: a ledger with more holes is read anew each time

    def __init__(self) -> None:
        self._written: LRUCache[StoreKey, str] = LRUCache(self.MOST_STORES)

    def recall(self, keys: Iterable[StoreKey]) -> dict[StoreKey, str] | None:
        """What is remembered of all of `keys`; None if one is unknown."""
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
    """Take in and commit a batch of nothing but the frames that are expected next; None if it is
    not such a batch, and then nothing of it is written.

    `connection` commits by itself.

    Raises:
        sqlalchemy.exc.DBAPIError: the database could not be spoken to. The batch may be stored or
            not; taken in again, it finds out.
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
        return None  # one is refused: its answer tells of a ledger that nothing here looks at
    is_written = False
    with suppress(DataError, IntegrityError, UnicodeError):  # `ingest` finds whose fault it is
        is_written = write_if_unmoved(connection, batch, moved, expected)
    connection.rollback()
    if not is_written:
        ledgers.forget(keys)
        return None
    acks = acks_of(deliveries, outcomes, moved)
    return Ingested(deliveries, outcomes, acks, ledgers=moved)


def _stores_of_good_frames(deliveries: Sequence[Delivery]) -> set[StoreKey] | None:
    """The stores of the batch; None if a payload of it could not be read."""
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
