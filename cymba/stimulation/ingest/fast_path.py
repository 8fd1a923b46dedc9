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
from typing import Any, Generic, NamedTuple, TypeVar

import psycopg

from cymba.devices.quotas import Reservation
from cymba.parts import Part, parts
from cymba.stimulation.ingest.clock_hints import AnchorCache, clock_hints_of
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.halving import REFUSED_DATA
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


_Frames = dict[int, tuple[One, ReceivedFrame]]
"""The frames of a store that may be written, by their numbers."""


def append(
    line: psycopg.Connection[Any],
    deliveries: Sequence[One],
    anchors: AnchorCache,
    *,
    quota: Reservation | None = None,
) -> Appended[One]:
    """Write and commit the usual frames of a batch. `line` is in autocommit mode.

    Raises:
        psycopg.Error: the database did not answer. The frames may be stored or not. Ingest is
        idempotent, so it can be repeated.
    """
    usual = _usual_frames(deliveries, anchors, quota)
    written: dict[StoreKey, SeqRanges] = {}
    for part in parts(line, {key.device_id for key in usual}) if usual else ():
        mine = usual if part is None else {k: of for k, of in usual.items() if k.device_id in part}
        # `ingest` finds the bad delivery.
        with suppress(*REFUSED_DATA):
            written |= _write(line, mine, part)
    acks: list[tuple[str, Ack]] = []
    stored: list[One] = []
    for key, frames in usual.items():
        resolved = written.get(key)
        if resolved is None:
            _give_back(quota, frames)
            continue
        device_id, store = key
        acks.append((device_id, Ack(store=store, upto=resolved.upto, also=resolved.beyond(frames))))
        stored += [delivery for delivery, _ in frames.values()]
    if len(stored) == len(deliveries):
        return Appended(stored, acks, [])
    done = set(map(id, stored))
    return Appended(stored, acks, [one for one in deliveries if id(one) not in done])


def _usual_frames(
    deliveries: Sequence[One], anchors: AnchorCache, quota: Reservation | None
) -> dict[StoreKey, _Frames[One]]:
    """The frames that may be written by the statement, by store.

    A device's frames are taken in their order: none that follows one that is left over. Of two that
    share a number, the first is the one that counts.
    """
    left: set[str] = set()
    suspects: set[str] = set()  # devices that may have news of their clock
    usual: dict[StoreKey, _Frames[One]] = {}
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
        frames = usual.get(key)
        if frames is None:
            frames = usual[key] = {}
        if frame.seq in frames or not (
            quota is None
            or quota.session(
                device_id,
                frame.sid,
                payload_bytes=len(delivery.payload),
                memory_bytes=frame.memory_bytes,
            )
        ):
            left.add(device_id)
        else:
            frames[frame.seq] = delivery, frame
    if suspects:
        hints = clock_hints_of(one for one in deliveries if one.device_id in suspects)
        with_news = {anchor.key.device_id for anchor in anchors.news(hints)}
        for key in [key for key in usual if key.device_id in with_news]:
            _give_back(quota, usual.pop(key))
    return {key: frames for key, frames in usual.items() if frames} if left else usual


def _write(
    line: psycopg.Connection[Any], usual: dict[StoreKey, _Frames[One]], part: Part
) -> dict[StoreKey, SeqRanges]:
    """The ledgers of those stores whose frames are written and committed."""
    batch = Batch()
    numbers: list[NewNumbers] = []
    for key, frames in usual.items():
        ranges = SeqRanges.of_sorted(sorted(frames))
        if ranges.count > MOST_NEW_RANGES:
            continue
        numbers.append(NewNumbers(key, str(ranges)))
        for delivery, frame in frames.values():
            batch.store(key.device_id, frame, delivery.arrived_at, ledger=len(numbers))
    return write_free_numbers(line, batch, numbers, part=part) if numbers else {}


def _give_back(quota: Reservation | None, frames: _Frames[One]) -> None:
    if quota is None:
        return
    for delivery, frame in frames.values():
        quota.give_back_session(
            delivery.device_id,
            frame.sid,
            payload_bytes=len(delivery.payload),
            memory_bytes=frame.memory_bytes,
        )
