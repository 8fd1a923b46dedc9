"""Deciding the outcome of each delivery, in memory.

It follows from the payload, the ledgers of the stores, and the content stored under numbers that
are resolved already. This is where a duplicate is recognised.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple, TypeGuard
from uuid import UUID

import msgspec

from cymba.devices.quotas import QuotaCheck
from cymba.stimulation.ingest.ledgers import MAX_NEW_STORES_A_DAY, MAX_RANGES, AckLedger, StoreKey
from cymba.stimulation.ingest.statements import Batch, Found, FrameKey, QuarantineRow
from cymba.stimulation.wire.messages import Ack, Rejection, RejectionCode
from cymba.stimulation.wire.parsing import FrameNumber, read_number
from cymba.stimulation.wire.received import ReceivedFrame, receive
from cymba.stimulation.wire.unreadable import Unreadable


class Delivery(msgspec.Struct, eq=False, gc=False):
    """A payload from a device's `up/frame`, or from its upload over HTTP.

    `device_id` comes from the topic or the path, and is well-formed. `settled` says that it did not
    wait on its way: it is live, on a connection without a backlog.
    """

    device_id: str
    payload: bytes
    arrived_at: datetime
    settled: bool
    _read: ReceivedFrame | Unreadable | None = None

    @property
    def read(self) -> ReceivedFrame | Unreadable:
        """The payload, read on the first call only."""
        if self._read is None:
            self._read = receive(self.payload)
        return self._read

    @property
    def frame_number(self) -> FrameNumber | ReceivedFrame | Unreadable:
        """Its store and seq, without reading the rest: enough for a rejection."""
        return read_number(self.payload) if self._read is None else self._read


class Stored(NamedTuple):
    store: int
    seq: int


class Duplicate(NamedTuple):
    """The same frame is stored already (or was, and its session is deleted)."""

    store: int
    seq: int


class Quarantined(NamedTuple):
    """Kept whole in quarantine (a dead letter). Its number is resolved, if it could be read."""

    store: int | None
    seq: int | None
    code: RejectionCode
    detail: str


class Refused(NamedTuple):
    """Rejected with `retry`: the device keeps it and sends it again later."""

    store: int | None
    seq: int | None
    code: RejectionCode
    detail: str


Outcome = Stored | Duplicate | Quarantined | Refused


MAX_KEPT_BYTES = 256 * 1024
"""Of a larger payload, sixteen times the size of a frame, quarantine keeps the beginning."""

# An ack holds no more rejections than this. A device with more gets several acks.
_REJECTIONS_PER_ACK = 32

Ledgers = dict[StoreKey, AckLedger]


def store_of(delivery: Delivery) -> StoreKey | None:
    store = delivery.frame_number.store
    return None if store is None else StoreKey(delivery.device_id, store)


def numbers_used(deliveries: Iterable[Delivery], ledgers: Ledgers) -> dict[FrameKey, UUID]:
    """The batch's numbers that are resolved already, each with the session that its frame names."""
    used: dict[FrameKey, UUID] = {}
    for delivery in deliveries:
        key = store_of(delivery)
        ledger = None if key is None else ledgers.get(key)
        if key is None or ledger is None or not ledger.is_held:
            continue
        frame = delivery.read
        if not isinstance(frame, Unreadable) and frame.seq in ledger.resolved:
            used[FrameKey(*key, frame.seq)] = frame.sid
    return used


def decide(
    deliveries: Sequence[Delivery],
    ledgers: Ledgers,
    *,
    held: Collection[str] = (),
    contents: Mapping[FrameKey, bytes | Found] | None = None,
    quota: QuotaCheck | None = None,
) -> tuple[list[Outcome], Batch]:
    """The outcome of each delivery, in order, and what is to be written.

    `held` are those devices without a ledger here that somebody holds. `contents` is what is stored
    under `numbers_used`. What is decided is resolved in the ledgers.
    """
    known = dict(contents or {})
    batch = Batch()
    outcomes: list[Outcome] = []
    for delivery in deliveries:
        key = store_of(delivery)
        ledger = None if key is None else ledgers.get(key)
        is_held = delivery.device_id in held if ledger is None else ledger.is_held
        outcome: Outcome
        if not is_held:  # checked first: the payload of a device that nobody holds is not read
            outcome = _refused(delivery, "not-claimed", "nobody holds this device; claim it first")
        elif ledger is None and key is not None:
            detail = f"more than {MAX_NEW_STORES_A_DAY} new stores in a day"
            outcome = _refused(delivery, "rate", detail)
        elif isinstance(delivery.read, Unreadable):
            outcome = _quarantine(batch, delivery, ledger, delivery.read, quota)
        else:
            assert ledger is not None  # noqa: S101 - a good frame names its store
            outcome = _decide_frame(batch, delivery, delivery.read, ledger, known, quota=quota)
        outcomes.append(outcome)
    return outcomes, batch


def not_stored(delivery: Delivery) -> Refused:
    """For a delivery that the database rejects although it passed every check: our fault."""
    return _refused(delivery, "server", "the server could not store it; keep it and send it again")


