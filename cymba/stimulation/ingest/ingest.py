"""Ingest: a batch of deliveries in one transaction of the caller.

Every frame is stored exactly once, rejected with a reason, or left with its device. The ledgers of
the batch's stores are locked first. Then each frame is new, a duplicate, or other content under a
used number. The result does not depend on the order of arrival.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from cymba.database import utc_now
from cymba.devices.anchors import BootAnchor, add_anchors
from cymba.devices.quotas import Demand, Reservation
from cymba.parts import parts
from cymba.stimulation.ingest.clock_hints import AnchorCache, clock_hints_of
from cymba.stimulation.ingest.decide import (
    Delivery,
    Ledgers,
    Outcome,
    acks_of,
    decide,
    is_rejected,
    kept_bytes,
    not_stored,
    numbers_used,
    other_cell,
    store_of,
)
from cymba.stimulation.ingest.ledgers import (
    StoreKey,
    held_devices,
    lock_ledgers,
    open_ledgers,
    read_resolved,
)
from cymba.stimulation.ingest.statements import ask_retiming, held_contents, write
from cymba.stimulation.wire.frames import Unreadable
from cymba.stimulation.wire.messages import Ack


@dataclass(slots=True)
class Ingested:
    """The result of a batch, valid once the caller has committed.

    `outcomes` are parallel to the deliveries. `acks` are for `down/ack`, by device. `anchors` are
    for `AnchorCache.remember`.
    """

    deliveries: Sequence[Delivery]
    outcomes: list[Outcome]
    acks: list[tuple[str, Ack]]
    anchors: list[BootAnchor] = field(default_factory=list)

    def rejected_bytes(self) -> dict[str, int]:
        """By device, the bytes that were read and rejected. They are charged to the device."""
        sizes: dict[str, int] = {}
        for delivery, outcome in zip(self.deliveries, self.outcomes, strict=True):
            if is_rejected(outcome):
                size = sizes.get(delivery.device_id, 0) + len(delivery.payload)
                sizes[delivery.device_id] = size
        return sizes


def ingest(
    session: Session,
    deliveries: Sequence[Delivery],
    *,
    exchanges: Iterable[BootAnchor] = (),
    anchors: AnchorCache | None = None,
    quota: Reservation | None = None,
    believed_held: Container[str] = (),
) -> Ingested:
    """Write a batch, and the clock `exchanges` that came with it, without committing.

    With a cache of `anchors`, clock hints are looked up only if they are new to this process. With
    a `quota`, a device that begins too many sessions or fills quarantine is rejected with `rate`.
    The payloads of devices that are `believed_held` are read before it is known whether somebody
    holds them; the outcome is the same.

    Raises:
        Exception: roll back, and write the batch `by_halves`. Nothing of it may be committed.
    """
    device_ids = {delivery.device_id for delivery in deliveries}
    asked = {device_id for device_id in device_ids if device_id not in believed_held}
    held = held_devices(session, asked) if asked else set()
    readable = [one for one in deliveries if one.device_id in held or one.device_id not in asked]
    for delivery in readable:
        _ = delivery.read
    offered = clock_hints_of(readable)
    kept = [*(offered if anchors is None else anchors.news(offered)), *exchanges]
    if quota is not None:
        quota.settle(session, _demands(readable), utc_now())
    of_all = parts(session, device_ids | {anchor.key.device_id for anchor in kept})
    if len(of_all) == 1:
        return _write(session, deliveries, kept, held, asked, quota=quota)
    whole = Ingested(deliveries, [], [], kept)
    outcomes: dict[int, Outcome] = {}
    for part in map(set, filter(None, of_all)):
        at = [number for number, one in enumerate(deliveries) if one.device_id in part]
        written = _write(
            session,
            [deliveries[number] for number in at],
            [anchor for anchor in kept if anchor.key.device_id in part],
            held,
            asked,
            quota=quota,
        )
        outcomes |= zip(at, written.outcomes, strict=True)
        whole.acks += written.acks
    whole.outcomes = [outcomes[number] for number in range(len(deliveries))]
    return whole


def _write(
    session: Session,
    deliveries: Sequence[Delivery],
    kept: list[BootAnchor],
    held: set[str],
    asked: set[str],
    *,
    quota: Reservation | None,
) -> Ingested:
    """Of the devices that were `asked` for, those of `held` are held."""
    readable = [one for one in deliveries if one.device_id in held or one.device_id not in asked]
    ledgers = _lock(session, deliveries, readable, kept)
    unknown = {one.device_id for one in deliveries if store_of(one) not in ledgers} - asked
    if unknown:
        held = held | held_devices(session, unknown)
    used = numbers_used(readable, ledgers)
    contents = held_contents(session, used) if used else {}
    outcomes, batch = decide(deliveries, ledgers, held=held, contents=contents, quota=quota)
    write(session, batch, ledgers)
    _anchor(session, kept, ledgers)
    acks = acks_of(deliveries, outcomes, ledgers)
    return Ingested(deliveries, outcomes, acks, kept)


def _demands(readable: Iterable[Delivery]) -> dict[str, Demand]:
    """The most that the batch may use of each device's quotas."""
    demands: dict[str, Demand] = {}
    for delivery in readable:
        demand = demands.setdefault(delivery.device_id, Demand())
        if isinstance(delivery.read, Unreadable):
            demand.quarantine(kept_bytes(delivery))
        else:
            demand.store(delivery.read.sid, delivery.read.stored_bytes)
    return demands


