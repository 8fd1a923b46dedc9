"""What becomes a data point. A meaning is never made stronger: what no schema says is left out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import numpy as np

from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry
from cymba.fhir.parts import date_time
from cymba.imports.found import FoundReading
from cymba.open_mhealth.points import (
    HEART_RATE,
    RR_INTERVAL,
    SLEEP_EPISODE,
    TIME_IN_BED,
    TOTAL_SLEEP_TIME,
    BodySchema,
    DataPoint,
    data_point,
    time_frame,
    value_of,
)
from cymba.stimulation.session.telemetry import ChannelSeries, Telemetry
from cymba.stimulation.tables import StimulationSession

MINUTE_MS: Final = 60_000
BPM: Final = "beats/min"


@dataclass(frozen=True, slots=True)
class _Channel:
    """`is_span`: a value is a time in ms, which ended when the reading is."""

    schema: BodySchema
    measure: str
    unit: str
    is_span: bool = False


CHANNELS: Final[Mapping[str, _Channel]] = {
    "heart_rate_bpm": _Channel(HEART_RATE, "heart_rate", BPM),
    "rr_ms": _Channel(RR_INTERVAL, "rr_interval", "ms", is_span=True),
}


@dataclass(frozen=True, slots=True)
class _Brought:
    """`measure` is of the reading's value, or of its length in minutes; None: the body has none."""

    schema: BodySchema
    measure: str | None = None
    unit: str = "min"
    besides: Mapping[str, Any] = field(default_factory=dict)


# By kind and stage. Stretches asleep or in one stage are no total sleep time, which is of a whole
# night. For SDNN and RMSSD there is no schema.
BROUGHT: Final[Mapping[tuple[str, str | None], _Brought]] = {
    ("heart_rate", None): _Brought(HEART_RATE, "heart_rate", BPM),
    ("resting_heart_rate", None): _Brought(
        HEART_RATE,
        "heart_rate",
        BPM,
        {"temporal_relationship_to_physical_activity": "at rest"},
    ),
    ("sleep", "session"): _Brought(SLEEP_EPISODE),
    ("sleep", "in_bed"): _Brought(TIME_IN_BED, "time_in_bed"),
}


def of_session(of: StimulationSession, owner: UUID, telemetry: Telemetry) -> Iterator[DataPoint]:
    """The average of each minute that has readings. All readings are beside them as Parquet."""
    origin = {
        "session_id": str(of.id),
        "time_source": of.time_source,
        "time_error_ms": of.time_error_ms,
    }
    for series in telemetry.series:
        about = CHANNELS[series.channel]
        for begin_ms, end_ms, value, count in _minutes(series, is_span=about.is_span):
            begin, end = (
                telemetry.started_at + timedelta(milliseconds=at) for at in (begin_ms, end_ms)
            )
            body = {
                about.measure: value_of(value, about.unit),
                "effective_time_frame": time_frame(begin, end, of.time_zone),
            }
            yield data_point(
                owner,
                about.schema,
                body if count == 1 else body | {"descriptive_statistic": "average"},
                row=str(of.id),
                created_at=date_time(end, of.time_zone),
                origin=origin,
                modality="sensed",
            )


def _minutes(series: ChannelSeries, *, is_span: bool) -> Iterator[tuple[float, int, float, int]]:
    """Of each minute: from when to when there are readings, their mean, and how many they are."""
    is_there = ~np.isnan(series.values)
    at_ms, values = series.offset_ms[is_there], series.values[is_there]
    borders = np.flatnonzero(np.diff(at_ms // MINUTE_MS, prepend=-1, append=-1))
    for first, end in pairwise(borders):
        began_ms = float(at_ms[first]) - (float(values[first]) if is_span else 0)
        mean = round(float(values[first:end].mean()), 1)
        yield began_ms, int(at_ms[end - 1]), mean, int(end - first)


def of_entry(entry: DiaryEntry, owner: UUID) -> Iterator[DataPoint]:
    """Hours slept, of the time that the item asks about: it does not ask from when to when."""
    item, hours = ITEMS["sleep_hours"], entry.items.get("sleep_hours")
    if hours is None:
        return
    asked_of = timedelta(days=item.recall_days or 0)
    written_at = entry.written_at if entry.version == 1 else entry.changed_at
    yield data_point(
        owner,
        TOTAL_SLEEP_TIME,
        {
            "total_sleep_time": value_of(hours, "h"),
            "effective_time_frame": time_frame(
                entry.felt_at - asked_of, entry.felt_at, entry.time_zone
            ),
        },
        row=str(entry.id),
        created_at=date_time(written_at, entry.time_zone),
        origin={"diary_entry_id": str(entry.id), "version": entry.version},
        modality="self-reported",
    )


def of_reading(reading: FoundReading, owner: UUID) -> Iterator[DataPoint]:
    """Whether a sensor or the person said it is not known of an import."""
    about = BROUGHT.get((reading.kind, reading.stage))
    if about is None:
        return
    body = dict(about.besides)
    if about.measure is not None:
        minutes = (reading.ended_at - reading.started_at) / timedelta(minutes=1)
        value = minutes if reading.value is None else reading.value
        body[about.measure] = value_of(value, about.unit)
    body["effective_time_frame"] = time_frame(reading.started_at, reading.ended_at)
    yield data_point(
        owner,
        about.schema,
        body,
        row=reading.digest.hex(),
        created_at=date_time(reading.ended_at),
        origin={"import_source": reading.source or None},
        modality=None,
    )
