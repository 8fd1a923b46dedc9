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
from cymba.failures import is_refused
from cymba.parts import parts
from cymba.stimulation.ingest.clock_hints import AnchorCache, clock_hints_of
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.statements import FrameRun, NewNumbers, write_free_numbers
from cymba.stimulation.wire.messages import Ack
from cymba.stimulation.wire.seq_ranges import SeqRanges, one_range
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
        frames = self.frames
        if len(frames) == 1:
            return frames[0].cost
        return FrameCost(
            len(frames),
            sum([frame.stored_bytes for frame in frames]),
            sum([frame.session_bytes for frame in frames]),
        )

    def cut(self, count: int) -> None:
        """Leave only so many in it."""
        del self.received_at[count:], self.frames[count:], self.deliveries[count:]


class _NewFrames(msgspec.Struct, Generic[One], gc=False):
    """The frames of a store that may be written, and their numbers."""

    device_id: str
    store: int
    numbers: list[int]
    runs: list[_Run[One]]
    resolved: SeqRanges | None = None  # the ledger, once they are committed


_Usual = dict[tuple[str, int], _NewFrames[One]]  # by device and store


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
    all_frames = list(usual.values())
    for part in parts(line, {one.device_id for one in all_frames}) if usual else ():
        ids = None if part is None else set(part)
        try:
            _write(line, [one for one in all_frames if ids is None or one.device_id in ids])
        except Exception as error:
            if is_refused(error):
                continue  # `ingest` finds the bad delivery
            is_empty = all(one.resolved is None for one in all_frames)
            if is_empty or not isinstance(error, psycopg.Error):
                raise
            break  # what is committed stands, and counts; `ingest` meets the failure
    acks: list[tuple[str, Ack]] = []
    stored: list[One] = []
    for frames in all_frames:
        resolved = frames.resolved
        if resolved is None:
            _give_back(quota, frames)
            continue
        also = resolved.beyond(frames.numbers)
        acks.append((frames.device_id, Ack(store=frames.store, upto=resolved.upto, also=also)))
        for run in frames.runs:
            stored += run.deliveries
    if len(stored) == len(deliveries):
        return Appended(stored, acks, [])
    done = set(map(id, stored))
    return Appended(stored, acks, [one for one in deliveries if id(one) not in done])


def _usual_frames(
    deliveries: Sequence[One], anchors: AnchorCache, quota: Reservation | None
) -> _Usual[One]:
    """The frames that may be written by the statement.

    A device's frames are taken in their order: none that follows one that is left over. Of two that
    share a number, the first is the one that counts.
    """
    by_device: defaultdict[str, list[One]] = defaultdict(list)
    for delivery in deliveries:
        by_device[delivery.device_id].append(delivery)
    suspects: set[str] = set()  # devices that may have news of their clock
    usual: _Usual[One] = {}
    for device_id, its_deliveries in by_device.items():
        for run in _runs(device_id, its_deliveries):
            frames = run.frames
            key = device_id, frames[0].store
            known = usual.get(key)
            count = len(frames)
            if known is not None:
                _cut_before_known(run, set(known.numbers))
            if quota is not None and frames and not quota.spend(device_id, frames[0].sid, run.cost):
                _cut_to_quota(run, quota)
            if frames:
                if anchors.may_be_news(device_id, frames, run.received_at, settled=run.settled):
                    suspects.add(device_id)
                numbers = [frame.seq for frame in frames]
                if known is None:
                    usual[key] = _NewFrames(device_id, key[1], numbers, [run])
                else:
                    known.numbers += numbers
                    known.runs.append(run)
            if len(frames) < count:
                break
    if suspects:
        hints = clock_hints_of(one for one in deliveries if one.device_id in suspects)
        with_news = {anchor.key.device_id for anchor in anchors.news(hints)}
        for key in [key for key in usual if key[0] in with_news]:
            _give_back(quota, usual.pop(key))
    return usual


def _runs(device_id: str, deliveries: Iterable[One]) -> Iterator[_Run[One]]:
    """A device's frames, up to the first that is unreadable."""
    run: _Run[One] | None = None
    for delivery in deliveries:
        frame = delivery.read
        if isinstance(frame, Unreadable):
            break
        if run is not None:
            last = run.frames[-1]
            if (
                frame.seq > last.seq
                and frame.sid.int == last.sid.int
                and frame.boot == last.boot
                and frame.store == last.store
                and delivery.settled is run.settled
            ):
                run.received_at.append(delivery.arrived_at)
                run.frames.append(frame)
                run.deliveries.append(delivery)
                continue
            yield run
        run = _Run(device_id, [delivery.arrived_at], [frame], 0, delivery.settled, [delivery])
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
    for place, frame in enumerate(run.frames):
        if not quota.spend(run.device_id, sid, frame.cost):
            run.cut(place)
            return


def _write(line: psycopg.Connection[Any], usual: Sequence[_NewFrames[One]]) -> None:
    """Write and commit them, and note the ledgers of those that are written."""
    runs: list[_Run[One]] = []
    written: list[_NewFrames[One]] = []
    ledgers: list[NewNumbers] = []
    for frames in usual:
        numbers = frames.numbers
        if len(frames.runs) > 1:
            numbers.sort()
        if numbers[-1] - numbers[0] == len(numbers) - 1:  # nearly always
            as_text = one_range(numbers[0], numbers[-1])
        else:
            ranges = SeqRanges.of_sorted(numbers)
            if ranges.count > MOST_NEW_RANGES:
                continue
            as_text = str(ranges)
        written.append(frames)
        ledgers.append(NewNumbers(frames.device_id, frames.store, as_text))
        for run in frames.runs:
            run.ledger = len(ledgers)
        runs += frames.runs
    if ledgers:
        for place, resolved in write_free_numbers(line, runs, ledgers):
            written[place].resolved = resolved


def _give_back(quota: Reservation | None, frames: _NewFrames[One]) -> None:
    if quota is not None:
        for run in frames.runs:
            quota.give_back(run.device_id, run.frames[0].sid, run.cost)
