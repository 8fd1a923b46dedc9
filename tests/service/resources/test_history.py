"""History by local days over HTTP; the tables are written by hand."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def berliner(make_person):
    return make_person(time_zone="Europe/Berlin")


@pytest.fixture
def read(client):
    def history(person, **query):
        response = client.get("/v1/history", query_string=query, headers=person.headers)
        assert response.status_code == 200
        return response.json["items"]

    return history


@pytest.fixture
def sessions_at(wear, hold):
    def make(person, *times):
        device_id = hold(person)
        for time in times:
            wear(person, device_id=device_id, at=at(time)).samples(60).end().sum_up()

    return make


def test_the_day_that_has_23_hours(read, sessions_at, berliner):
    # Berlin, 2026-03-29: at 02:00 the clocks go to 03:00, so the day begins at 23:00 UTC and
    # ends at 22:00 UTC.
    sessions_at(
        berliner,
        "2026-03-28T22:30:00",  # 23:30 on the 28th
        "2026-03-28T23:30:00",  # 00:30 on the 29th
        "2026-03-29T21:30:00",  # 23:30 on the 29th
        "2026-03-29T22:30:00",  # 00:30 on the 30th
    )
    items = read(berliner, **{"from": "2026-03-28", "to": "2026-03-30"})
    assert [(item["first_day"], item["sessions"]) for item in items] == [
        ("2026-03-28", 1),
        ("2026-03-29", 2),
        ("2026-03-30", 1),
    ]


def test_the_day_that_has_25_hours(read, sessions_at, berliner):
    # Berlin, 2026-10-25: 02:30 comes twice; the day lasts from 22:00 UTC to 23:00 UTC.
    sessions_at(
        berliner,
        "2026-10-24T21:30:00",  # 23:30 on the 24th
        "2026-10-25T00:30:00",  # 02:30, the first
        "2026-10-25T01:30:00",  # 02:30, the second
        "2026-10-25T22:30:00",  # 23:30 on the 25th
        "2026-10-25T23:30:00",  # 00:30 on the 26th
    )
    items = read(berliner, **{"from": "2026-10-24", "to": "2026-10-26"})
    assert [item["sessions"] for item in items] == [1, 3, 1]


def test_weeks_begin_on_monday_and_periods_are_whole(read, sessions_at, person):
    sessions_at(person, "2026-03-01T12:00:00", "2026-03-02T12:00:00", "2026-03-08T12:00:00")
    weeks = read(person, period="week", **{"from": "2026-03-01", "to": "2026-03-03"})
    assert [(w["first_day"], w["last_day"], w["sessions"]) for w in weeks] == [
        ("2026-02-23", "2026-03-01", 1),
        ("2026-03-02", "2026-03-08", 2),
    ]
    months = read(person, period="month", **{"from": "2026-02-10", "to": "2026-03-01"})
    assert [(m["first_day"], m["last_day"], m["sessions"]) for m in months] == [
        ("2026-02-01", "2026-02-28", 0),
        ("2026-03-01", "2026-03-31", 3),
    ]


def test_no_session_and_not_uploaded_yet_differ(read, sessions_at, person):
    sessions_at(person, "2026-03-01T12:00:00", "2026-03-03T12:00:00")
    items = read(person, **{"from": "2026-03-01", "to": "2026-03-04"})
    assert [item["sessions"] for item in items] == [1, 0, 1, None]
    assert [item["stimulating_min"] is None for item in items] == [False, False, False, True]
    assert items[1]["stimulating_min"] == 0


def test_without_days_it_answers_for_the_last_ones(read, person):
    assert len(read(person)) == 30
    assert len(read(person, period="week")) in {13, 14}
    assert len(read(person, period="month")) in {12, 13}


@pytest.mark.parametrize(
    "query",
    [
        {"period": "year"},
        {"from": "2026-3-1"},
        {"from": "2026-02-30"},
        {"from": "1999-12-31"},
        {"to": "2200-01-01"},
        {"to": "20260301"},
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "2000-01-01", "to": "2026-03-01"},
        {"zone": "UTC"},
    ],
)
def test_queries_that_mean_nothing_are_refused(client, person, query):
    response = client.get("/v1/history", query_string=query, headers=person.headers)
    assert response.status_code == 422
    assert response.json["errors"][0]["parameter"] in query


def put_entry(client, person, felt_at, zone, **items):
    body = {"felt_at": felt_at, "time_zone": zone, "items": items}
    put = client.put(f"/v1/diary/{uuid4()}", json=body, headers=person.headers)
    assert put.status_code == 201, put.json


def test_symptoms_stand_beside_what_was_done(client, read, berliner):
    put_entry(client, berliner, "2026-03-02T07:00:00Z", "Europe/Berlin", pain_now=4, mood=6)
    put_entry(
        client,
        berliner,
        "2026-03-02T19:00:00Z",
        "Europe/Berlin",
        pain_now=7,
        cough={"severity": "mild"},
    )
    put_entry(client, berliner, "2026-03-02T23:30:00Z", "Europe/Berlin", pain_now=9)  # the 3rd
    days = read(berliner, **{"from": "2026-03-01", "to": "2026-03-03"})
    assert [day["symptoms"] for day in days] == [
        [],
        [
            {"item": "pain_now", "mean": 5.5, "ratings": 2},
            {"item": "mood", "mean": 6.0, "ratings": 1},
        ],
        [{"item": "pain_now", "mean": 9.0, "ratings": 1}],
    ]
    (week,) = read(berliner, period="week", **{"from": "2026-03-02", "to": "2026-03-08"})
    assert week["symptoms"][0]["ratings"] == 3


def test_a_share_of_sessions_shows_no_symptom(client, berliner):
    put_entry(client, berliner, "2026-03-02T07:00:00Z", "Europe/Berlin", pain_now=4)
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    wanted = {"label": "Dr. Blue", "scopes": ["sessions"], "expires_at": until}
    shared = client.post("/v1/shares", json=wanted, headers=berliner.headers)
    assert shared.status_code == 201
    headers = {"Authorization": f"Bearer {shared.json['token']}"}
    query = {"from": "2026-03-02", "to": "2026-03-02"}
    (day,) = client.get("/v1/history", query_string=query, headers=headers).json["items"]
    assert day["symptoms"] is None
