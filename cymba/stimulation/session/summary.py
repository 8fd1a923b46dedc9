"""A session's summary: a pure function of the set of its frames and its device's clocks.

So it does not depend on the order of arrival, on duplicates, on batches or on compaction.
Amplitudes are on the scale of one device model, and are never compared across models.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from cymba.devices.charge import Pulse, Waveform
from cymba.devices.clocks import DeviceClocks, TimeSource, from_ms
from cymba.devices.models import Reports
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session.counters import counts_of
from cymba.stimulation.session.dose import dose
from cymba.stimulation.session.hrv import variability
from cymba.stimulation.session.made_up import KNOWS_ALL, without_made_up
from cymba.stimulation.session.timeline import timeline
from cymba.stimulation.session.timing import place
from cymba.stimulation.wire.messages import EndFrame, EventFrame, SamplesFrame, StartFrame

RECTANGULAR = Pulse()
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
        "rr_ms",
    }
)


DOUBTS: dict[str, str] = {
    "starts_twice": "two starts came under its id: it may be two sessions in one",
    "clock_falls": "its device's clock fell without a new boot: its parts may lie further apart",
    "counter_falls": "a counter of charge or pulses fell without a reboot: its highest counts",
}
"""What frames say of a session that contradicts itself, so that a figure may be wrong."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The derived columns of `stimulation_session`, by the same names."""

    state: Literal["open", "ended"]
    started_at: datetime
    ended_at: datetime
    time_source: TimeSource
    time_error_ms: int
    end_reason: str | None
    programme: dict[str, Any] | None
    frames_stored: int
    frames_expected: int | None
    completeness: float | None
    sample_count: int
    stimulating_s: float | None
    contact_lost_s: float
    delivered_charge_uc: float | None
    pulses: int | None
    mean_amplitude_ua: float | None
    max_amplitude_ua: int | None
    mean_native_level: float | None
    max_native_level: int | None
    mean_amplitude_over_threshold: float | None
    mean_impedance_ohm: float | None
    start_impedance_ohm: float | None
    heart_rate_before_bpm: float | None
    heart_rate_during_bpm: float | None
    rmssd_ms: float | None
    rr_artefact_share: float | None
    event_count: int
    boots: list[int]
    doubts: list[str]  # names of `DOUBTS`


def summarise(
    frames: Sequence[ReadFrame],
    clocks: DeviceClocks,
    *,
    silent: bool,
    waveform: Waveform | None = RECTANGULAR,
    reports: Reports = KNOWS_ALL,
) -> Summary:
    """Aggregate a session of at least one frame. `waveform` and `reports` are its model's.

    `silent` says that nothing of the session has arrived for so long that it counts as ended even
    without an end frame. Its reason is then unknown.
    """
    frames = without_made_up(frames, reports)
    timing = place(frames, clocks)
    ordered = sorted(frames, key=lambda r: (timing.at_ms(r.frame), r.frame.store, r.frame.seq))
    samples = timeline(ordered, timing, SUMMED_CHANNELS)
    start = _start(ordered)
    programme = None if start is None else start.programme
    end = _end(ordered)
    expected = None if end is None else _expected(ordered, end)
    counts = counts_of(samples, (start and start.counters) or {})
    is_whole = expected == len(ordered)
    given = dose(
        samples,
        ordered,
        timing,
        programme,
        waveform,
        counts=counts,
        has_marks=start is not None and (is_whole or reports.current == "unknown"),
    )
    beats = samples.beats.get("rr_ms")
    heart = variability(beats.values, beats.follows) if beats else None
    started_ms = timing.at_ms(ordered[0].frame)
    threshold = programme.sensory_threshold_ua if programme else None
    doubts = {
        "starts_twice": sum(isinstance(read.frame, StartFrame) for read in ordered) > 1,
        "clock_falls": timing.falls,
        "counter_falls": any(count.falls for count in counts.values()),
    }
    return Summary(
        state="ended" if end is not None or silent else "open",
        started_at=from_ms(started_ms),
        ended_at=from_ms(max(timing.last_ms(read.frame) for read in ordered)),
        time_source=timing.source,
        time_error_ms=timing.error_ms,
        end_reason=end.reason if end is not None else "unknown_inferred" if silent else None,
        programme=msgspec.to_builtins(programme) if programme else None,
        frames_stored=len(ordered),
        frames_expected=expected,
        completeness=None if expected is None else len(ordered) / expected,
        sample_count=sum(r.frame.n for r in ordered if isinstance(r.frame, SamplesFrame)),
        stimulating_s=given.stimulating_s,
        contact_lost_s=given.contact_lost_s,
        delivered_charge_uc=given.delivered_charge_uc,
        pulses=given.pulses,
        mean_amplitude_ua=given.mean_amplitude_ua,
        max_amplitude_ua=given.max_amplitude_ua,
        mean_native_level=given.mean_native_level,
        max_native_level=given.max_native_level,
        mean_amplitude_over_threshold=(
            given.mean_amplitude_ua / threshold
            if given.mean_amplitude_ua is not None and threshold
            else None
        ),
        mean_impedance_ohm=given.mean_impedance_ohm,
        start_impedance_ohm=given.start_impedance_ohm,
        heart_rate_before_bpm=given.heart_rate_before_bpm,
        heart_rate_during_bpm=given.heart_rate_during_bpm,
        rmssd_ms=heart.rmssd_ms if heart else None,
        rr_artefact_share=heart.artefact_share if heart else None,
        event_count=sum(isinstance(read.frame, EventFrame) for read in ordered),
        boots=sorted({read.frame.boot for read in ordered}),
        doubts=[name for name, stands in doubts.items() if stands],
    )


def _start(ordered: Sequence[ReadFrame]) -> StartFrame | None:
    """What the session began with."""
    return next((read.frame for read in ordered if isinstance(read.frame, StartFrame)), None)


def _end(ordered: Sequence[ReadFrame]) -> EndFrame | None:
    """The last end frame: the one with the highest seq of its store. With several stores (a factory
    reset during the session) it is the one that is latest in time."""
    ends = [read.frame for read in ordered if isinstance(read.frame, EndFrame)]
    if not ends:
        return None
    return max((end for end in ends if end.store == ends[-1].store), key=lambda end: end.seq)


def _expected(ordered: Iterable[ReadFrame], end: EndFrame) -> int:
    """How many frames the session has: those the end frame covers, and any others stored."""
    besides = sum(
        read.frame.store != end.store or not end.first_seq <= read.frame.seq <= end.last_seq
        for read in ordered
    )
    return end.last_seq - end.first_seq + 1 + besides
