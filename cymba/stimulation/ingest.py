"""Deliveries to rows: every frame stored once, refused with its reason, or kept by its device.

One transaction of the caller takes a batch. The ledgers of its stores are locked first; then
each frame is new, a duplicate, or another content under a used number, whatever came before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from time import monotonic
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from cymba.devices.anchors import BootAnchor, add_anchors
from cymba.devices.flow import Allowance
from cymba.stimulation.arrivals import AnchorMemory, Arrivals
from cymba.stimulation.frames import Packed, Unreadable, decode, pack
from cymba.stimulation.inbox import (
    Batch,
    Found,
    FrameKey,
    Refusal,
    held_contents,
    mark_retimed,
    write,
)
from cymba.stimulation.ledger import (
    MAX_NEW_STORES_A_DAY,
    MAX_RANGES,
    Ledger,
    StoreKey,
    held_devices,
    lock_ledgers,
    open_ledgers,
    read_resolved,
)
from cymba.stimulation.messages import Ack, Frame, Rejection, RejectionCode

log = structlog.get_logger(__name__)


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


class NewStores(Exception):
    """Ledgers have to be opened, for which no lock may be held: take the batch in guarded."""


@dataclass(slots=True)
class Ingested:
    """What a batch came to; true only once the caller has committed.

    `outcomes` are parallel to the deliveries. `acks` are for `down/ack`, by device. `anchors`
    are those that were looked into, for `AnchorMemory.remember`.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    acks: list[tuple[str, Ack]] = field(default_factory=list)
    anchors: list[BootAnchor] = field(default_factory=list)


def ingest(
    session: Session,
    deliveries: Sequence[Delivery],
    *,
    exchanges: Iterable[BootAnchor] = (),
    memory: AnchorMemory | None = None,
    allowance: Allowance | None = None,
    guarded: bool = True,
) -> Ingested:
    """Take in a batch, and the clock `exchanges` that came with it, without committing.

    With a `memory`, what a frame's arrival says of a clock is only looked into if it is news to
    this process. With an `allowance`, a device that begins too many sessions, or fills quarantine,
    is refused with `rate`.

    Not `guarded`, it takes a quarter less of a small batch's time: there is no savepoint to go
    back to, so the caller rolls back on any error and takes the batch in again, guarded.

    Raises:
        sqlalchemy.exc.DBAPIError: the database could not be spoken to, or wants the whole batch
            tried again. Nothing of it is written.
        NewStores: only if not `guarded`.
    """
    taken = [_Taken(delivery, allowance) for delivery in deliveries]
    arrivals = Arrivals()
    for one in taken:
        if not isinstance(one.read, Unreadable):
            delivery = one.delivery
            arrivals.add(delivery.device_id, one.read, delivery.arrived_at, delivery.settled)
    offered = arrivals.anchors()
    anchors = [*(offered if memory is None else memory.news(offered)), *exchanges]
    ledgers = (_take_in if guarded else _take_in_bare)(session, taken, anchors)
    outcomes = [one.outcome for one in taken if one.outcome is not None]
    return Ingested(outcomes, _acks(taken, ledgers), anchors)


def ack_for_presence(session: Session, device_id: str, store: int) -> Ack:
    """What a device that has come online is told: all that is resolved in its store."""
    resolved = read_resolved(session, StoreKey(device_id, store))
    return Ack(store=store, upto=resolved.upto, also=resolved.beyond())


MAX_KEPT_BYTES = 256 * 1024
"""Of a payload over this, sixteen times what a frame may have, quarantine keeps the beginning."""

# An ack holds no more refusals than this; a device with more outstanding gets several.
_REJECTIONS_PER_ACK = 32

_Ledgers = dict[StoreKey, Ledger]


class _Taken:
    """A delivery, what was read of it, and in the end what became of it."""

    __slots__ = ("allowance", "delivery", "outcome", "read", "store_key")

    def __init__(self, delivery: Delivery, allowance: Allowance | None) -> None:
        self.delivery = delivery
        self.allowance = allowance
        self.read = decode(delivery.payload)
        store = self.read.store
        self.store_key = None if store is None else StoreKey(delivery.device_id, store)
        self.outcome: Outcome | None = None


def _take_in(session: Session, taken: list[_Taken], anchors: list[BootAnchor]) -> _Ledgers:
    """Write under a savepoint; what the database refuses is halved until it stands alone."""
    savepoint = session.begin_nested()
    try:
        ledgers = _lock(session, taken, anchors)
        if ledgers is None:  # new stores: their ledgers must exist before any is locked
            savepoint.rollback()
            open_ledgers(session, list(_stores(taken)))
            savepoint = session.begin_nested()
            ledgers = _lock(session, taken, anchors, again=True)
            assert ledgers is not None  # noqa: S101 - `again`
        _put(session, taken, anchors, ledgers)
        savepoint.commit()
    except (DataError, IntegrityError, UnicodeError) as error:
        savepoint.rollback()
        if len(taken) <= 1:
            return _give_up(session, taken, anchors, error)
        middle = len(taken) // 2
        ledgers = _take_in(session, taken[:middle], anchors)
        return ledgers | _take_in(session, taken[middle:], [])
    return ledgers


