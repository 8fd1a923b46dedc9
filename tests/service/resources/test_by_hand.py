"""A person with a TENS unit that has no radio: what they write down is all that is known."""

from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from cymba.database import UnitOfWork
from cymba.insights.inputs import load_days
from cymba.rights.export import export
from tests.insights.people import agree
from tests.service.bodies import operation
from tests.service.conftest import ApiUser
from workers.insights import InsightsWorker

UNIT = "tens_ear_clip"
FIRST = datetime(2025, 11, 1, 18, tzinfo=UTC)
DAYS = 120


def session_on(day: int, minutes: int = 25) -> dict[str, Any]:
    return operation(
        "session",
        fields={
            "recorder": "person", "model": UNIT, "amplitude_ua": 2500, "duration_s": 60 * minutes,
            "started_at": (FIRST + timedelta(days=day)).isoformat(), "time_zone": "UTC",
        },
    )  # fmt: skip


def remark_on(day: int, what: str = "no_session", **more: Any) -> dict[str, Any]:
    moment = (FIRST + timedelta(days=day)).isoformat()
    return operation("remark", fields={"what": what, "said_of": moment, "time_zone": "UTC", **more})


@pytest.fixture
def push(client: FlaskClient, person: ApiUser) -> Any:
    def send(operations: list[dict[str, Any]]) -> None:
        for at in range(0, len(operations), 200):
            body = {"operations": operations[at : at + 200]}
            answers = client.post("/v1/sync", json=body, headers=person.headers).json["answers"]
            refused = [answer for answer in answers if answer["status"] != "applied"]
            assert not refused, refused[0]

    return send


@pytest.fixture
def history(client: FlaskClient, person: ApiUser) -> Any:
    def read(first: int, last: int, **query: str) -> list[dict[str, Any]]:
        query |= {
            "from": (FIRST + timedelta(days=first)).date().isoformat(),
            "to": (FIRST + timedelta(days=last)).date().isoformat(),
        }
        answer = client.get("/v1/history", query_string=query, headers=person.headers)
        return answer.json["items"]

    return read


def test_120_days_by_hand_have_a_history_and_an_adherence(
    push: Any, history: Any, person: ApiUser, engine: Engine
) -> None:
    # Of every six days: four with a session, one of which they say that there was none, one of
    # which they say nothing.
    push([session_on(day) for day in range(DAYS) if day % 6 < 4])
    push([remark_on(day) for day in range(DAYS) if day % 6 == 4])
    days = history(0, DAYS - 1)
    assert [day["sessions"] for day in days[:6]] == [1, 1, 1, 1, 0, None]
    assert {day["sessions_written"] for day in days} == {1, 0, None}
    assert {day["stimulating_min"] for day in days} == {25, 0, None}
    # What nobody measured is not made up: a charge is known where there was none at all.
    assert {day["delivered_charge_mc"] for day in days if day["sessions"]} == {None}
    months = history(0, DAYS - 1, period="month")
    assert sum(month["sessions"] for month in months) == 80
    assert sum(month["days_known"] for month in months) == 100
    assert months[0]["adherence"] == 0.8
    # Insights hold of the same days what history does.
    with UnitOfWork(engine) as session:
        found, exposures, _ = load_days(session, person.id)
    minutes = found.exposures[[one.name for one in exposures].index("minutes")]
    assert [None if isnan(one) else one for one in minutes[:6]] == [25, 25, 25, 25, 0, None]


def test_120_days_by_hand_have_a_finding_by_minutes(
    push: Any, client: FlaskClient, person: ApiUser, engine: Engine
) -> None:
    """From what they write down alone: no current, no charge, and no device that uploads."""
    rng = np.random.default_rng(7)
    sessions, remarks, entries, pain, minutes = [], [], [], 0.0, 0
    for day in range(DAYS):
        pain = 0.5 * pain + rng.normal(0, 0.7)
        felt_at = (FIRST + timedelta(days=day, hours=-11)).isoformat()
        rating = int(np.clip(round(6 + pain - minutes / 12), 0, 10))
        fields = {"felt_at": felt_at, "time_zone": "UTC", "items": {"pain_now": rating}}
        entries.append(operation("diary-entry", fields=fields))
        minutes = int(rng.choice([0, 10, 20, 40]))
        if minutes:
            sessions.append(session_on(day, minutes))
        else:
            remarks.append(remark_on(day))
    push([*sessions, *remarks, *entries])
    with UnitOfWork(engine) as session, session.begin():
        agree(session, person.id, "insights")
    assert InsightsWorker(engine).run_once().refreshed == 1
    told = client.get("/v1/insights/correlations", headers=person.headers).json
    assert {one["exposure"] for one in told["primary"]} == {"minutes"}
    (found,) = (one for one in told["primary"] if one["outcome"] == "pain_now")
    assert found["grade"] in {"moderate", "strong"}
    assert found["high"] < 0
    assert (found["exposure_title"], found["contrast_unit"]) == ("Minutes of stimulation", "min")
    assert found["sentence"].startswith("On days with more minutes of stimulation, pain now was")
    # Nothing is said of a charge or a strength that nobody measured.
    by_others = {one["exposure"] for one in told["exploratory"] if one["n"]}
    assert by_others <= {"minutes", "sessions", "evening_use"}