def other_cell(delivery: Delivery, cell: str) -> Refused:
    """For a delivery at a broker that is not its device's."""
    return _refused(delivery, "other-cell", f"this device belongs to the broker of cell {cell!r}")


def is_rejected(outcome: Outcome) -> TypeGuard[Quarantined | Refused]:
    return isinstance(outcome, Quarantined | Refused)


def acks_of(
    deliveries: Iterable[Delivery], outcomes: Iterable[Outcome], ledgers: Ledgers
) -> list[tuple[str, Ack]]:
    """An ack for each store of the batch, and one for each device whose payloads name no store."""
    rejections: dict[tuple[str, int | None], list[Rejection]] = {}
    seqs: dict[tuple[str, int | None], list[int]] = {}
    for delivery, outcome in zip(deliveries, outcomes, strict=True):
        key = (delivery.device_id, outcome.store)
        seq = outcome.seq
        named = seqs.setdefault(key, [])
        if seq is not None:
            named.append(seq)
        if is_rejected(outcome):
            rejection = Rejection(
                code=outcome.code,
                detail=outcome.detail,
                retry=isinstance(outcome, Refused),
                seq=seq,
                payload=None if seq is not None else payload_name(delivery.payload),
            )
            rejections.setdefault(key, []).append(rejection)
    acks: list[tuple[str, Ack]] = []
    for key, named in seqs.items():
        device_id, store = key
        ledger = None if store is None else ledgers.get(StoreKey(device_id, store))
        upto = ledger.resolved.upto if ledger else 0
        also = ledger.resolved.beyond(named) if ledger else []
        rejected = rejections.get(key, [])
        for at in range(0, max(len(rejected), 1), _REJECTIONS_PER_ACK):
            some = rejected[at : at + _REJECTIONS_PER_ACK]
            acks.append((device_id, Ack(store=store, upto=upto, also=also, rejected=some)))
    return acks


def payload_name(payload: bytes) -> str:
    """The name of a payload without a readable number: the beginning of its SHA-256."""
    return sha256(payload).hexdigest()[:16]


def _decide_frame(
    batch: Batch,
    delivery: Delivery,
    frame: ReceivedFrame,
    ledger: AckLedger,
    contents: dict[FrameKey, bytes | Found],
    *,
    quota: QuotaCheck | None,
) -> Outcome:
    """The outcome of a readable frame. A number that only quarantine holds is still free: nothing
    was stored under it. So it makes no difference which of the two came first."""
    store, seq = frame.store, frame.seq
    key = FrameKey(delivery.device_id, store, seq)
    content = contents.get(key)
    if content is None or content is Found.QUARANTINED:
        if not ledger.has_room_for(seq):
            return _refused(delivery, "rate", _TOO_MANY_RANGES)
        if quota and not quota.spend(key.device_id, frame.sid, frame.cost):
            detail = "too much was stored of late, or too many sessions, or this one is too large"
            return _refused(delivery, "rate", detail)
        ledger.resolve(seq)
        contents[key] = frame.digest
        batch.store(key.device_id, frame, delivery.arrived_at)
        return Stored(store, seq)
    if content is Found.ERASED or frame.digest.startswith(content):
        return Duplicate(store, seq)
    return _quarantine(batch, delivery, ledger, _reused(frame), quota)


def kept_bytes(delivery: Delivery) -> int:
    """How many of a payload quarantine keeps."""
    return min(len(delivery.payload), MAX_KEPT_BYTES)


class _Reused(NamedTuple):
    """Other content under a number that is used."""

    store: int
    seq: int
    digest: bytes
    code: RejectionCode = "key-reuse"
    detail: str = "another frame is stored under this number"


def _reused(frame: ReceivedFrame) -> _Reused:
    return _Reused(frame.store, frame.seq, frame.digest)


def _quarantine(
    batch: Batch,
    delivery: Delivery,
    ledger: AckLedger | None,
    why: Unreadable | _Reused,
    quota: QuotaCheck | None,
) -> Outcome:
    if quota and not quota.quarantine(delivery.device_id, kept_bytes(delivery)):
        return _refused(delivery, "rate", "too many payloads that cannot be read")
    if ledger is not None and why.seq is not None:
        if not ledger.has_room_for(why.seq):
            return _refused(delivery, "rate", _TOO_MANY_RANGES)
        ledger.resolve(why.seq)
    payload = delivery.payload[:MAX_KEPT_BYTES]
    row = QuarantineRow(why.store, why.seq, why.detail, payload, delivery.arrived_at)
    batch.refuse(delivery.device_id, why.code, why.digest, row)
    return Quarantined(why.store, why.seq, why.code, why.detail)


_TOO_MANY_RANGES = f"this store has holes between more than {MAX_RANGES} ranges; fill some first"


def _refused(delivery: Delivery, code: RejectionCode, detail: str) -> Refused:
    number = delivery.frame_number
    return Refused(number.store, number.seq, code, detail)
