from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from service.shapes.sessions import SessionSchema

MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)


def listed(client, person, **query):
    response = client.get("/v1/sessions", query_string=query, headers=person.headers)
    assert response.status_code == 200
    return response.json


@pytest.fixture
def month(person, hold, wear):
    """Thirty sessions, one a day."""
    device_id = hold(person)
    days = (MORNING + timedelta(days=day) for day in range(30))
    return [wear(person, device_id=device_id, at=day).samples().end().sum_up() for day in days]


def test_an_answer_has_just_the_fields_of_its_schema(client, wear, person):
    worn = wear(person).samples().end().sum_up()
    shown = client.get(f"/v1/sessions/{worn.id}", headers=person.headers).json
    assert list(shown) == list(SessionSchema().fields)
    assert shown == listed(client, person)["items"][0]


def test_a_session_is_told_as_it_was(client, wear, person):
    worn = wear(person).samples(20).event("pause").end("user_stop").sum_up()
    shown = client.get(f"/v1/sessions/{worn.id}", headers=person.headers).json
    assert shown["state"] == "ended"
    assert shown["end_reason"] == "user_stop"
    assert shown["completeness"] == 1.0
    assert shown["sample_count"] == 20
    assert shown["max_amplitude_ua"] == 2000
    assert shown["device_id"] == worn.device_id


