"""Figures that a session's model cannot know: a device that sends them has made them up.

What nobody measured is not shown. The frames are kept as they came, and an export has them whole;
whatever shows a session to its person, or computes from it, reads them through here.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from msgspec.structs import asdict, replace

from cymba.devices.catalogue import model_by_device
from cymba.devices.models import Reports
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.wire.messages import EventFrame, Frame, SamplesFrame, StartFrame

KNOWS_ALL = Reports(current="known", frequency="known", pulse_width="known")
_OF_A_CURRENT = frozenset(
    {
        "amplitude_ua",
        "amplitude_delivered_ua",
        "charge_uc",
        "ramp_ua_per_s",
        "sensory_threshold_ua",
    }
)


def unknown_to(reports: Reports) -> frozenset[str]:
    """The channels, and members of a programme or an event, that a model cannot know."""
    groups = (
        (reports.current != "known", _OF_A_CURRENT),
        (reports.current == "unknown", {"native_level"}),
        (reports.frequency != "known", {"frequency_hz"}),
        (reports.pulse_width != "known", {"pulse_width_us"}),
    )
    return frozenset(name for is_unknown, names in groups if is_unknown for name in names)


def reports_of(line: psycopg.Connection[Any], device_id: str) -> Reports:
    model = model_by_device(line, device_id)
    return model.reports if model else KNOWS_ALL


def without_made_up(frames: Iterable[ReadFrame], reports: Reports) -> Sequence[ReadFrame]:
    """The frames without what a model that reports `reports` cannot know."""
    unknown = unknown_to(reports)
    if not unknown:
        return list(frames)
    return [ReadFrame(without_unknown(read.frame, unknown), read.received_at) for read in frames]


def without_unknown(frame: Frame, unknown: frozenset[str]) -> Frame:
    match frame:
        case StartFrame():
            given = frame.programme
            left_out: dict[str, Any] = dict.fromkeys(asdict(given).keys() & unknown)
            return replace(frame, programme=replace(given, **left_out))
        case SamplesFrame() if frame.c.keys() & unknown:
            return replace(frame, c={n: c for n, c in frame.c.items() if n not in unknown})
        case EventFrame() if frame.event.detail and frame.event.detail.keys() & unknown:
            detail = {n: v for n, v in frame.event.detail.items() if n not in unknown}
            return replace(frame, event=replace(frame.event, detail=detail or None))
    return frame
