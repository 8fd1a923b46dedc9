from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import select

from cymba.database import UnitOfWork
from cymba.devices.tables import RedFlag

FELT = {"felt_at": "2026-03-01T07:30:00+01:00", "time_zone": "Europe/Berlin"}


def entry(**items):
    return FELT | {"items": items}


@pytest.fixture
def write(client, person):
    def put(body, entry_id=None, etag=None):
        headers = person.headers | ({"If-Match": etag} if etag else {})
        return client.put(f"/v1/diary/{entry_id or uuid4()}", json=body, headers=headers)

    return put


def test_the_items_say_how_they_are_asked_and_why_they_may_be(client, person):
    listed = client.get("/v1/diary/items", headers=person.headers)
    items = {item["name"]: item for item in listed.json["items"]}
    assert items["pain_now"]["code"] == "LOINC 72514-3"
    assert items["pain_now"]["value"] == {"type": "integer", "minimum": 0, "maximum": 10}
    assert all(item["licence"] for item in items.values())
    assert {c["name"] for c in listed.json["conditions"]} >= {"fibromyalgia", "crps"}
    held = person.headers | {"If-None-Match": listed.headers["ETag"]}
    again = client.get("/v1/diary/items", headers=held)
    assert again.status_code == 304


def test_an_entry_is_written_read_changed_and_deleted(client, write, person):
    id_ = uuid4()
    made = write(entry(pain_now=6), id_)
    assert (made.status_code, made.json["version"]) == (201, 1)
    assert made.json["felt_at"] == "2026-03-01T06:30:00.000000Z"
    again = write(entry(pain_now=6), id_)
    assert (again.status_code, again.json) == (200, made.json)
    assert write(entry(pain_now=5), id_).status_code == 428
    assert write(entry(pain_now=5), id_, '"7"').status_code == 412
    changed = write(entry(pain_now=5), id_, made.headers["ETag"])
    assert (changed.status_code, changed.json["version"]) == (200, 2)
    path = f"/v1/diary/{id_}"
    assert client.get(path, headers=person.headers).json == changed.json
    match = person.headers | {"If-Match": changed.headers["ETag"]}
    assert client.delete(path, headers=match).status_code == 204
    assert client.delete(path, headers=match).status_code == 204
    assert client.get(path, headers=person.headers).status_code == 404
    assert write(entry(pain_now=5), id_).status_code == 410


@pytest.mark.parametrize(("felt_at", "asked"), [("1970-01-01T08:00:00Z", ["felt_at"]), (None, [])])
def test_what_was_felt_long_before_it_was_written_is_kept_and_asked_about(write, felt_at, asked):
    felt = {"felt_at": felt_at or datetime.now(UTC).isoformat()}
    written = write(entry(pain_now=5) | felt)
    assert written.status_code == 201
    assert written.json["to_confirm"] == asked


def test_what_does_not_fit_is_pointed_at(write):
    refused = write(entry(pain_now=11, phq4=[0, 0, 0, 4], mood="good"))
    assert refused.status_code == 422
    assert {error["pointer"] for error in refused.json["errors"]} == {
        "/items/pain_now",
        "/items/phq4/3",
        "/items/mood",
    }
    assert write(entry() | {"surplus": 1}).json["errors"][0]["pointer"] == "/surplus"
    assert write(entry() | {"time_zone": "Mars/Base"}).json["errors"][0]["pointer"] == "/time_zone"


def test_scores_are_told_and_a_missing_answer_gives_none(write):
    scores = write(entry(phq4=[3, 2, None, 1])).json["scores"]
    assert scores == {"phq4": {"total": None, "gad2": 5, "phq2": None}}


def test_a_red_flag_says_to_seek_care_and_locks(write, engine, person):
    told = write(entry(chest_pain={"severity": "severe"})).json
    assert told["red_flags"] == ["chest_pain"]
    assert "seek medical care now" in told["advice"]
    with UnitOfWork(engine) as session:
        flagged = session.scalars(select(RedFlag.symptom).where(RedFlag.account_id == person.id))
        assert flagged.all() == ["chest_pain"]
    assert write(entry(chest_pain={"severity": "none"})).json["advice"] is None


def test_pages_by_time_and_by_item(client, write, person):
    for hour in range(7):
        felt = {"felt_at": f"2026-03-01T0{hour}:00:00Z", "time_zone": "UTC"}
        write(felt | {"items": {"mood": 5} if hour % 2 else {"stress": 5}})
    seen, path = [], "/v1/diary?limit=2&item=mood&from=2026-03-01T02:00:00Z"
    cursor = ""
    while cursor is not None:
        page = client.get(path + (f"&cursor={cursor}" if cursor else ""), headers=person.headers)
        seen += [item["felt_at"][11:13] for item in page.json["items"]]
        cursor = page.json["next_cursor"]
    assert seen == ["05", "03"]
    other = client.get("/v1/diary?item=nonsense", headers=person.headers)
    assert other.status_code == 422


def test_reminders_are_kept_and_prompt_by_the_wall_clock(client, make_person):
    person = make_person(time_zone="Europe/Berlin")
    path = f"/v1/reminders/{uuid4()}"
    wanted = {"title": "Morning", "local_times": ["08:00"], "weekdays": [1, 2, 3], "items": []}
    saved = client.put(path, json=wanted, headers=person.headers)
    assert (saved.status_code, saved.json["version"]) == (201, 1)
    changes = client.get("/v1/sync", headers=person.headers).json["next_cursor"]
    again = client.put(path, json=wanted, headers=person.headers)
    assert (again.status_code, again.json) == (200, saved.json)
    assert client.get(f"/v1/sync?cursor={changes}", headers=person.headers).json["reminders"] == []
    listed = client.get("/v1/reminders", headers=person.headers).json["items"]
    assert listed == [saved.json]
    other = wanted | {"title": "Later"}
    assert client.put(path, json=other, headers=person.headers).status_code == 428
    match = person.headers | {"If-Match": saved.headers["ETag"]}
    later = client.put(path, json=other, headers=match)
    assert later.json["version"] == 2
    assert client.get(path, headers=person.headers).json == later.json
    prompts = client.get("/v1/reminders/next?count=4", headers=person.headers).json["items"]
    assert [prompt["local"][11:19] for prompt in prompts] == ["08:00:00"] * 4
    assert client.delete(path, headers=match).status_code == 412
    match["If-Match"] = later.headers["ETag"]
    assert client.delete(path, headers=match).status_code == 204
    before = client.get("/v1/sync", headers=person.headers).json["next_cursor"]
    assert client.delete(path, headers=match).status_code == 204
    assert client.get(f"/v1/sync?cursor={before}", headers=person.headers).json["tombstones"] == []
    assert client.delete(path, headers=make_person().headers).status_code == 404
    assert client.put(path, json=wanted, headers=person.headers).status_code == 410
    assert client.get("/v1/reminders/next", headers=person.headers).json == {"items": []}
