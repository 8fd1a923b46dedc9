"""What becomes of each delivery, decided in memory: from its payload, the ledgers of the stores,
and what is stored under the numbers that they hold already."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from cymba.devices.rate_limits import QuotaCheck
from cymba.stimulation.ingest.ledgers import MAX_NEW_STORES_A_DAY, MAX_RANGES, AckLedger, StoreKey
from cymba.stimulation.ingest.statements import Batch, Found, FrameKey, QuarantineRow
from cymba.stimulation.wire.frames import Packed, Unreadable, decode, pack
from cymba.stimulation.wire.messages import Ack, Frame, Rejection, RejectionCode


class Delivery(NamedTuple):
    """A payload on a device's `up/frame`, or one of its upload over HTTP.

    `device_id` comes from the topic or the path, and has the form of one.
    `settled` says that it cannot have waited on its way: it is live, on a settled connection.
    """

    device_id: str
    payload: bytes
    arrived_at: datetime
    settled: bool


class Stored(NamedTuple):
    store: int
    seq: int


class Duplicate(NamedTuple):
    """The same frame is stored already (or was, and its session is deleted)."""

    store: int
    seq: int


class Quarantined(NamedTuple):
    """Kept whole beside the stream; resolved, where its number could be read."""

    store: int | None
    seq: int | None
    code: RejectionCode
    detail: str


class Refused(NamedTuple):
    """Not kept: the device keeps it, and is to send it again later."""

    store: int | None
    seq: int | None
    code: RejectionCode
    detail: str


Outcome = Stored | Duplicate | Quarantined | Refused


MAX_KEPT_BYTES = 256 * 1024
"""Of a payload over this, sixteen times what a frame may have, quarantine keeps the beginning."""

# An ack holds no more refusals than this; a device with more outstanding gets several.
_REJECTIONS_PER_ACK = 32

Ledgers = dict[StoreKey, AckLedger]


class IngestItem:
    """A delivery, what was read of it, and in the end what became of it."""

    __slots__ = ("allowance", "delivery", "outcome", "read", "store_key")

    def __init__(self, delivery: Delivery, allowance: QuotaCheck | None) -> None:
        self.delivery = delivery
        self.allowance = allowance
        self.read = decode(delivery.payload)
        store = self.read.store
        self.store_key = None if store is None else StoreKey(delivery.device_id, store)
        self.outcome: Outcome | None = None


def numbers_used(taken: Sequence[IngestItem], ledgers: Ledgers) -> dict[FrameKey, UUID]:
    """The batch's numbers that are resolved already, each with the session it is said to be of."""
    used: dict[FrameKey, UUID] = {}
    for one in taken:
        frame, key = one.read, one.store_key
        if isinstance(frame, Unreadable) or key is None:
            continue
        ledger = ledgers.get(key)
        if ledger is not None and ledger.is_held and frame.seq in ledger.resolved:
            used[FrameKey(*key, frame.seq)] = frame.sid
    return used


def decide(
    taken: Sequence[IngestItem],
    ledgers: Ledgers,
    *,
    held: Collection[str] = (),
    contents: Mapping[FrameKey, bytes | Found] | None = None,
) -> Batch:
    """Settle what becomes of each delivery, in order, and what is to be written for it.

    `held` are those of the devices without a ledger here that somebody holds; `contents` is what
    is stored under `numbers_used`. The ledgers resolve what is settled.
    """
    known = dict(contents or {})
    batch = Batch()
    for one in taken:
        device_id = one.delivery.device_id
        key = one.store_key
        ledger = None if key is None else ledgers.get(key)
        is_held = device_id in held if ledger is None else ledger.is_held
        if not is_held:
            one.outcome = _refused(one, "not-claimed", "nobody holds this device now")
        elif ledger is None and key is not None:
            detail = f"more than {MAX_NEW_STORES_A_DAY} new stores in a day"
            one.outcome = _refused(one, "rate", detail)
        elif isinstance(one.read, Unreadable):
            one.outcome = _quarantine(batch, one, ledger, one.read)
        elif ledger is not None:
            one.outcome = _settle_frame(batch, one, one.read, ledger, known)
    return batch


