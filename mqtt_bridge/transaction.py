"""One batch of deliveries, written through the core within one transaction of the caller."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import select
from sqlalchemy.exc import DataError as BadData
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from cymba.devices import exchange
from cymba.devices.anchors import Anchor, BootAnchor, BootKey, add_anchors
from cymba.devices.exchange import Unusable
from cymba.devices.presence import latest_store, record_presence
from cymba.devices.programme import record_report
from cymba.devices.tables import Device
from cymba.stimulation.ingest import Delivery, Outcome, ack_for_presence, ingest
from cymba.stimulation.messages import Ack, Presence, ReportedState, TimeReply, TimeRequest
from mqtt_bridge import payloads
from mqtt_bridge.delivery import Inbound
from mqtt_bridge.payloads import Form, Malformed
from mqtt_bridge.topics import Subject

log = structlog.get_logger(__name__)


@dataclass
class Written:
    """What a transaction did; true only once it is committed."""

    outcomes: list[Outcome] = field(default_factory=list)
    answers: list[tuple[str, Ack, Form]] = field(default_factory=list)
    malformed: list[Subject] = field(default_factory=list)
    failed: list[Inbound] = field(default_factory=list)

    def __iadd__(self, other: "Written") -> "Written":
        self.outcomes += other.outcomes
        self.answers += other.answers
        self.malformed += other.malformed
        self.failed += other.failed
        return self


def write(session: Session, batch: Sequence[Inbound]) -> Written:
    """Write the batch; the order of the parts keeps two bridges from waiting for each other."""
    written = Written()
    frames = [delivery for delivery in batch if delivery.subject is Subject.FRAME]
    forms = {delivery.device_id: payloads.form_of(delivery.payload) for delivery in batch}
    if frames:
        ingested = ingest(
            session,
            [
                Delivery(
                    delivery.device_id, delivery.payload, delivery.arrived_at, delivery.settled
                )
                for delivery in frames
            ],
        )
        written.outcomes = list(ingested.outcomes)
        written.answers = [(device_id, ack, forms[device_id]) for device_id, ack in ingested.acks]
    if len(frames) == len(batch):
        return written
    answered = {(device_id, ack.store) for device_id, ack, _ in written.answers}
    known = _known_devices(session, batch)
    # The rest in the order of devices, as rows of two devices are locked in no other.
    for delivery in sorted(batch, key=lambda delivery: delivery.device_id):
        if delivery.subject is Subject.FRAME:
            continue
        message = payloads.decode(delivery.payload, _TYPES[delivery.subject])
        if isinstance(message, Malformed):
            _refuse(written, delivery, message.detail)
        elif delivery.device_id not in known:
            _refuse(written, delivery, "no such device")
        elif isinstance(message, Presence):
            _presence(session, delivery, message)
            if message.online and (delivery.device_id, message.store) not in answered:
                # A device that comes online learns at once what it need not send again.
                ack = ack_for_presence(session, delivery.device_id, message.store)
                written.answers.append((delivery.device_id, ack, forms[delivery.device_id]))
        elif isinstance(message, TimeRequest):
            problem = _anchor(session, delivery, message)
            if problem is not None:
                _refuse(written, delivery, problem)
        else:
            record_report(session, delivery.device_id, message, delivery.arrived_at)
    return written


_TYPES: dict[Subject, type[Presence | TimeRequest | ReportedState]] = {
    Subject.PRESENCE: Presence,
    Subject.TIME: TimeRequest,
    Subject.STATE: ReportedState,
}


def _known_devices(session: Session, batch: Sequence[Inbound]) -> set[str]:
    ids = {delivery.device_id for delivery in batch if delivery.subject is not Subject.FRAME}
    return set(session.scalars(select(Device.id).where(Device.id.in_(ids))))


def _refuse(written: Written, delivery: Inbound, detail: str) -> None:
    """Such a message is only told of: the device sends a fresh one soon, and none is a reading."""
    written.malformed.append(delivery.subject)
    log.warning(
        "a message is refused",
        delivery=delivery.number,
        device=delivery.device_id,
        subject=delivery.subject.value,
        detail=detail,
    )


def _presence(session: Session, delivery: Inbound, presence: Presence) -> None:
    record_presence(
        session, delivery.device_id, presence, delivery.arrived_at, live=not delivery.retained
    )


def _anchor(session: Session, delivery: Inbound, request: TimeRequest) -> str | None:
    """Keep what a clock exchange's last message says; why not, if so."""
    received_ms = int(delivery.arrived_at.timestamp() * 1000)
    match exchange.reply(request, received_ms, received_ms):
        case Anchor() as anchor:
            store = request.store
            if store is None:
                store = latest_store(session, delivery.device_id)
            if store is None:
                return "a clock exchange of a store that was never announced"
            key = BootKey(delivery.device_id, store, request.boot)
            mark_retimed(session, add_anchors(session, [BootAnchor(key, anchor)]))
            return None
        case Unusable() as unusable:
            return f"a clock exchange is unusable: {unusable.reason}"
        case TimeReply():
            return None  # answered already, in the network thread


def is_passing(error: Exception) -> bool:
    """The database could not do it now, whatever the batch was; the same may work later.

    All that remains is the batch's own fault: data that the database refuses (SQLSTATE classes
    21, 22 and 23), or an error of ours that some message brought out.
    """
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError) or isinstance(error, BadData | IntegrityError):
        return False
    return not (getattr(error.orig, "sqlstate", None) or "").startswith("21")