def test_what_is_put_away_says_nothing_of_later_days(
    push: Any, history: Any, wear: Any, person: ApiUser
) -> None:
    push([session_on(0)])
    worn = wear(person, at=FIRST + timedelta(days=9)).samples().end().sum_up()
    wear(person, device_id=worn.device_id, at=FIRST + timedelta(days=12)).samples().end().sum_up()
    # That the device recorded nothing is no word of the unit beside it.
    assert [day["sessions"] for day in history(9, 11)] == [1, None, None]
    push([remark_on(5, "put_away", model=UNIT)])
    assert [day["sessions"] for day in history(9, 11)] == [1, 0, 0]
    push([session_on(10)])
    assert [day["sessions"] for day in history(9, 11)] == [1, 1, None]


def test_a_held_unit_that_the_person_records_for_is_like_its_model(
    push: Any, history: Any, hold: Any, person: ApiUser
) -> None:
    device_id = hold(person, model=UNIT)
    written = session_on(0)
    written["fields"] = written["fields"] | {"model": None, "device_id": device_id}
    push([written, remark_on(2)])
    assert [day["sessions"] for day in history(0, 2)] == [1, None, 0]


def test_a_session_counts_on_the_day_of_its_own_zone_over_travel_and_changes_of_clock(
    client: FlaskClient, make_person: Any
) -> None:
    traveller = make_person(time_zone="Europe/Berlin")
    moments = [
        ("2026-03-28T22:30:00Z", "Europe/Berlin"),  # 23:30 on the 28th
        ("2026-03-28T23:30:00Z", "Europe/Berlin"),  # 00:30 on the 29th, which has 23 hours
        ("2026-03-29T21:30:00Z", "Europe/Berlin"),  # 23:30 on it, by summer time
        ("2026-03-30T05:30:00Z", "America/New_York"),  # 01:30 on the 30th
        ("2026-03-31T02:30:00Z", "America/New_York"),  # 22:30 on it
    ]
    for started_at, zone in moments:
        written = session_on(0)["fields"] | {"started_at": started_at, "time_zone": zone}
        put = client.put(f"/v1/sessions/{uuid4()}", json=written, headers=traveller.headers)
        assert put.status_code == 201
    query = {"from": "2026-03-28", "to": "2026-03-30"}
    answer = client.get("/v1/history", query_string=query, headers=traveller.headers)
    assert [day["sessions"] for day in answer.json["items"]] == [1, 2, 2]


@pytest.mark.parametrize(
    "remark",
    [
        {"what": "no_session", "model": UNIT},
        {"what": "put_away"},
        {"what": "put_away", "model": "unheard_of"},
        {"what": "electrode_changed"},
        {"what": "electrode_changed", "device_id": "someoneelses01"},
        {"what": "rained"},
        {"what": "no_session", "said_of": "2199-01-01T00:00:00Z"},
    ],
)
def test_a_remark_that_says_nothing_is_refused(
    client: FlaskClient, person: ApiUser, remark: dict[str, Any]
) -> None:
    whole = {"said_of": "2026-03-01T12:00:00Z", "time_zone": "UTC", **remark}
    answer = client.put(f"/v1/remarks/{uuid4()}", json=whole, headers=person.headers)
    assert answer.status_code == 422


def test_a_remark_is_kept_changed_and_taken_back(client: FlaskClient, person: ApiUser) -> None:
    path = f"/v1/remarks/{uuid4()}"
    said = {"what": "no_session", "said_of": "2026-03-01T12:00:00Z", "time_zone": "UTC"}
    made = client.put(path, json=said, headers=person.headers)
    assert (made.status_code, made.json["version"]) == (201, 1)
    assert client.put(path, json=said, headers=person.headers).status_code == 200
    assert client.get("/v1/remarks", headers=person.headers).json["items"] == [made.json]
    feed = client.get("/v1/sync", headers=person.headers).json
    assert feed["remarks"] == [made.json]
    guarded = person.headers | {"If-Match": made.headers["ETag"]}
    changed = client.put(path, json=said | {"note": "ill"}, headers=guarded)
    assert (changed.status_code, changed.json["note"]) == (200, "ill")
    assert client.delete(path, headers=guarded).status_code == 412
    guarded = person.headers | {"If-Match": changed.headers["ETag"]}
    assert client.delete(path, headers=guarded).status_code == 204
    query = {"cursor": feed["next_cursor"]}
    news = client.get("/v1/sync", query_string=query, headers=person.headers).json
    assert [stone["kind"] for stone in news["tombstones"]] == ["remark"]


def test_an_archive_holds_what_was_written_down(push: Any, person: ApiUser, engine: Engine) -> None:
    push([session_on(0), remark_on(1)])
    with UnitOfWork(engine) as session:
        archive = b"".join(export(session, person.id, schema_version="x", now=datetime.now(UTC)))
    for name in ("written_sessions.csv", "remarks.csv", "tables/written_session.jsonl"):
        assert name.encode() in archive
