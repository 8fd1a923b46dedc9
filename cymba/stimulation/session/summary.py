"""A session's summary: a pure function of the set of its frames and its device's clocks.

So it does not depend on the order of arrival, on duplicates, on batches or on compaction. It is
made of the session's sums (`session/folding.py`), which may be kept between two of its frames.
Amplitudes are on the scale of one device model, and are never compared across models.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from cymba.devices.charge import Pulse, Waveform
from cymba.devices.clocks import DeviceClocks, TimeSource, from_ms
from cymba.devices.models import Reports
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session.folding import SessionSums, sums_of
from cymba.stimulation.session.made_up import KNOWS_ALL, unknown_to
from cymba.stimulation.session.timing import placed

RECTANGULAR = Pulse()

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
    frames: Iterable[ReadFrame],
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
    sums = sums_of(frames, clocks, unknown_to(reports))
    return summed_up(sums, clocks, silent=silent, waveform=waveform, reports=reports)


def summed_up(
    sums: SessionSums,
    clocks: DeviceClocks,
    *,
    silent: bool,
    waveform: Waveform | None,
    reports: Reports,
) -> Summary:
    """The summary of these sums, which are used up by it."""
    sums.end_boot()
    timing = placed(sums.boots, clocks)
    spans_ms = [timing.span_ms(span) for span in sums.boots]
    end, programme, given = sums.end, sums.programme, sums.dose
    expected = None if end is None else end.last_seq - end.first_seq + 1 + sums.besides_end
    is_whole = expected == sums.frames
    has_marks = sums.starts > 0 and (is_whole or reports.current == "unknown")
    before_bpm, during_bpm = given.heart_rates(has_marks=has_marks)
    mean_ua = given.current_ua.value()
    threshold = programme.sensory_threshold_ua if programme else None
    doubts = {
        "starts_twice": sums.starts > 1,
        "clock_falls": timing.falls,
        "counter_falls": given.charge_uc.falls or given.pulses.falls,
    }
    return Summary(
        state="ended" if end is not None or silent else "open",
        started_at=from_ms(min(min(span) for span in spans_ms)),
        ended_at=from_ms(max(max(span) for span in spans_ms)),
        time_source=timing.source,
        time_error_ms=timing.error_ms,
        end_reason=end.reason if end is not None else "unknown_inferred" if silent else None,
        programme=msgspec.to_builtins(programme) if programme else None,
        frames_stored=sums.frames,
        frames_expected=expected,
        completeness=None if expected is None else sums.frames / expected,
        sample_count=sums.samples,
        stimulating_s=given.stimulating_s(has_marks=has_marks),
        contact_lost_s=given.lost.total_ms / 1000,
        delivered_charge_uc=given.delivered_charge_uc(programme, waveform),
        pulses=given.delivered_pulses(programme),
        mean_amplitude_ua=mean_ua,
        max_amplitude_ua=given.current_ua.highest,
        mean_native_level=given.level.value(),
        max_native_level=given.level.highest,
        mean_amplitude_over_threshold=mean_ua / threshold if mean_ua and threshold else None,
        mean_impedance_ohm=given.impedance_ohm.value(),
        start_impedance_ohm=given.start_ohm,
        heart_rate_before_bpm=before_bpm,
        heart_rate_during_bpm=during_bpm,
        rmssd_ms=sums.beats.rmssd_ms,
        rr_artefact_share=sums.beats.artefact_share,
        event_count=sums.events,
        boots=sorted({span.boot for span in sums.boots}),
        doubts=[name for name, stands in doubts.items() if stands],
    )
