"""One batch of deliveries, written through the core within one transaction of the caller."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import structlog
from sqlalchemy import Connection as Line
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.devices import exchange
from cymba.devices.anchors import Anchor, BootAnchor, BootKey
from cymba.devices.exchange import Unusable
from cymba.devices.holders import holders_of
from cymba.devices.presence import SEEN_STEP, latest_store, record_presence, record_seen
from cymba.devices.programme import record_report
from cymba.devices.publication import publish_again
from cymba.devices.rate_limits import Quota, Reservation
from cymba.devices.tables import Device
from cymba.stimulation.ingest import fast_path
from cymba.stimulation.ingest.clock_hints import AnchorCache
from cymba.stimulation.ingest.decide import Delivery, Ledgers, Outcome
from cymba.stimulation.ingest.fast_path import LedgerCache
from cymba.stimulation.ingest.ingest import ack_for_presence, ingest
from cymba.stimulation.wire.messages import Ack, Presence, ReportedState, TimeReply, TimeRequest
from mqtt_bridge import payloads
from mqtt_bridge.delivery_queue import IncomingMessage
from mqtt_bridge.payloads import Form, Malformed
from mqtt_bridge.topics import Subject

log = structlog.get_logger(__name__)


@dataclass
class Written:
    """What a transaction did; true only once it is committed."""

    outcomes: list[Outcome] = field(default_factory=list)
    answers: list[tuple[str, Ack, Form]] = field(default_factory=list)
    malformed: list[Subject] = field(default_factory=list)
    failed: list[IncomingMessage] = field(default_factory=list)
    anchors: list[BootAnchor] = field(default_factory=list)
    ledgers: Ledgers = field(default_factory=dict)
    seen: Mapping[str, datetime] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)  # of those that are newly seen

    def __iadd__(self, other: "Written") -> "Written":
        self.outcomes += other.outcomes
        self.answers += other.answers
        self.malformed += other.malformed
        self.failed += other.failed
        return self


class WriterCache:
    """What this process has committed of late, so that it asks the database only for news."""

    MOST_DEVICES = 100_000  # of which it knows when they were told to be seen, and who holds them

    def __init__(self, holders: dict[str, str], *, alone: bool = True) -> None:
        """`alone`, no other slot stores frames of the same devices at the same time."""
        self.ledgers = LedgerCache() if alone else None
        self.anchors = AnchorCache()
        self.allowance = Quota()
        self.holders = holders
        self._seen: OrderedDict[str, datetime] = OrderedDict()

    def newly_seen(self, batch: Sequence[IncomingMessage]) -> dict[str, datetime]:
        """Devices of the batch that were not told to be seen for a while."""
        seen: dict[str, datetime] = {}
        for delivery in batch:
            told_at = self._seen.get(delivery.device_id)
            if told_at is None or delivery.arrived_at - told_at >= SEEN_STEP:
                seen[delivery.device_id] = delivery.arrived_at
        return seen

    def remember(self, written: Written) -> None:
        """Call it once `written` is committed."""
        if self.ledgers is not None:
            self.ledgers.remember(written.ledgers)
        self.anchors.remember(written.anchors)
        for device_id, seen_at in written.seen.items():
            self._seen[device_id] = seen_at
            self._seen.move_to_end(device_id)
            account_id = written.holders.get(device_id)
            if account_id is None:
                self.holders.pop(device_id, None)
            else:
                self.holders[device_id] = account_id
        while len(self._seen) > self.MOST_DEVICES:
            device_id, _ = self._seen.popitem(last=False)
            self.holders.pop(device_id, None)


def append(line: Line, batch: Sequence[IncomingMessage], memory: WriterCache) -> Written | None:
    """Write and commit a batch of the frames that are expected next, over a `line` that commits by
    itself; None if it is not such a batch, and then nothing is written: `write` it."""
    if memory.ledgers is None or any(one.subject is not Subject.FRAME for one in batch):
        return None
    if memory.newly_seen(batch):
        return None
    with memory.allowance.attempt() as attempt:
        ingested = fast_path.append(
            line, _deliveries(batch), memory.ledgers, memory.anchors, allowance=attempt
        )
        if ingested is None:
            attempt.give_back()
            return None
    return Written(
        outcomes=ingested.outcomes,
        answers=_answers(batch, ingested.acks),
        ledgers=ingested.ledgers,
    )


def write(
    session: Session,
    batch: Sequence[IncomingMessage],
    memory: WriterCache,
    attempt: Reservation,
    *,
    guarded: bool = True,
) -> Written:
    """Write the batch without committing: presence, then frames with the clocks, then the rest.
    `attempt` is on the memory's allowance.

    Not `guarded`, any error that is not passing asks for the same again, guarded (`ingest`).

    Two bridges take this way in the same order, and rows of devices in the devices' order, so
    neither ever waits for the other in a circle.
    """
    written = Written()
    frames = [delivery for delivery in batch if delivery.subject is Subject.FRAME]
    others = _Others() if len(frames) == len(batch) else _read_others(session, batch, written)
    for delivery, presence in others.presences:
        record_presence(
            session, delivery.device_id, presence, delivery.arrived_at, live=not delivery.retained
        )
    written.seen = memory.newly_seen(frames)
    if written.seen:
        record_seen(session, written.seen)
        written.holders = holders_of(session, written.seen)
    ingested = ingest(
        session,
        _deliveries(frames),
        exchanges=_anchors(session, others, written),
        memory=memory.anchors,
        allowance=attempt,
        guarded=guarded,
    )
    written.outcomes, written.anchors = ingested.outcomes, ingested.anchors
    written.ledgers = ingested.ledgers
    told = {(device_id, ack.store) for device_id, ack in ingested.acks}
    # A device that comes online learns at once what it need not send again.
    online = [
        (delivery.device_id, ack_for_presence(session, delivery.device_id, presence.store))
        for delivery, presence in others.presences
        if presence.online and (delivery.device_id, presence.store) not in told
    ]
    written.answers = _answers(batch, [*ingested.acks, *online])
    for delivery, report in others.reports:
        outcome = record_report(session, delivery.device_id, report, delivery.arrived_at)
        if outcome == "unknown-version":
            _refuse(written, delivery, "a report on a programme that was never set")
    came_online = {
        delivery.device_id
        for delivery, presence in others.presences
        if presence.online and not delivery.retained
    }
    if came_online:
        publish_again(session, came_online)
    return written


def _deliveries(frames: Sequence[IncomingMessage]) -> list[Delivery]:
    return [Delivery(one.device_id, one.payload, one.arrived_at, one.settled) for one in frames]


def _answers(
    batch: Sequence[IncomingMessage], acks: Iterable[tuple[str, Ack]]
) -> list[tuple[str, Ack, Form]]:
    """A device is answered in the form that it spoke last, and told its pace."""
    forms = {delivery.device_id: payloads.form_of(delivery.payload) for delivery in batch}
    paces = _paces(batch)
    return [
        (device_id, _paced(ack, paces.get(device_id)), forms[device_id]) for device_id, ack in acks
    ]


def _paces(frames: Sequence[IncomingMessage]) -> dict[str, float]:
    """The rate for each device that is to be told one."""
    paces: dict[str, float] = {}
    for one in frames:
        pace = one.max_frames_per_s
        if pace is not None:
            paces[one.device_id] = min(pace, paces.get(one.device_id, pace))
    return paces


def _paced(ack: Ack, pace: float | None) -> Ack:
    return ack if pace is None else msgspec.structs.replace(ack, max_frames_per_s=pace)


@dataclass
class _Others:
    """The messages of a batch that are no frames, each in the order of its devices."""

    presences: list[tuple[IncomingMessage, Presence]] = field(default_factory=list)
    exchanges: list[tuple[IncomingMessage, TimeRequest]] = field(default_factory=list)
    reports: list[tuple[IncomingMessage, ReportedState]] = field(default_factory=list)


_TYPES: dict[Subject, type[Presence] | type[TimeRequest] | type[ReportedState]] = {
    Subject.PRESENCE: Presence,
    Subject.TIME: TimeRequest,
    Subject.STATE: ReportedState,
}


def _read_others(session: Session, batch: Sequence[IncomingMessage], written: Written) -> _Others:
    others = _Others()
    deliveries = [delivery for delivery in batch if delivery.subject is not Subject.FRAME]
    ids = {delivery.device_id for delivery in deliveries}
    known = set(session.scalars(select(Device.id).where(Device.id.in_(ids))))
    for delivery in sorted(deliveries, key=lambda delivery: delivery.device_id):
        message = payloads.decode(delivery.payload, _TYPES[delivery.subject])
        if isinstance(message, Malformed):
            _refuse(written, delivery, message.detail)
        elif delivery.device_id not in known:
            _refuse(written, delivery, "no such device")
        elif isinstance(message, Presence):
            others.presences.append((delivery, message))
        elif isinstance(message, TimeRequest):
            others.exchanges.append((delivery, message))
        else:
            others.reports.append((delivery, message))
    return others


def _anchors(session: Session, others: _Others, written: Written) -> list[BootAnchor]:
    """What the last messages of clock exchanges say."""
    anchors = []
    for delivery, request in others.exchanges:
        received_ms = int(delivery.arrived_at.timestamp() * 1000)
        match exchange.reply(request, received_ms, received_ms):
            case Anchor() as anchor:
                store = request.store
                if store is None:
                    store = latest_store(session, delivery.device_id)
                if store is None:
                    _refuse(written, delivery, "the clock of a store that was never announced")
                else:
                    key = BootKey(delivery.device_id, store, request.boot)
                    anchors.append(BootAnchor(key, anchor))
            case Unusable() as unusable:
                _refuse(written, delivery, f"an unusable clock exchange: {unusable.reason}")
            case TimeReply():
                pass  # answered already, in the network thread
    return anchors


def _refuse(written: Written, delivery: IncomingMessage, detail: str) -> None:
    """Such a message is only told of: the device sends a fresh one soon, and none is a reading."""
    written.malformed.append(delivery.subject)
    log.warning(
        "a message is refused",
        delivery=delivery.number,
        device=delivery.device_id,
        subject=delivery.subject.value,
        detail=detail,
    )
