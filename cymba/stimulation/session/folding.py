"""A session's sums so far, into which the next frame is folded at a cost that does not depend on
what came before.

They are over the device's own time, boot by boot, so no news of its clock changes them. A frame
that does not simply follow (late, or before what is summed) cannot be folded in: then all frames
are folded anew. Both ways give the same sums, to the last digit.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct, field

from cymba.devices.clocks import DeviceClocks, to_ms
from cymba.devices.messages import Programme
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session.dose import MARKS, Dose, Held
from cymba.stimulation.session.hrv import BeatSums
from cymba.stimulation.session.made_up import without_unknown
from cymba.stimulation.session.timing import BootKey, BootSpan, by_boot, placed, span_of
from cymba.stimulation.wire.messages import EndFrame, EventFrame, Frame, SamplesFrame, StartFrame

VERSION = 1
"""Raise it with any change of what is summed, or how: sums of another version are made anew."""

MOST_KEPT_BYTES = 64 * 1024  # of a session with more (thousands of boots) no sums are kept

_BEATS = "rr_ms"
# The channels that go into a summary. The others are stored and shown only.
SUMMED_CHANNELS = frozenset(
    {
        "amplitude_ua",
        "amplitude_delivered_ua",
        "native_level",
        "impedance_ohm",
        "charge_uc",
        "pulses",
        "heart_rate_bpm",
        _BEATS,
    }
)


class End(Struct, array_like=True):
    """The end frame that holds."""

    store: int
    reason: str
    first_seq: int
    last_seq: int

    def covers(self, frame: Frame) -> bool:
        return frame.store == self.store and self.first_seq <= frame.seq <= self.last_seq


class SessionSums(Struct, array_like=True):
    """What a summary is made of, but for the clocks."""

    version: int
    unknown: list[str]  # what its model cannot know
    low_seq: int = 0
    high_seq: int = 0
    frames: int = 0
    came_from_ms: float = math.inf  # when the first of it arrived
    samples: int = 0
    events: int = 0
    starts: int = 0
    programme: Programme | None = None
    counters: dict[str, int] = field(default_factory=dict)  # where they stood at the start
    end: End | None = None
    besides_end: int = 0  # frames that the end does not speak of
    boots: list[BootSpan] = field(default_factory=list)  # the last one is under way
    dose: Dose = field(default_factory=Dose)
    beats: BeatSums = field(default_factory=BeatSums)

    def follows(self, frame: Frame) -> bool:
        """Whether the frame, whose number is higher than all, comes after all that is summed."""
        span = self.boots[-1]
        if frame.store != span.store or frame.boot < span.boot:
            return False
        if isinstance(frame, EndFrame):  # which frames it leaves out is known of all or none
            fits = frame.first_seq <= self.low_seq and frame.seq <= frame.last_seq
        else:
            fits = not isinstance(frame, StartFrame)
        return fits and (frame.boot > span.boot or self._follows_in_boot(frame))

    def _follows_in_boot(self, frame: Frame) -> bool:
        span = self.boots[-1]
        up = span.next_up(frame.up)
        match frame:
            case SamplesFrame():
                return up >= span.low and self.dose.takes_samples(up)
            case EventFrame() if frame.event.name in MARKS:
                return up >= span.low and self.dose.takes_mark(up)
            case _:
                return up >= span.low

    def fold(self, read: ReadFrame) -> None:
        """Add a frame that `follows`."""
        frame = without_unknown(read.frame, frozenset(self.unknown))
        if frame.boot > self.boots[-1].boot:
            self.begin_boot(BootSpan(frame.store, frame.boot, frame.up))
        self.high_seq = frame.seq
        if isinstance(frame, EndFrame):
            self.end = _end(frame)
            self.besides_end = 0
        self.count(frame)
        self.sum(frame, self.boots[-1].add(frame, to_ms(read.received_at)))

    def begin_boot(self, span: BootSpan) -> None:
        self.end_boot()
        self.boots.append(span)

    def end_boot(self) -> None:
        if self.boots:
            self.dose.end_boot(self.boots[-1].low, self.boots[-1].high, self.counters)
            self.beats.reboot()

    def count(self, frame: Frame) -> None:
        self.frames += 1
        self.events += isinstance(frame, EventFrame)
        self.starts += isinstance(frame, StartFrame)
        self.samples += frame.n if isinstance(frame, SamplesFrame) else 0
        self.besides_end += self.end is not None and not self.end.covers(frame)

    def sum(self, frame: Frame, up: int) -> None:
        """The next frame of the boot by its time."""
        match frame:
            case EventFrame() if frame.event.name in MARKS:
                self.dose.mark(up, frame.event.name)
            case SamplesFrame():
                columns = _columns(frame)
                self.beats.add_frame(up, frame.dt, frame.n, columns.pop(_BEATS, None))
                self.dose.samples(Held(up, frame.dt, frame.n, columns), self.counters)


def sums_of(
    frames: Iterable[ReadFrame], clocks: DeviceClocks, unknown: Collection[str]
) -> SessionSums:
    """The sums of a session's frames (at least one), in one pass: a function of the set of them.

    The boots of a store come one after another. `clocks` decide only which of several stores was
    first: a factory reset within a session.
    """
    left_out = frozenset(unknown)
    sums = SessionSums(VERSION, sorted(left_out))
    spans: dict[BootKey, BootSpan] = {}
    timed: dict[BootKey, list[tuple[int, Frame]]] = {}
    for key, reads in by_boot(frames).items():
        spans[key], ups = span_of(reads)
        of_boot = [
            (up, without_unknown(read.frame, left_out)) for up, read in zip(ups, reads, strict=True)
        ]
        timed[key] = sorted(of_boot, key=lambda one: (one[0], one[1].seq))
        came_ms = min(to_ms(read.received_at) for read in reads)
        sums.came_from_ms = min(sums.came_from_ms, came_ms)
    order = _in_order(spans, clocks)
    every = [frame for key in order for _, frame in timed[key]]
    sums.low_seq, sums.high_seq = min(f.seq for f in every), max(f.seq for f in every)
    _begin(sums, every)
    for frame in every:
        sums.count(frame)
    for key in order:
        sums.begin_boot(spans[key])
        _sum_boot(sums, timed[key])
    return sums


def kept(sums: SessionSums) -> bytes | None:
    """As `recall` reads them; None if the next frame has to be summed with all others."""
    if len({span.store for span in sums.boots}) > 1:
        return None
    written = _ENCODER.encode(sums)
    return written if len(written) <= MOST_KEPT_BYTES else None


def fold_on(sums: SessionSums, reads: Iterable[ReadFrame]) -> bool:
    """Fold in the frames that came since, in the order of their numbers.

    False if one does not follow: then these sums are of no use, and it takes all frames.
    """
    for read in reads:
        if not sums.follows(read.frame):
            return False
        sums.fold(read)
    return True


def recall(written: bytes, unknown: Collection[str]) -> SessionSums | None:
    """None if they were written by other code, or for a model that knew more or less."""
    try:
        sums = _DECODER.decode(written)
    except msgspec.MsgspecError:
        return None
    return sums if (sums.version, sums.unknown) == (VERSION, sorted(unknown)) else None


def _in_order(spans: Mapping[BootKey, BootSpan], clocks: DeviceClocks) -> list[BootKey]:
    """A store's boots by their numbers, and the stores by when they were first written to."""
    began_ms: dict[int, int] = {}
    if len({store for store, _ in spans}) > 1:
        timing = placed(spans.values(), clocks)
        for span in spans.values():
            low_ms = timing.span_ms(span)[0]
            began_ms[span.store] = min(began_ms.get(span.store, low_ms), low_ms)
    return sorted(spans, key=lambda key: (began_ms.get(key[0], 0), key))


