"""The fast path: the usual frames of a batch, written by one statement that commits itself.

Usually a device's next frame has a number that is free. The statement locks the ledgers of the
batch, and writes the frames of each store in which all their numbers are free and whose device
somebody holds. It returns these ledgers, from which the acks are made. So it never matters what
this process remembers: other bridges and uploads over HTTP may move a ledger at any time.

All else is left over for `ingest`: numbers that are used, unreadable payloads, frames over a limit,
new clock hints, new stores.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import psycopg

from cymba.devices.quotas import FrameCost, Reservation
from cymba.parts import parts
from cymba.stimulation.ingest.clock_hints import AnchorCache, clock_hints_of
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.halving import REFUSED_DATA
from cymba.stimulation.ingest.ledgers import StoreKey
from cymba.stimulation.ingest.statements import FrameRun, NewNumbers, write_free_numbers
from cymba.stimulation.wire.messages import Ack
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


class _Run(FrameRun, Generic[One]):
    """What is the same for all of its frames is looked up once. Their numbers rise."""

    settled: bool
    deliveries: list[One]

    @property
    def cost(self) -> FrameCost:
        deliveries, frames = self.deliveries, self.frames
        if len(frames) == 1:
            return FrameCost.of(len(deliveries[0].payload), frames[0].memory_bytes)
        return FrameCost.of_all(
            [
                (len(delivery.payload), frame.memory_bytes)
                for delivery, frame in zip(deliveries, frames, strict=True)
            ]
        )

    def cut(self, count: int) -> None:
        """Leave only so many in it."""
        del self.received_at[count:], self.frames[count:], self.deliveries[count:]


class _NewFrames(msgspec.Struct, Generic[One], gc=False):
    """The frames of a store that may be written, and their numbers."""

    numbers: set[int]
    runs: list[_Run[One]]


def append(
    line: psycopg.Connection[Any],
    deliveries: Sequence[One],
    anchors: AnchorCache,
    *,
    quota: Reservation | None = None,
) -> Appended[One]:
    """Write and commit the usual frames of a batch. `line` is in autocommit mode.

    Raises:
        psycopg.Error: the database did not answer, and nothing is known to be stored. Ingest is
        idempotent, so it can be repeated.
    """
    usual = _usual_frames(deliveries, anchors, quota)
    written: dict[StoreKey, SeqRanges] = {}
    for part in parts(line, {key.device_id for key in usual}) if usual else ():
        ids = None if part is None else set(part)
        mine = {key: of for key, of in usual.items() if ids is None or key.device_id in ids}
        try:
            written |= _write(line, mine)
        except REFUSED_DATA:
            continue  # `ingest` finds the bad delivery
        except psycopg.Error:
            if not written:
                raise
            break  # what is committed stands, and counts; `ingest` meets the failure
    acks: list[tuple[str, Ack]] = []
    stored: list[One] = []
    for key, frames in usual.items():
        resolved = written.get(key)
        if resolved is None:
            _give_back(quota, frames)
            continue
        device_id, store = key
        also = resolved.beyond(frames.numbers)
        acks.append((device_id, Ack(store=store, upto=resolved.upto, also=also)))
        for run in frames.runs:
            stored += run.deliveries
    if len(stored) == len(deliveries):
        return Appended(stored, acks, [])
    done = set(map(id, stored))
    return Appended(stored, acks, [one for one in deliveries if id(one) not in done])


def _usual_frames(
    deliveries: Sequence[One], anchors: AnchorCache, quota: Reservation | None
) -> dict[StoreKey, _NewFrames[One]]:
    """The frames that may be written by the statement, by store.

    A device's frames are taken in their order: none that follows one that is left over. Of two that
    share a number, the first is the one that counts.
    """
    by_device: defaultdict[str, list[One]] = defaultdict(list)
    for delivery in deliveries:
        by_device[delivery.device_id].append(delivery)
    suspects: set[str] = set()  # devices that may have news of their clock
    usual: dict[StoreKey, _NewFrames[One]] = {}
    for device_id, its_deliveries in by_device.items():
        for run in _runs(its_deliveries):
            key = StoreKey(device_id, run.frames[0].store)
            known = usual.get(key)
            count = len(run.frames)
            if known is not None:
                _cut_before_known(run, known.numbers)
            if quota is not None and run.frames:
                _cut_to_quota(run, quota)
            if run.frames:
                if anchors.may_be_news(device_id, run.frames, run.received_at, settled=run.settled):
                    suspects.add(device_id)
                numbers = {frame.seq for frame in run.frames}
                if known is None:
                    usual[key] = _NewFrames(numbers, [run])
                else:
                    known.numbers.update(numbers)
                    known.runs.append(run)
            if len(run.frames) < count:
                break
    if suspects:
        hints = clock_hints_of(one for one in deliveries if one.device_id in suspects)
        with_news = {anchor.key.device_id for anchor in anchors.news(hints)}
        for key in [key for key in usual if key.device_id in with_news]:
            _give_back(quota, usual.pop(key))
    return usual


def _runs(deliveries: Iterable[One]) -> Iterator[_Run[One]]:
    """A device's frames, up to the first that is unreadable."""
    run: _Run[One] | None = None
    for delivery in deliveries:
        frame = delivery.read
        if isinstance(frame, Unreadable):
            break
        if run is not None:
            last = run.frames[-1]
            if (
                frame.sid.int == last.sid.int
                and frame.store == last.store
                and frame.boot == last.boot
                and frame.seq > last.seq
                and delivery.settled is run.settled
            ):
                run.received_at.append(delivery.arrived_at)
                run.frames.append(frame)
                run.deliveries.append(delivery)
                continue
            yield run
        run = _Run(
            delivery.device_id, [delivery.arrived_at], [frame], 0, delivery.settled, [delivery]
        )
    if run is not None:
        yield run


def _cut_before_known(run: _Run[One], known: set[int]) -> None:
    """Leave what comes before the first number that is known."""
    for place, frame in enumerate(run.frames):
        if frame.seq in known:
            run.cut(place)
            return


def _cut_to_quota(run: _Run[One], quota: Reservation) -> None:
    """Leave what the quotas allow, up to the first frame that they do not."""
    sid = run.frames[0].sid
    if quota.spend(run.device_id, sid, run.cost):
        return
    for place, (delivery, frame) in enumerate(zip(run.deliveries, run.frames, strict=True)):
        if not quota.session(
            run.device_id,
            sid,
            payload_bytes=len(delivery.payload),
            memory_bytes=frame.memory_bytes,
        ):
            run.cut(place)
            return


def _write(
    line: psycopg.Connection[Any], usual: dict[StoreKey, _NewFrames[One]]
) -> dict[StoreKey, SeqRanges]:
    """The ledgers of those stores whose frames are written and committed."""
    written: list[_Run[One]] = []
    ledgers: list[NewNumbers] = []
    for key, frames in usual.items():
        ranges = SeqRanges.of_sorted(sorted(frames.numbers))
        if ranges.count > MOST_NEW_RANGES:
            continue
        ledgers.append(NewNumbers(key, str(ranges)))
        for run in frames.runs:
            run.ledger = len(ledgers)
        written += frames.runs
    return write_free_numbers(line, written, ledgers) if ledgers else {}


def _give_back(quota: Reservation | None, frames: _NewFrames[One]) -> None:
    if quota is not None:
        for run in frames.runs:
            quota.give_back(run.device_id, run.frames[0].sid, run.cost)
