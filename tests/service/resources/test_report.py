"""The report says what the other routes say, of the days asked for, to whom it was opened."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cymba.database import UnitOfWork, utc_now
from simulator.people import World
from tests.insights.people import agree, live_in_database, refresh

DAYS = 70


@pytest.fixture
def read(client, person):
    def get(path, **query):
        response = client.get(path, query_string=query, headers=person.headers)
        assert response.status_code == 200
        return response.json

    return get


@pytest.fixture
def months(engine, person):
    """Ten weeks of a person that ended yesterday, with their findings."""
    with UnitOfWork(engine) as session:
        agree(session, person.id, "insights")
        first_day = (datetime.now(UTC) - timedelta(days=DAYS)).date()
        live_in_database(
            session, person.id, World(days=DAYS, effect=-1.0), seed=3, first_day=first_day
        )
        session.commit()
        refresh(session, person.id)


@pytest.fixture
def write(client, person):
    def note(felt_at, zone="UTC", **items):
        body = {"felt_at": felt_at, "time_zone": zone, "items": items}
        made = client.put(f"/v1/diary/{uuid4()}", json=body, headers=person.headers)
        assert made.status_code == 201, made.json

    return note


def taken(*names_and_doses):
    return [{"name": n, "dose": d} if d else {"name": n} for n, d in names_and_doses]


MARCH = {"first_day": "2026-03-01", "last_day": "2026-03-10"}


@pytest.mark.usefixtures("months")
def test_every_number_is_that_of_the_route_it_comes_from(read):
    days = {"first_day": (utc_now() - timedelta(days=40)).date().isoformat()}
    report = read("/v1/report", **days)
    span = {"from": report["first_day"], "to": report["last_day"]}
    use = report["use"]
    assert use["whole"] == read("/v1/history", period="whole", **span)["items"][0]
    assert use["period"] == "week"
    assert use["periods"] == read("/v1/history", period="week", **span)["items"]
    by_day = read("/v1/history", period="day", **span)["items"]
    assert use["whole"]["sessions"] == sum(day["sessions"] or 0 for day in by_day)
    unknown = [day["first_day"] for day in by_day if day["sessions"] is None]
    assert report["gaps"]["use"]["days"] == len(unknown)
    unrated = [day["first_day"] for day in by_day if not day["symptoms"]]
    assert report["gaps"]["ratings"]["days"] == len(unrated) > 0
    found = read("/v1/insights/correlations")
    assert report["findings"]["primary"] == found["primary"] != []
    assert report["then_and_now"] == read("/v1/insights/response")["items"] != []
    told = read("/v1/insights/side-effects")["items"]
    assert report["side_effect_courses"] == [one for one in told if one["course"] != "not_enough"]
    assert report["gaps"]["unsynced"] == read("/v1/sessions")["unsynced"]
    (device,) = report["devices"]
    assert device["programme"].items() <= read(f"/v1/devices/{device['id']}/programme").items()
    shown = read(f"/v1/devices/{device['id']}/programme/history")["items"]
    assert device["versions"] == shown[: len(device["versions"])]


def test_sessions_are_added_up_by_device(read, hold, wear, person):
    mine, other = hold(person), hold(person, model="neck_band")
    march = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    for after, reason in ((0, "completed"), (2, "user_stop"), (8, "completed"), (9, "completed")):
        at = march + timedelta(days=after)
        wear(person, device_id=mine, at=at).samples(60).end(reason).sum_up()
    wear(person, device_id=other, at=march).samples(60, native_level=[3] * 60).end().sum_up()
    use = read("/v1/report", **MARCH)["use"]
    sessions = [
        one
        for one in read("/v1/sessions")["items"]
        if one["started_at"] < "2026-03-11" and one["device_id"] == mine
    ]
    ear, neck = use["devices"]
    assert (ear["device_id"], neck["device_id"]) == (mine, other)
    assert ear["sessions"] == len(sessions) == 4
    assert ear["end_reasons"] == {"completed": 3, "user_stop": 1}
    minutes = sum(one["stimulating_s"] for one in sessions) / 60
    assert ear["stimulating_min"] == pytest.approx(minutes, abs=0.01)
    assert ear["mean_amplitude_ua"] == sessions[0]["mean_amplitude_ua"] == 2000
    assert (neck["mean_amplitude_ua"], neck["mean_native_level"]) == (None, 3)
    assert use["whole"]["sessions"] == 5


def test_what_was_taken_has_its_days_and_doses(read, write):
    """By the local day that it was noted on; however a name is written."""
    write("2026-02-20T08:00:00Z", medication=taken(("Pregabalin", "75 mg")))
    write("2026-03-01T07:00:00Z", medication=taken(("pregabalin ", "75 mg"), ("Aspirin", None)))
    write("2026-03-01T18:00:00Z", medication=taken(("Pregabalin", "75 MG")))
    # 23:30 of the 4th in Berlin
    write("2026-03-04T22:30:00Z", "Europe/Berlin", medication=taken(("Pregabalin", "150 mg")))
    write("2026-03-10T23:30:00Z", "Europe/Berlin", medication=taken(("Pregabalin", "150 mg")))
    write("2026-03-05T08:00:00Z", other_treatment=taken(("Physiotherapy", None)), medication=[])
    report = read("/v1/report", **MARCH)
    rows = [
        (
            one["name"],
            one["dose"],
            one["days"],
            one["first_day"],
            one["last_day"],
            one["noted_before"],
        )
        for one in report["medication"]["items"]
    ]
    assert [row[0] for row in rows] == ["Aspirin", "pregabalin", "Pregabalin"]
    assert rows[0][1:] == (None, 1, "2026-03-01", "2026-03-01", False)
    assert rows[1][2:] == (1, "2026-03-01", "2026-03-01", True)
    assert rows[2][1:] == ("150 mg", 1, "2026-03-04", "2026-03-04", False)
    assert [one["name"] for one in report["other_treatment"]["items"]] == ["Physiotherapy"]


def test_a_long_list_says_how_much_more_there_is(read, write):
    for day in range(1, 3):
        names = taken(*((f"Remedy {number}", None) for number in range(40)))
        write(f"2026-03-0{day}T08:00:00Z", medication=names[: 40 // day])
    told = read("/v1/report", **MARCH)["medication"]
    assert (len(told["items"]), told["more"]) == (20, 20)
    assert {one["days"] for one in told["items"]} == {2}


def test_side_effects_are_counted_by_how_strong_they_were(read, write):
    write("2026-03-02T08:00:00Z", itch={"severity": "mild", "bothersome": True})
    write("2026-03-03T08:00:00Z", itch={"severity": "none"}, fainting={"severity": "none"})
    write("2026-03-04T08:00:00Z", itch={"severity": "severe"})
    write("2026-03-20T08:00:00Z", itch={"severity": "severe"})
    itch, fainting = read("/v1/report", **MARCH)["side_effects"]
    assert itch == {
        "item": "itch", "title": "Itch", "is_red_flag": False, "answers": 3, "mild": 1,
        "moderate": 0, "severe": 1, "bothersome": 1,
        "first_day": "2026-03-02", "last_day": "2026-03-04",
    }  # fmt: skip
    assert (fainting["is_red_flag"], fainting["answers"], fainting["last_day"]) == (True, 1, None)


def test_conditions_stand_as_they_were_noted_last(read, write):
    write("2026-01-02T08:00:00Z", condition=["fibromyalgia", "other"])
    write("2026-03-04T08:00:00Z", condition=["fibromyalgia", "crps"])
    write("2026-03-20T08:00:00Z", condition=[])
    told = read("/v1/report", **MARCH)["conditions"]
    assert [(one["condition"], one["first_day"], one["stands"]) for one in told] == [
        ("fibromyalgia", None, True),
        ("crps", "2026-03-04", True),
        ("other", None, False),
    ]


def test_red_flags_of_the_days_and_those_that_stand(read, write):
    write("2026-02-02T08:00:00Z", chest_pain={"severity": "mild"})
    told = read("/v1/report", **MARCH)["red_flags"]
    assert [(one["symptom"], one["lifted_at"]) for one in told] == [("chest_pain", None)]
    assert read("/v1/report", first_day="2026-01-01", last_day="2026-01-31")["red_flags"] == []


def test_a_person_with_nothing_has_a_report_of_nothing(read):
    report = read("/v1/report")
    whole = report["use"]["whole"]
    assert (whole["sessions"], whole["stimulating_min"], whole["days_known"]) == (None, None, 0)
    assert report["gaps"]["use"] == report["gaps"]["ratings"]
    assert report["gaps"]["use"]["days"] == 91
    for name in ("findings", "then_and_now", "side_effect_courses"):
        assert report[name] is None
    for name in ("side_effects", "conditions", "red_flags", "trials", "devices"):
        assert report[name] == []


def test_the_days_asked_for_are_checked(client, person):
    for query, parameter in (
        ({"first_day": "2026-03-02", "last_day": "2026-03-01"}, "last_day"),
        ({"first_day": "2024-03-01", "last_day": "2026-03-01"}, "first_day"),
        ({"first_day": "yesterday"}, "first_day"),
    ):
        refused = client.get("/v1/report", query_string=query, headers=person.headers)
        assert refused.status_code == 422
        assert [one["parameter"] for one in refused.json["errors"]] == [parameter]


def test_a_share_of_its_scope_reads_it_and_no_other_does(client, person):
    def token(*scopes):
        expires_at = (utc_now() + timedelta(days=7)).isoformat()
        wanted = {"label": "Dr. Weber", "scopes": list(scopes), "expires_at": expires_at}
        made = client.post("/v1/shares", json=wanted, headers=person.headers).json
        return {"Authorization": f"Bearer {made['token']}"}

    own = client.get("/v1/report", headers=person.headers)
    shared = client.get("/v1/report", headers=token("report"))
    assert shared.json == own.json
    assert client.get("/v1/history", headers=token("report")).status_code == 403
    refused = client.get("/v1/report", headers=token("sessions", "diary", "insights"))
    assert refused.json["type"] == "urn:cymba:problem:share-scope"