def _take_in_bare(session: Session, taken: list[_Taken], anchors: list[BootAnchor]) -> _Ledgers:
    ledgers = _lock(session, taken, anchors)
    if ledgers is None:
        raise NewStores
    _put(session, taken, anchors, ledgers)
    return ledgers


def _put(
    session: Session, taken: list[_Taken], anchors: list[BootAnchor], ledgers: _Ledgers
) -> None:
    write(session, _decide(session, taken, ledgers), ledgers)
    _anchor(session, anchors, ledgers)


def _lock(
    session: Session, taken: list[_Taken], anchors: list[BootAnchor], *, again: bool = False
) -> _Ledgers | None:
    """The ledgers of everything in the batch; None where some have yet to be opened."""
    wanted = _stores(taken)
    anchored = {StoreKey(key.device_id, key.store) for key, _ in anchors}
    keys = list(wanted | anchored)
    ledgers = lock_ledgers(session, keys) if keys else {}
    return ledgers if again or wanted <= ledgers.keys() else None


def _stores(taken: list[_Taken]) -> set[StoreKey]:
    return {one.store_key for one in taken if one.store_key is not None}


def _decide(session: Session, taken: list[_Taken], ledgers: _Ledgers) -> Batch:
    """Settle what becomes of each delivery, in order, and what is to be written for it."""
    without_ledger = {one.delivery.device_id for one in taken if one.store_key not in ledgers}
    held = held_devices(session, without_ledger) if without_ledger else set()
    contents = _known_contents(session, taken, ledgers)
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
            one.outcome = _settle(batch, one, one.read, ledger, contents)
    return batch


def _known_contents(
    session: Session, taken: list[_Taken], ledgers: _Ledgers
) -> dict[FrameKey, bytes | Found]:
    """What is stored under the batch's numbers that are resolved already."""
    resolved: dict[FrameKey, UUID] = {}
    for one in taken:
        frame, key = one.read, one.store_key
        if isinstance(frame, Unreadable) or key is None:
            continue
        ledger = ledgers.get(key)
        if ledger is not None and ledger.is_held and frame.seq in ledger.resolved:
            resolved[FrameKey(*key, frame.seq)] = frame.sid
    return held_contents(session, resolved) if resolved else {}


def _settle(
    batch: Batch,
    one: _Taken,
    frame: Frame,
    ledger: Ledger,
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
    batch: Batch, one: _Taken, ledger: Ledger | None, why: Unreadable | _Reused
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
    refusal = Refusal(why.store, why.seq, why.detail, payload, delivery.arrived_at)
    batch.refuse(delivery.device_id, why.code, why.digest, refusal)
    return Quarantined(why.store, why.seq, why.code, why.detail)


_TOO_MANY_RANGES = f"this store has holes between more than {MAX_RANGES} ranges; fill some first"


def _refused(one: _Taken, code: RejectionCode, detail: str) -> Refused:
    return Refused(one.read.store, one.read.seq, code, detail)


def _anchor(session: Session, anchors: list[BootAnchor], ledgers: _Ledgers) -> None:
    """Keep what is told of clocks, of devices that somebody holds."""
    held = {key.device_id for key, ledger in ledgers.items() if ledger.is_held}
    unknown = {anchor.key.device_id for anchor in anchors} - {key.device_id for key in ledgers}
    if unknown:  # the exchange of a device that has sent no frame yet
        held |= held_devices(session, unknown)
    kept = [anchor for anchor in anchors if anchor.key.device_id in held]
    retimed = add_anchors(session, kept) if kept else None
    if retimed:
        mark_retimed(session, retimed)


def _give_up(
    session: Session, taken: list[_Taken], anchors: list[BootAnchor], error: Exception
) -> _Ledgers:
    """What the database does not take though it passed every check is our fault: its device
    keeps it until we have mended that."""
    if anchors:  # they may have been at fault, and they are only told of, never owed
        log.error("the database refuses anchors or a frame", error=type(error).__name__)
        return _take_in(session, taken, [])
    if not taken:
        raise error
    one = taken[0]
    log.error(
        "the database refuses a frame", device=one.delivery.device_id, error=type(error).__name__
    )
    one.outcome = _refused(one, "server", "it could not be stored; keep it")
    return _lock(session, taken, [], again=True) or {}


def _acks(taken: list[_Taken], ledgers: _Ledgers) -> list[tuple[str, Ack]]:
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