def gave_up(delivery: Delivery) -> Ingested:
    """The result for a delivery that `by_halves` found to be bad."""
    outcomes: list[Outcome] = [not_stored(delivery)]
    return Ingested([delivery], outcomes, acks_of([delivery], outcomes, {}))


def turn_away(deliveries: Sequence[Delivery], cells: Mapping[str, str]) -> Ingested:
    """The result for frames of devices that belong to another of the `cells`, by device. Where they
    belong nothing is lost by it, and here a device that went on for ever would never hear of
    narrower limits."""
    outcomes: list[Outcome] = [other_cell(one, cells[one.device_id]) for one in deliveries]
    return Ingested(deliveries, outcomes, acks_of(deliveries, outcomes, {}))


def ack_for_presence(session: Session, device_id: str, store: int) -> Ack:
    """The ack for a device that has come online: everything that is resolved in its store."""
    resolved = read_resolved(session, StoreKey(device_id, store))
    return Ack(store=store, upto=resolved.upto, also=resolved.beyond())


def _lock(
    session: Session,
    deliveries: Iterable[Delivery],
    readable: Iterable[Delivery],
    anchors: Iterable[BootAnchor],
) -> Ledgers:
    """Lock the ledgers of the batch. Those of new stores are opened before any is locked: otherwise
    two bridges could deadlock."""
    needed = {key for delivery in readable if (key := store_of(delivery)) is not None}
    wanted = {key for delivery in deliveries if (key := store_of(delivery)) is not None}
    wanted |= {StoreKey(key.device_id, key.store) for key, _ in anchors}
    if not wanted:
        return {}
    ledgers = lock_ledgers(session, wanted, needed)
    if ledgers is None:
        open_ledgers(session, list(needed))
        ledgers = lock_ledgers(session, wanted) or {}
    return ledgers


def _anchor(session: Session, anchors: list[BootAnchor], ledgers: Ledgers) -> None:
    """Store the anchors of devices that somebody holds."""
    held = {key.device_id for key, ledger in ledgers.items() if ledger.is_held}
    unknown = {anchor.key.device_id for anchor in anchors} - {key.device_id for key in ledgers}
    if unknown:  # the exchange of a device that has sent no frame yet
        held |= held_devices(session, unknown)
    kept = [anchor for anchor in anchors if anchor.key.device_id in held]
    retimed = add_anchors(session, kept) if kept else None
    if retimed:
        ask_retiming(session, retimed)
