"""The usual batch in one statement: frames that follow what this process itself stored last.

A device's next frame finds its store as the last one left it. So the ledgers are not read and
locked first: one statement, which commits itself, locks each ledger only if it is still as it is
remembered, and writes all if all are. Where anything else is the case (a number seen before, a
payload that cannot be read, a frame too many, a ledger that another process has moved on, news of
a clock), nothing is written and `ingest` takes the batch in. So memory can be late or lost, and
only time is: no answer rests on a ledger that the statement has not seen.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from cymba.devices.rate_limits import QuotaCheck
from cymba.stimulation.ingest.clock_hints import AnchorCache, arrivals_of
from cymba.stimulation.ingest.decide import Delivery, IngestItem, Ledgers, decide
from cymba.stimulation.ingest.ingest import Ingested, ingested
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
        self._written: OrderedDict[StoreKey, str] = OrderedDict()

    def recall(self, keys: Iterable[StoreKey]) -> dict[StoreKey, str] | None:
        """What is remembered of all of `keys`; None if one is unknown."""
        try:
            return {key: self._written[key] for key in keys}
        except KeyError:
            return None

    def remember(self, ledgers: Ledgers) -> None:
        """Call it once they are committed."""
        for key, ledger in ledgers.items():
            written = str(ledger.resolved)
            if ledger.is_held and len(written) <= self.MOST_CHARACTERS:
                self._written[key] = written
                self._written.move_to_end(key)
            else:
                self._written.pop(key, None)
        while len(self._written) > self.MOST_STORES:
            self._written.popitem(last=False)

    def forget(self, keys: Iterable[StoreKey]) -> None:
        for key in keys:
            self._written.pop(key, None)


def append(
    line: Connection,
    deliveries: Sequence[Delivery],
    ledgers: LedgerCache,
    anchors: AnchorCache,
    *,
    allowance: QuotaCheck | None = None,
) -> Ingested | None:
    """Take in and commit a batch of nothing but the frames that are expected next; None if it is
    not such a batch, and then nothing of it is written.

    `line` commits by itself.

    Raises:
        sqlalchemy.exc.DBAPIError: the database could not be spoken to. The batch may be stored or
            not; taken in again, it finds out.
    """
    taken = [IngestItem(delivery, allowance) for delivery in deliveries]
    keys = _stores_of_new_frames(taken)
    if not keys:
        return None
    expected = ledgers.recall(keys)
    if expected is None or anchors.news(arrivals_of(taken)):
        return None
    moved = {key: AckLedger(written, is_held=True) for key, written in expected.items()}
    if not _all_are_next(taken, moved):
        return None
    batch = decide(taken, moved)
    if len(batch.frames) < len(taken):
        return None  # one is refused: its answer tells of a ledger that nothing here looks at
    written = False
    with suppress(DataError, IntegrityError, UnicodeError):  # `ingest` finds whose fault it is
        written = write_if_unmoved(line, batch, moved, expected)
    line.rollback()
    if not written:
        ledgers.forget(keys)
        return None
    return ingested(taken, moved, [])


def _stores_of_new_frames(taken: Sequence[IngestItem]) -> set[StoreKey] | None:
    """The stores of the batch; None if a payload of it could not be read."""
    keys: set[StoreKey] = set()
    for one in taken:
        if isinstance(one.read, Unreadable) or one.store_key is None:
            return None
        keys.add(one.store_key)
    return keys


def _all_are_next(taken: Sequence[IngestItem], ledgers: Ledgers) -> bool:
    """Whether every number is free, and named only once."""
    named: set[tuple[StoreKey, int]] = set()
    for one in taken:
        key, seq = one.store_key, one.read.seq
        if key is None or seq is None or seq in ledgers[key].resolved:
            return False
        named.add((key, seq))
    return len(named) == len(taken)