def test_pages_follow_each_other_without_gap_or_repetition(client, person, month):
    seen, cursor = [], {}
    while True:
        page = listed(client, person, limit=7, **cursor)
        seen += [item["started_at"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(month)
    assert all(earlier > later for earlier, later in pairwise(seen))


def test_what_comes_or_goes_meanwhile_shifts_no_page(client, person, month, wear):
    first = listed(client, person, limit=10)
    device_id = month[0].device_id
    wear(person, device_id=device_id, at=MORNING + timedelta(days=40)).end().sum_up()
    wear(person, device_id=device_id, at=MORNING - timedelta(days=1)).end().sum_up()
    gone = first["items"][4]["id"]
    guarded = {**person.headers, "If-Match": "*"}
    assert client.delete(f"/v1/sessions/{gone}", headers=guarded).status_code == 204
    rest = listed(client, person, limit=200, cursor=first["next_cursor"])["items"]
    assert [one["id"] for one in rest[:20]] == [worn.id for worn in reversed(month[:20])]
    assert len(rest) == 21


def test_sessions_of_the_same_moment_are_paged_too(client, person, wear):
    for _ in range(5):
        wear(person, at=MORNING).end().sum_up()
    seen, cursor = [], {}
    for _ in range(5):
        page = listed(client, person, limit=1, **cursor)
        seen += [item["id"] for item in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    assert len(set(seen)) == 5
    assert cursor == {"cursor": None}


def test_a_page_is_narrowed_by_time_and_device(client, person, month, wear):
    other = wear(person, at=MORNING + timedelta(days=3, hours=8)).end().sum_up()
    noon = MORNING + timedelta(days=3, hours=4)
    span = {"from": noon.isoformat(), "to": (noon + timedelta(days=2)).isoformat()}
    items = listed(client, person, **span)["items"]
    assert [item["id"] for item in items] == [month[5].id, month[4].id, other.id]
    narrowed = listed(client, person, device_id=other.device_id)["items"]
    assert [item["id"] for item in narrowed] == [other.id]
    assert listed(client, person, device_id="somebody-elses")["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=ten",
        "limit=1e1",
        "limit=",
        "limit=5&limit=6",
        "from=yesterday",
        "from=2026-03-01",
        "from=2026-03-01T08:00:00",
        "from=2026-02-30T08:00:00Z",
        "from=0000-01-01T00:00:00Z",
        "from=9999-12-31T23:59:59-14:00",
        "from=2026-03-02T08:00:00Z&to=2026-03-01T08:00:00Z",
        "device_id=short",
        "device_id=with%00nul%00in",
        "cursor=",
        "cursor=xyz",
        "cursor=%00",
        "cursor=" + "A" * 600,
        "order=asc",
    ],
)
def test_queries_that_mean_nothing_are_refused(client, person, query):
    response = client.get(f"/v1/sessions?{query}", headers=person.headers)
    assert response.status_code == 422
    assert response.json["errors"][0]["parameter"] == query.partition("=")[0] or "to=" in query


def test_a_cursor_is_good_for_its_own_query_and_account_alone(client, person, month, make_person):
    cursor = listed(client, person, limit=5)["next_cursor"]
    other = make_person()
    for headers, query in [
        (other.headers, {"cursor": cursor}),
        (person.headers, {"cursor": cursor, "device_id": month[0].device_id}),
        (person.headers, {"cursor": ("A" if cursor[0] != "A" else "B") + cursor[1:]}),
        (person.headers, {"cursor": cursor[1:]}),
    ]:
        response = client.get("/v1/sessions", query_string=query, headers=headers)
        assert response.status_code == 422
        assert response.json["errors"][0]["parameter"] == "cursor"
    assert len(listed(client, person, cursor=cursor, limit=50)["items"]) == 25


def test_an_unchanged_page_is_not_sent_again(client, person, month):
    etag = client.get("/v1/sessions", headers=person.headers).headers["ETag"]
    held = {**person.headers, "If-None-Match": etag}
    assert client.get("/v1/sessions", headers=held).status_code == 304
    month[0].send(month[0].samples_frame()).sum_up()
    assert client.get("/v1/sessions", headers=held).status_code == 200


def test_notes_and_exclusion_are_the_persons(client, wear, person):
    worn = wear(person).end().sum_up()
    path = f"/v1/sessions/{worn.id}"
    read = client.get(path, headers=person.headers)
    assert client.patch(path, json={"note": "x"}, headers=person.headers).status_code == 428
    guarded = {**person.headers, "If-Match": read.headers["ETag"]}
    noted = client.patch(path, json={"note": "Electrode was dry"}, headers=guarded)
    assert (noted.json["note"], noted.json["excluded"]) == ("Electrode was dry", False)
    assert client.patch(path, json={"excluded": True}, headers=guarded).status_code == 412
    guarded["If-Match"] = f'"{noted.json["version"]}"'
    both = client.patch(path, json={"excluded": True}, headers=guarded)
    assert (both.json["note"], both.json["excluded"]) == ("Electrode was dry", True)
    guarded["If-Match"] = both.headers["ETag"]
    cleared = client.patch(path, json={"note": None}, headers=guarded)
    assert cleared.json["note"] is None
    assert client.get(path, headers=person.headers).json == cleared.json


def test_a_frame_that_comes_late_makes_an_edit_stale(client, wear, person):
    worn = wear(person)
    late = worn.samples_frame()
    worn.end().sum_up()
    path = f"/v1/sessions/{worn.id}"
    etag = client.get(path, headers=person.headers).headers["ETag"]
    worn.send(late).sum_up()
    guarded = {**person.headers, "If-Match": etag}
    assert client.patch(path, json={"note": "x"}, headers=guarded).status_code == 412


@pytest.mark.parametrize(
    "body",
    [{"note": "n" * 4001}, {"note": "\0"}, {"note": 1}, {"excluded": "yes"}, {"state": "open"}],
)
def test_other_changes_are_refused(client, wear, person, body):
    worn = wear(person).end().sum_up()
    guarded = {**person.headers, "If-Match": "*"}
    response = client.patch(f"/v1/sessions/{worn.id}", json=body, headers=guarded)
    assert response.status_code == 422


def test_a_deleted_session_stays_deleted(client, wear, person, make_person):
    worn = wear(person).samples().sum_up()
    path = f"/v1/sessions/{worn.id}"
    guarded = {**person.headers, "If-Match": "*"}
    assert client.delete(path, headers=person.headers).status_code == 428
    assert client.delete(path, headers=guarded).status_code == 204
    worn.samples().end().sum_up()
    for tail in ("", "/events", "/telemetry", "/live"):
        assert client.get(path + tail, headers=person.headers).status_code == 404
    assert client.delete(path, headers=guarded).status_code == 204
    assert client.delete(path, headers=make_person().headers).status_code == 404
    assert listed(client, person)["items"] == []


def test_events_are_told_in_order(client, wear, person):
    worn = wear(person).samples().event("lead_off").samples().event("lead_on").end().sum_up()
    items = client.get(f"/v1/sessions/{worn.id}/events", headers=person.headers).json["items"]
    assert [one["name"] for one in items] == ["start", "lead_off", "lead_on", "end"]
    offsets = [one["offset_ms"] for one in items]
    assert offsets == pytest.approx([0, 10_000, 20_000, 20_000], abs=5)
    assert items[-1]["detail"] == {"reason": "completed"}
