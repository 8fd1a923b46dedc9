"""Writing a batch of deliveries through the core, in one transaction of the caller."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg
import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.devices import exchange
from cymba.devices.anchors import Anchor, BootAnchor, BootKey
from cymba.devices.cells import elsewhere
from cymba.devices.exchange import Unusable
from cymba.devices.holders import holders_of
from cymba.devices.presence import latest_store, record_presence, with_another_store
from cymba.devices.programme import record_report
from cymba.devices.publication import publish_again
from cymba.devices.quotas import Quota, Reservation
from cymba.devices.tables import Device
from cymba.stimulation.ingest import fast_path
from cymba.stimulation.ingest.clock_hints import AnchorCache
from cymba.stimulation.ingest.decide import Outcome
from cymba.stimulation.ingest.ingest import Ingested, ack_for_presence, gave_up, ingest, turn_away
from cymba.stimulation.wire.messages import Ack, Presence, ReportedState, TimeReply, TimeRequest
from mqtt_bridge import payloads
from mqtt_bridge.contacts import Contacts
from mqtt_bridge.delivery_queue import IncomingMessage
from mqtt_bridge.payloads import Encoding, Malformed
from mqtt_bridge.topics import FRAME, Subject

log = structlog.get_logger(__name__)


@dataclass
class Written:
    """The result of a transaction, valid once it is committed."""

    outcomes: list[Outcome] = field(default_factory=list)  # by the slow path
    stored_fast: int = 0  # frames, by the fast path
    answers: list[tuple[str, Ack, Encoding]] = field(default_factory=list)
    malformed: list[Subject] = field(default_factory=list)
    failed: list[IncomingMessage] = field(default_factory=list)
    unknown_programmes: int = 0  # that devices spoke of
    rejected_bytes: dict[str, int] = field(default_factory=dict)  # by device
    anchors: list[BootAnchor] = field(default_factory=list)
    holders: Mapping[str, str] = field(default_factory=dict)  # of devices that were unknown
    connected: set[str] = field(default_factory=set)  # devices that came online


def sum_of(parts: Sequence[Written]) -> Written:
    """The combined results of the parts of a batch, for its answers."""
    whole, *others = parts
    for part in others:
        whole.outcomes += part.outcomes
        whole.answers += part.answers
        whole.malformed += part.malformed
        whole.failed += part.failed
        whole.unknown_programmes += part.unknown_programmes
        for device_id, size in part.rejected_bytes.items():
            whole.rejected_bytes[device_id] = whole.rejected_bytes.get(device_id, 0) + size
    return whole


class WriterCache:
    """What this process has committed of late, so that it asks the database only for news."""

    def __init__(self, contacts: Contacts) -> None:
        self.anchors = AnchorCache()
        self.quota = Quota()
        self.contacts = contacts

    def remember(self, batch: Iterable[IncomingMessage], written: Written) -> None:
        """Call it once `written`, the result of `batch`, is committed."""
        self.anchors.remember(written.anchors)
        self.contacts.holders.update(written.holders)
        self.contacts.note_connected(written.connected)
        self.contacts.note(
            {one.device_id: one.arrived_at for one in batch if one.subject is FRAME}.items()
        )


def append(
    line: psycopg.Connection[Any], batch: Sequence[IncomingMessage], cache: WriterCache
) -> tuple[list[IncomingMessage], Written, list[IncomingMessage]]:
    """Write and commit the usual frames of a batch by the fast path, over a `line` in autocommit
    mode. Return them, their result, and what is left for `write`."""
    holders = cache.contacts.holders
    usual: list[IncomingMessage] = []
    others: list[IncomingMessage] = []
    for one in batch:
        if one.subject is FRAME and one.device_id in holders:
            usual.append(one)
        else:
            others.append(one)
    written = Written()
    if not usual:
        return [], written, others
    with cache.quota.reserve() as reservation:
        appended = fast_path.append(line, usual, cache.anchors, quota=reservation)
    written.stored_fast = len(appended.stored)
    written.answers = _answers(appended.stored, appended.acks)
    return appended.stored, written, others + appended.left


def give_up(one: IncomingMessage) -> Written:
    """The result for a message that the database rejects. The device of a frame keeps it and sends
    it again. Other messages are soon replaced by fresh ones."""
    written = Written(failed=[one])
    with suppress(Exception):  # the message may be unreadable
        if one.subject is FRAME:
            _add(written, [one], gave_up(one))
    return written


def write(
    session: Session,
    batch: Sequence[IncomingMessage],
    cache: WriterCache,
    reservation: Reservation,
) -> Written:
    """Write the batch without committing: presence, then frames with the clocks, then the rest.
    `reservation` is on the cache's quota. Whatever is raised, nothing of it may be committed.

    Two bridges take this way in the same order, and rows of devices in the devices' order, so
    neither ever waits for the other in a circle.
    """
    written = Written()
    holders = cache.contacts.holders
    asked = {one.device_id for one in batch
             if one.subject is not FRAME or one.device_id not in holders}  # fmt: skip
    away = elsewhere(session, asked, cache.contacts.cell) if asked else {}
    all_frames = [delivery for delivery in batch if delivery.subject is FRAME]
    frames = [delivery for delivery in all_frames if delivery.device_id not in away]
    others = (
        _Others() if len(all_frames) == len(batch) else _read_others(session, batch, away, written)
    )
    came_online = {
        delivery.device_id: presence.store
        for delivery, presence in others.presences
        if presence.online and not delivery.retained
    }
    reset = with_another_store(session, came_online) if came_online else set()
    for delivery, presence in others.presences:
        record_presence(
            session, delivery.device_id, presence, delivery.arrived_at, live=not delivery.retained
        )
    unknown = {one.device_id for one in frames} - holders.keys()
    if unknown:
        written.holders = holders_of(session, unknown)
    ingested = ingest(
        session,
        frames,
        exchanges=_anchors(session, others, written),
        anchors=cache.anchors,
        quota=reservation,
        believed_held=holders.keys() | written.holders.keys(),
    )
    answered = {(device_id, ack.store) for device_id, ack in ingested.acks}
    # A device that comes online learns at once which frames it may free.
    online = [
        (delivery.device_id, ack_for_presence(session, delivery.device_id, presence.store))
        for delivery, presence in others.presences
        if presence.online and (delivery.device_id, presence.store) not in answered
    ]
    _add(written, batch, ingested, online)
    if len(frames) < len(all_frames):
        _add(written, batch, turn_away([one for one in all_frames if one.device_id in away], away))
    for delivery, report in others.reports:
        outcome = record_report(session, delivery.device_id, report, delivery.arrived_at)
        if outcome == "unknown-version":
            written.unknown_programmes += 1
    if came_online:
        publish_again(session, came_online, reset=reset)
        written.connected = set(came_online)
    return written


def _add(
    written: Written,
    batch: Sequence[IncomingMessage],
    ingested: Ingested,
    more_acks: Iterable[tuple[str, Ack]] = (),
) -> None:
    written.outcomes += ingested.outcomes
    written.anchors += ingested.anchors
    written.rejected_bytes |= ingested.rejected_bytes()
    written.answers += _answers(batch, [*ingested.acks, *more_acks])


def _answers(
    batch: Sequence[IncomingMessage], acks: Iterable[tuple[str, Ack]]
) -> list[tuple[str, Ack, Encoding]]:
    """Encode the acks in the encoding that each device last used, with its rate limit."""
    last = {one.device_id: one.payload for one in batch}
    rates: dict[str, float] = {}
    for one in batch:
        rate_per_s = one.max_frames_per_s
        if rate_per_s is not None:
            rates[one.device_id] = min(rate_per_s, rates.get(one.device_id, rate_per_s))
    if rates:
        acks = [(device_id, _with_rate_limit(ack, rates.get(device_id))) for device_id, ack in acks]
    return [(device_id, ack, payloads.encoding_of(last[device_id])) for device_id, ack in acks]


def _with_rate_limit(ack: Ack, rate_per_s: float | None) -> Ack:
    return ack if rate_per_s is None else msgspec.structs.replace(ack, max_frames_per_s=rate_per_s)


@dataclass
class _Others:
    """The messages of a batch that are no frames, in the order of their devices."""

    presences: list[tuple[IncomingMessage, Presence]] = field(default_factory=list)
    exchanges: list[tuple[IncomingMessage, TimeRequest]] = field(default_factory=list)
    reports: list[tuple[IncomingMessage, ReportedState]] = field(default_factory=list)


_TYPES: dict[Subject, type[Presence] | type[TimeRequest] | type[ReportedState]] = {
    Subject.PRESENCE: Presence,
    Subject.TIME: TimeRequest,
    Subject.STATE: ReportedState,
}


def _read_others(
    session: Session,
    batch: Sequence[IncomingMessage],
    away: Mapping[str, str],
    written: Written,
) -> _Others:
    others = _Others()
    deliveries = [delivery for delivery in batch if delivery.subject is not FRAME]
    ids = {delivery.device_id for delivery in deliveries}
    known = set(session.scalars(select(Device.id).where(Device.id.in_(ids))))
    for delivery in sorted(deliveries, key=lambda delivery: delivery.device_id):
        message = payloads.decode(delivery.payload, _TYPES[delivery.subject])
        if delivery.device_id in away:
            _refuse(written, delivery, f"it belongs to cell {away[delivery.device_id]!r}")
        elif isinstance(message, Malformed):
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
    """The anchors from the last messages of clock exchanges."""
    anchors = []
    for delivery, request in others.exchanges:
        received_ms = int(delivery.arrived_at.timestamp() * 1000)
        match exchange.reply(request, received_ms, received_ms):
            case Anchor() as anchor:
                store = request.store
                if store is None:
                    store = latest_store(session, delivery.device_id)
                if store is None:
                    _refuse(written, delivery, "its clock exchange names a store without presence")
                else:
                    key = BootKey(delivery.device_id, store, request.boot)
                    anchors.append(BootAnchor(key, anchor))
            case Unusable() as unusable:
                _refuse(written, delivery, f"an unusable clock exchange: {unusable.reason}")
            case TimeReply():
                pass  # the network thread has answered it
    return anchors


def _refuse(written: Written, delivery: IncomingMessage, detail: str) -> None:
    """Log a message that is no frame and cannot be used. The device soon sends a fresh one, and it
    holds no readings."""
    written.malformed.append(delivery.subject)
    log.warning(
        "a message is dropped",
        delivery=delivery.number,
        device=delivery.device_id,
        subject=delivery.subject.value,
        detail=detail,
    )
