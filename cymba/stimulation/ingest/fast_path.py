"""The fast path: the usual frames of a batch, written by one statement that commits itself.

Usually a device's next frame has a number that is free. The statement locks the ledgers of the
batch, and writes the frames of each store in which all their numbers are free and whose device
somebody holds. It returns these ledgers, from which the acks are made. So it never matters what
this process remembers: other bridges and uploads over HTTP may move a ledger at any time.

All else is left over for `ingest`: numbers that are used, unreadable payloads, frames over a limit,
new clock hints, new stores.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from cymba.devices.quotas import Reservation
from cymba.stimulation.ingest.clock_hints import AnchorCache, clock_hints_of
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.ledgers import StoreKey
from cymba.stimulation.ingest.statements import Batch, NewNumbers, write_free_numbers
from cymba.stimulation.wire.messages import Ack
from cymba.stimulation.wire.received import ReceivedFrame
from cymba.stimulation.wire.seq_ranges import SeqRanges
from cymba.stimulation.wire.unreadable import Unreadable

MOST_NEW_RANGES = 20
"""In one store and batch. A batch with more holes is left to `ingest`, which counts them."""

One = TypeVar("One", bound=Delivery)


class Appended(NamedTuple, Generic[One]):
    """What is committed, with the acks for it, by device; and the deliveries that are left over for
    `ingest`, in their order."""

    stored: list[One]
    acks: list[tuple[str, Ack]]
    left: list[One]


@dataclass(slots=True)
class _Store(Generic[One]):
    key: StoreKey
    seqs: set[int] = field(default_factory=set)
    deliveries: list[One] = field(default_factory=list)
    frames: list[ReceivedFrame] = field(default_factory=list)  # of the deliveries


def append(
    connection: Connection,
    deliveries: Sequence[One],
    anchors: AnchorCache,
    *,
    quota: Reservation | None = None,
) -> Appended[One]:
    """Write and commit the usual frames of a batch. `connection` is in autocommit mode.

    Raises:
        sqlalchemy.exc.DBAPIError: the database did not answer. The frames may be stored or not.
        Ingest is idempotent, so it can be repeated.
    """
    stores = _usual_stores(deliveries, anchors, quota)
    written: dict[StoreKey, SeqRanges] = {}
    if stores:
        # `ingest` finds the bad delivery.
        with suppress(DataError, IntegrityError, UnicodeError, OverflowError):
            written = _write(connection, stores)
    acks: list[tuple[str, Ack]] = []
    stored: list[One] = []
    for store in stores:
        resolved = written.get(store.key)
        if resolved is None:
            _give_back(quota, store)
            continue
        device_id, number = store.key
        ack = Ack(store=number, upto=resolved.upto, also=resolved.beyond(store.seqs))
        acks.append((device_id, ack))
        stored += store.deliveries
    if len(stored) == len(deliveries):
        return Appended(stored, acks, [])
    done = set(map(id, stored))
    return Appended(stored, acks, [one for one in deliveries if id(one) not in done])


def _usual_stores(
    deliveries: Sequence[One], anchors: AnchorCache, quota: Reservation | None
) -> list[_Store[One]]:
    """The frames that may be written by the statement, by store.

    A device's frames are taken in their order: none that follows one that is left over. Of two that
    share a number, the first is the one that counts.
    """
    left: set[str] = set()
    suspects: set[str] = set()  # devices that may have news of their clock
    stores: dict[StoreKey, _Store[One]] = {}
    for delivery in deliveries:
        device_id = delivery.device_id
        if device_id in left:
            continue
        frame = delivery.read
        if isinstance(frame, Unreadable):
            left.add(device_id)
            continue
        if anchors.may_be_news(device_id, frame, delivery.arrived_at, settled=delivery.settled):
            suspects.add(device_id)
        key = StoreKey(device_id, frame.store)
        store = stores.get(key)
        if store is None:
            store = stores[key] = _Store(key)
        if frame.seq in store.seqs or not (
            quota is None
            or quota.session(
                device_id,
                frame.sid,
                payload_bytes=len(delivery.payload),
                memory_bytes=frame.memory_bytes,
            )
        ):
            left.add(device_id)
            continue
        store.seqs.add(frame.seq)
        store.deliveries.append(delivery)
        store.frames.append(frame)
    with_news: set[str] = set()
    if suspects:
        hints = clock_hints_of(one for one in deliveries if one.device_id in suspects)
        with_news = {anchor.key.device_id for anchor in anchors.news(hints)}
    usual = []
    for store in stores.values():
        if store.key.device_id in with_news:
            _give_back(quota, store)
        elif store.frames:
            usual.append(store)
    return usual


def _write(connection: Connection, stores: Sequence[_Store[One]]) -> dict[StoreKey, SeqRanges]:
    """The ledgers of those stores whose frames are written and committed."""
    batch = Batch()
    numbers: list[NewNumbers] = []
    for store in stores:
        ranges = SeqRanges.of_sorted(sorted(store.seqs))
        if ranges.count > MOST_NEW_RANGES:
            continue
        numbers.append(NewNumbers(store.key, str(ranges)))
        for delivery, frame in zip(store.deliveries, store.frames, strict=True):
            batch.store(delivery.device_id, frame, delivery.arrived_at, ledger=len(numbers))
    try:
        return write_free_numbers(connection, batch, numbers) if numbers else {}
    finally:
        connection.rollback()  # SQLAlchemy's transaction: in autocommit mode it holds nothing


def _give_back(quota: Reservation | None, store: _Store[One]) -> None:
    if quota is None:
        return
    for delivery, frame in zip(store.deliveries, store.frames, strict=True):
        quota.give_back_session(
            delivery.device_id,
            frame.sid,
            payload_bytes=len(delivery.payload),
            memory_bytes=frame.memory_bytes,
        )