def _begin(sums: SessionSums, ordered: Iterable[Frame]) -> None:
    """What the session began with, and how it ended."""
    starts = [frame for frame in ordered if isinstance(frame, StartFrame)]
    if starts:
        sums.programme, sums.counters = starts[0].programme, starts[0].counters or {}
    ends = [frame for frame in ordered if isinstance(frame, EndFrame)]
    if ends:
        of_store = [end for end in ends if end.store == ends[-1].store]
        sums.end = _end(max(of_store, key=attrgetter("seq")))


def _end(frame: EndFrame) -> End:
    return End(frame.store, frame.reason, frame.first_seq, frame.last_seq)


def _sum_boot(sums: SessionSums, timed: Sequence[tuple[int, Frame]]) -> None:
    marks = [one for one in timed if isinstance(one[1], EventFrame)]
    samples = [(up, frame) for up, frame in timed if isinstance(frame, SamplesFrame)]
    for up, frame in marks:
        sums.sum(frame, up)
    if all(_last_up(one) <= after[0] for one, after in pairwise(samples)):
        for up, frame in samples:
            sums.sum(frame, up)
        return
    # Frames overlap: two boots under one number, or a clock that was set back.
    for up, frame in samples:
        sums.beats.add_frame(up, frame.dt, frame.n, _columns(frame).pop(_BEATS, None))
    apart = [
        (up + i * frame.dt, number, i)
        for number, (up, frame) in enumerate(samples)
        for i in range(frame.n)
    ]
    for at, number, i in sorted(apart):
        frame = samples[number][1]
        columns = {
            name: _plain(column[i : i + 1])
            for name, column in frame.c.items()
            if name in SUMMED_CHANNELS and name != _BEATS and len(column)
        }
        sums.dose.samples(Held(at, frame.dt, 1, columns), sums.counters)


def _last_up(placed_samples: tuple[int, SamplesFrame]) -> int:
    up, frame = placed_samples
    return up + (frame.n - 1) * frame.dt


def _columns(frame: SamplesFrame) -> dict[str, list[int | None]]:
    return {name: _plain(column) for name, column in frame.c.items() if name in SUMMED_CHANNELS}


def _plain(column: Any) -> list[int | None]:
    """The column as it was sent, if it was read as an array."""
    if isinstance(column, list):
        return column
    return [None if math.isnan(value) else int(value) for value in column.tolist()]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(SessionSums)
