import csv
import io
import re
from datetime import datetime

import pyarrow as pa
import pytest

from cymba.stimulation.session import queries
from cymba.stimulation.session import telemetry as channels_over_time

CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def worn(wear, person):
    ramp = [100 * i for i in range(60)]
    impedance = [3000, *[None] * 5, *[3100] * 54]
    return (
        wear(person)
        .samples(60, amplitude_ua=ramp, impedance_ohm=impedance, rr_ms=[800] * 70)
        .samples(60, amplitude_ua=[6000] * 60, impedance_ohm=[3100] * 60, mystery_x=[7] * 60)
        .end()
        .sum_up()
    )


@pytest.fixture
def read(client, worn, person):
    def telemetry(accept=None, **query):
        headers = {**person.headers, **({"Accept": accept} if accept else {})}
        path = f"/v1/sessions/{worn.id}/telemetry"
        return client.get(path, query_string=query, headers=headers)

    return telemetry


def by_channel(response):
    assert response.status_code == 200
    return {series["channel"]: series for series in response.json["series"]}


def test_columns_are_in_the_unit_that_stands_beside_them_and_in_their_name(read):
    series = by_channel(read())
    assert series["amplitude_ua"]["unit"] == "uA"
    assert (series["amplitude_ua"]["shown_unit"], series["amplitude_ua"]["scale"]) == ("mA", 1000)
    assert series["amplitude_ua"]["values"][:3] == [0.0, 100.0, 200.0]
    assert series["amplitude_ua"]["offset_ms"][:3] == [0, 1000, 2000]
    assert series["impedance_ohm"]["values"][:3] == [3000.0, None, 3100.0]
    assert series["rr_ms"]["unit"] == "ms"
    assert series["mystery_x"]["unit"] is None
    assert series["mystery_x"]["values"] == [7.0] * 60


def test_channels_points_and_time_narrow_the_answer(read):
    assert set(by_channel(read(channels="rr_ms,amplitude_ua"))) == {"rr_ms", "amplitude_ua"}
    thinned = by_channel(read(channels="amplitude_ua", points=20))["amplitude_ua"]
    assert len(thinned["values"]) <= 20
    assert (min(thinned["values"]), max(thinned["values"])) == (0.0, 6000.0)
    assert by_channel(read(channels="no_such_channel")) == {}
    started_at = read().json["started_at"]
    assert by_channel(read(to=started_at))["amplitude_ua"]["values"] == []


def test_csv_and_arrow_tell_the_same_as_json(read):
    told = [
        (one["channel"], offset, value)
        for one in read().json["series"]
        for offset, value in zip(one["offset_ms"], one["values"], strict=True)
    ]
    text = read(CSV)
    assert text.mimetype == CSV
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert list(rows[0]) == ["channel", "unit", "at", "offset_ms", "value"]
    assert [
        (r["channel"], int(r["offset_ms"]), float(r["value"]) if r["value"] else None) for r in rows
    ] == told
    started_at = read().json["started_at"]
    assert datetime.fromisoformat(rows[0]["at"]) == datetime.fromisoformat(started_at)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rows[0]["at"])
    stream = read(ARROW)
    assert stream.mimetype == ARROW
    table = pa.ipc.open_stream(stream.data).read_all()
    columns = [table[name].to_pylist() for name in ("channel", "offset_ms", "value")]
    assert list(zip(*columns, strict=True)) == told
    assert table.schema.metadata == {b"started_at": started_at.encode()}
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["offset_ms"], types["value"]) == ("int32", "float")


@pytest.mark.parametrize("accept", [CSV, ARROW])
def test_nothing_is_a_table_too(read, accept):
    empty = read(accept, channels="no_such_channel")
    assert empty.status_code == 200
    if accept == CSV:
        assert empty.text.count("\n") == 1
    else:
        assert pa.ipc.open_stream(empty.data).read_all().num_rows == 0


@pytest.mark.parametrize(
    ("accept", "query", "expected"),
    [
        (None, {}, "application/json"),
        ("*/*", {}, "application/json"),
        ("text/*", {}, CSV),
        ("text/csv;q=0.5, application/json;q=0.4", {}, CSV),
        ("application/json", {"format": "csv"}, CSV),
        (None, {"format": "arrow"}, ARROW),
    ],
)
def test_the_format_is_chosen_by_name_or_by_header(read, accept, query, expected):
    response = read(accept, **query)
    assert response.mimetype == expected
    assert "accept" in response.vary


def test_a_format_that_cannot_be_made_is_refused(read):
    assert read("image/png").status_code == 406
    assert read(format="xml").status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        {"points": 9},
        {"points": 100_001},
        {"channels": ""},
        {"channels": "a,,b"},
        {"channels": "A"},
        {"channels": "a\0"},
        {"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"},
    ],
)
def test_queries_that_mean_nothing_are_refused(read, query):
    assert read(**query).status_code == 422


def test_each_format_has_its_own_tag(read, client, worn, person):
    tags = {read(accept).headers["ETag"] for accept in ("application/json", CSV, ARROW)}
    assert len(tags) == 3
    headers = {**person.headers, "If-None-Match": ", ".join(tags)}
    path = f"/v1/sessions/{worn.id}/telemetry"
    assert client.get(path, headers=headers).status_code == 304


def test_an_answer_holds_so_many_readings_and_channels_and_no_more(read, monkeypatch):
    monkeypatch.setattr(channels_over_time, "MOST_READINGS", 150)
    refused = read()
    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json["errors"]] == ["/points"]
    assert read(points=20).status_code == 200
    assert read(channels="rr_ms").status_code == 200
    monkeypatch.setattr(queries, "MOST_CHANNELS", 2)
    refused = read(points=20)
    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json["errors"]] == ["/channels"]
    assert read(channels="rr_ms,mystery_x").status_code == 200
