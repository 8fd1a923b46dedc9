"""The readings of one channel of a session as SampledData: only where they are asked for by id.

SampledData has one distance between its points. Readings are put on the channel's own pace; where
one is missing stands `E`. Beats have no such pace, so RR intervals are not here.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from cymba.database import line_of
from cymba.errors import NotFound
from cymba.fhir.parts import (
    LOINC,
    Resource,
    coding,
    concept,
    device_id_shown,
    fhir_name,
    observation_category,
    own,
    period,
    quantity,
    reference,
    resource,
)
from cymba.fhir.record import RecordOwner, RecordRow, RowBatch, RowsAsked, Source
from cymba.stimulation.session.queries import get_session, telemetry_of
from cymba.stimulation.session.telemetry import ChannelSeries
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.wire.channels import CHANNELS

_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.raw\.([a-z0-9-]{1,24})")
CHANNEL_BY_SHOWN: Final = {
    fhir_name(name): channel for name, channel in CHANNELS.items() if channel.layout == "sampled"
}
MOST_POINTS: Final = 200_000  # two days at one a second


class Readings(NamedTuple):
    session: StimulationSession
    series: ChannelSeries


def sampled_id(session_id: UUID, channel: str) -> str:
    return f"{session_id}.raw.{fhir_name(channel)}"


def is_sampled(id_: str) -> bool:
    return _ID.fullmatch(id_) is not None


def _read(session: Session, ask: RowsAsked) -> RowBatch:
    rows = []
    for id_ in sorted(ask.wanted.ids or ()):
        found = _ID.fullmatch(id_)
        channel = CHANNEL_BY_SHOWN.get(found[2]) if found else None
        if found is None or channel is None:
            continue
        try:
            of = get_session(session, ask.owner.account_id, UUID(found[1]))
        except NotFound:
            continue
        series = telemetry_of(line_of(session), of, channels=[channel.name]).series
        tests = (*ask.wanted.at, *ask.wanted.updated)
        if series and not tests and ask.after is None:
            rows.append(RecordRow(of.started_at, id_, of.ended_at, None, Readings(of, series[0])))
    return RowBatch(rows, None)


SAMPLED: Final = Source("readings", "sessions", _read)


def of_readings(readings: Readings, owner: RecordOwner) -> Iterator[Resource]:
    of, series = readings
    data = _on_a_grid(series)
    if data is None:
        return
    is_heart_rate = series.channel == "heart_rate_bpm"
    standard = [coding(LOINC, "8867-4")] if is_heart_rate else []
    is_whole = of.state == "ended" and of.completeness == 1 and not of.doubts
    yield resource(
        "Observation",
        sampled_id(of.id, series.channel),
        {
            "partOf": [reference("Procedure", of.id)],
            "status": "final" if is_whole else "preliminary",
            "category": observation_category("vital-signs" if is_heart_rate else "procedure"),
            "code": concept(series.title, *standard, own("channel", series.channel, series.title)),
            "subject": reference("Patient", owner.account_id),
            "effectivePeriod": period(of.started_at, of.ended_at, of.time_zone),
            "device": reference("Device", device_id_shown(of.device_id)),
            "valueSampledData": data,
        },
        updated_at=of.changed_at,
    )


def _on_a_grid(series: ChannelSeries) -> dict[str, Any] | None:
    """None: there are no readings, or too many."""
    is_there = ~np.isnan(series.values)
    offsets, values = series.offset_ms[is_there], series.values[is_there]
    if not len(offsets):
        return None
    steps = np.diff(offsets)
    steps = steps[steps > 0]
    pace_ms = float(np.median(steps)) if len(steps) else 1000.0
    slots = np.rint((offsets - offsets[0]) / pace_ms).astype(int)
    if slots[-1] >= MOST_POINTS:
        return None
    points = ["E"] * (int(slots[-1]) + 1)
    for slot, value in zip(slots, values, strict=True):
        points[slot] = f"{value:g}" if value != int(value) else str(int(value))
    return {
        "origin": quantity(0, series.unit or "1"),
        "period": pace_ms,
        "dimensions": 1,
        "data": " ".join(points),
    }