def give_back(one: IngestItem) -> None:
    """Settle that the database does not take this one, though it passed every check."""
    one.outcome = _refused(one, "server", "it could not be stored; keep it")


def acks_of(taken: Sequence[IngestItem], ledgers: Ledgers) -> list[tuple[str, Ack]]:
    """One for each store of the batch, and one for each device whose payloads showed none."""
    rejections: dict[tuple[str, int | None], list[Rejection]] = {}
    seqs: dict[tuple[str, int | None], list[int]] = {}
    for one in taken:
        key = (one.delivery.device_id, one.read.store)
        seq = one.read.seq
        named = seqs.setdefault(key, [])
        if seq is not None:
            named.append(seq)
        outcome = one.outcome
        if isinstance(outcome, Quarantined | Refused):
            rejection = Rejection(
                code=outcome.code,
                detail=outcome.detail,
                retry=isinstance(outcome, Refused),
                seq=seq,
                payload=None if seq is not None else payload_name(one.delivery.payload),
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
    """How an ack names a payload that showed no number: the head of its SHA-256."""
    return sha256(payload).hexdigest()[:16]


def _settle_frame(
    batch: Batch,
    one: IngestItem,
    frame: Frame,
    ledger: AckLedger,
    contents: dict[FrameKey, bytes | Found],
) -> Outcome:
    """What becomes of a good frame. A number that only quarantine holds is still free: nothing
    was stored under it, and so it makes no difference which of the two came first."""
    store, seq = frame.store, frame.seq
    key = FrameKey(one.delivery.device_id, store, seq)
    packed = pack(frame)
    content = contents.get(key)
    if content is None or content is Found.QUARANTINED:
        if not ledger.resolved.has_room_for(seq):
            return _refused(one, "rate", _TOO_MANY_RANGES)
        if one.allowance and not one.allowance.session(
            key.device_id, frame.sid, monotonic(), payload_bytes=len(one.delivery.payload)
        ):
            return _refused(one, "rate", "too many sessions begin, or this one is too large")
        ledger.resolve(seq)
        contents[key] = packed.digest
        batch.store(key.device_id, frame, packed, one.delivery.arrived_at)
        return Stored(store, seq)
    if content is Found.ERASED or packed.digest.startswith(content):
        return Duplicate(store, seq)
    return _quarantine(batch, one, ledger, _reused(frame, packed))


class _Reused(NamedTuple):
    """Another content under a number that is used."""

    store: int
    seq: int
    digest: bytes
    code: RejectionCode = "key-reuse"
    detail: str = "another frame is stored under this number"


def _reused(frame: Frame, packed: Packed) -> _Reused:
    return _Reused(frame.store, frame.seq, packed.digest)


def _quarantine(
    batch: Batch, one: IngestItem, ledger: AckLedger | None, why: Unreadable | _Reused
) -> Outcome:
    size = min(len(one.delivery.payload), MAX_KEPT_BYTES)
    allowance = one.allowance
    if allowance and not allowance.quarantine(one.delivery.device_id, size, monotonic()):
        return _refused(one, "rate", "too much that cannot be read")
    if ledger is not None and why.seq is not None:
        if not ledger.resolved.has_room_for(why.seq):
            return _refused(one, "rate", _TOO_MANY_RANGES)
        ledger.resolve(why.seq)
    delivery = one.delivery
    payload = delivery.payload[:MAX_KEPT_BYTES]
    refusal = QuarantineRow(why.store, why.seq, why.detail, payload, delivery.arrived_at)
    batch.refuse(delivery.device_id, why.code, why.digest, refusal)
    return Quarantined(why.store, why.seq, why.code, why.detail)


_TOO_MANY_RANGES = f"this store has holes between more than {MAX_RANGES} ranges; fill some first"


def _refused(one: IngestItem, code: RejectionCode, detail: str) -> Refused:
    return Refused(one.read.store, one.read.seq, code, detail)
