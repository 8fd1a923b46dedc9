"""Deliveries to rows: every frame stored once, refused with its reason, or kept by its device.

One transaction of the caller takes a batch. The ledgers of its stores are locked first; then
each frame is new, a duplicate, or another content under a used number, whatever came before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from cymba.devices.anchors import BootAnchor, add_anchors
from cymba.devices.rate_limits import QuotaCheck
from cymba.stimulation.ingest.clock_hints import AnchorCache, arrivals_of
from cymba.stimulation.ingest.decide import (
    Delivery,
    IngestItem,
    Ledgers,
    Outcome,
    acks_of,
    decide,
    give_back,
    numbers_used,
)
from cymba.stimulation.ingest.ledgers import (
    StoreKey,
    held_devices,
    lock_ledgers,
    open_ledgers,
    read_resolved,
)
from cymba.stimulation.ingest.statements import held_contents, mark_retimed, write
from cymba.stimulation.wire.messages import Ack

log = structlog.get_logger(__name__)


class NewStores(Exception):
    """Ledgers have to be opened, for which no lock may be held: take the batch in guarded."""


@dataclass(slots=True)
class Ingested:
    """What a batch came to; true only once the caller has committed.

    `outcomes` are parallel to the deliveries. `acks` are for `down/ack`, by device. `anchors`
    are those that were looked into, for `AnchorCache.remember`; `ledgers` is how the batch left
    its stores, for `LedgerCache.remember`.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    acks: list[tuple[str, Ack]] = field(default_factory=list)
    anchors: list[BootAnchor] = field(default_factory=list)
    ledgers: Ledgers = field(default_factory=dict)


def ingest(
    session: Session,
    deliveries: Sequence[Delivery],
    *,
    exchanges: Iterable[BootAnchor] = (),
    memory: AnchorCache | None = None,
    allowance: QuotaCheck | None = None,
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
    taken = [IngestItem(delivery, allowance) for delivery in deliveries]
    offered = arrivals_of(taken)
    anchors = [*(offered if memory is None else memory.news(offered)), *exchanges]
    ledgers = (_take_in if guarded else _take_in_bare)(session, taken, anchors)
    return ingested(taken, ledgers, anchors)


def ingested(taken: Sequence[IngestItem], ledgers: Ledgers, anchors: list[BootAnchor]) -> Ingested:
    """What a batch came to whose deliveries are all settled."""
    outcomes = [one.outcome for one in taken if one.outcome is not None]
    return Ingested(outcomes, acks_of(taken, ledgers), anchors, ledgers)


def ack_for_presence(session: Session, device_id: str, store: int) -> Ack:
    """What a device that has come online is told: all that is resolved in its store."""
    resolved = read_resolved(session, StoreKey(device_id, store))
    return Ack(store=store, upto=resolved.upto, also=resolved.beyond())


def _take_in(session: Session, taken: list[IngestItem], anchors: list[BootAnchor]) -> Ledgers:
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


def _take_in_bare(session: Session, taken: list[IngestItem], anchors: list[BootAnchor]) -> Ledgers:
    ledgers = _lock(session, taken, anchors)
    if ledgers is None:
        raise NewStores
    _put(session, taken, anchors, ledgers)
    return ledgers


def _put(
    session: Session, taken: list[IngestItem], anchors: list[BootAnchor], ledgers: Ledgers
) -> None:
    without_ledger = {one.delivery.device_id for one in taken if one.store_key not in ledgers}
    held = held_devices(session, without_ledger) if without_ledger else set()
    used = numbers_used(taken, ledgers)
    contents = held_contents(session, used) if used else {}
    write(session, decide(taken, ledgers, held=held, contents=contents), ledgers)
    _anchor(session, anchors, ledgers)


def _lock(
    session: Session, taken: list[IngestItem], anchors: list[BootAnchor], *, again: bool = False
) -> Ledgers | None:
    """The ledgers of everything in the batch; None where some have yet to be opened."""
    wanted = _stores(taken)
    anchored = {StoreKey(key.device_id, key.store) for key, _ in anchors}
    keys = list(wanted | anchored)
    ledgers = lock_ledgers(session, keys) if keys else {}
    return ledgers if again or wanted <= ledgers.keys() else None


def _stores(taken: list[IngestItem]) -> set[StoreKey]:
    return {one.store_key for one in taken if one.store_key is not None}


def _anchor(session: Session, anchors: list[BootAnchor], ledgers: Ledgers) -> None:
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
    session: Session, taken: list[IngestItem], anchors: list[BootAnchor], error: Exception
) -> Ledgers:
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
    give_back(one)
    return _lock(session, taken, [], again=True) or {}
