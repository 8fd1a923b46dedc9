"""Sessions that a phone or the person wrote down: by PUT, by push, and as one with a device's."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from tests.service.bodies import FAINTED, operation
from tests.service.conftest import MORNING, ApiUser

NOON = {
    "recorder": "person", "model": "ear_clip", "started_at": "2026-03-01T12:00:00Z",
    "time_zone": "Europe/Berlin", "duration_s": 1800, "amplitude_ua": 2000, "side": "left",
}  # fmt: skip


@pytest.fixture
def put(client: FlaskClient) -> Any:
    def write(person: ApiUser, id_: str, body: dict[str, Any], etag: str | None = None) -> Any:
        headers = person.headers | ({"If-Match": etag} if etag else {})
        return client.put(f"/v1/sessions/{id_}", json=body, headers=headers)

    return write


@pytest.fixture
def listed(client: FlaskClient) -> Any:
    def read(person: ApiUser, **query: Any) -> list[dict[str, Any]]:
        answer = client.get("/v1/sessions", query_string=query, headers=person.headers)
        return answer.json["items"]

    return read


def at(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def push(client: FlaskClient, person: ApiUser, id_: str, **more: Any) -> dict[str, Any]:
    body = {"operations": [operation("session", entity_id=id_, **more)]}
    (answer,) = client.post("/v1/sync", json=body, headers=person.headers).json["answers"]
    return answer


def test_what_nobody_measured_is_null(put: Any, listed: Any, person: ApiUser) -> None:
    id_ = str(uuid4())
    made = put(person, id_, NOON)
    assert made.status_code == 201
    (shown,) = listed(person)
    assert shown == made.json
    assert (shown["recorder"], shown["time_source"]) == ("person", "person")
    assert shown["model"] == "ear_clip"
    assert (shown["stimulating_s"], shown["mean_amplitude_ua"]) == (1800, 2000)
    assert shown["ended_at"] == "2026-03-01T12:30:00.000000Z"
    unmeasured = (
        "device_id", "time_error_ms", "completeness", "contact_lost_s", "delivered_charge_uc",
        "pulses", "mean_impedance_ohm", "mean_native_level", "programme", "end_reason",
        "heart_rate_during_bpm", "mean_amplitude_over_threshold", "frames_expected",
    )  # fmt: skip
    assert [shown[name] for name in unmeasured] == [None] * len(unmeasured)


def test_put_is_idempotent_and_a_change_needs_what_was_read(
    client: FlaskClient, put: Any, person: ApiUser
) -> None:
    id_ = str(uuid4())
    etag = put(person, id_, NOON).headers["ETag"]
    assert put(person, id_, NOON).status_code == 200
    longer = NOON | {"duration_s": 2400}
    assert put(person, id_, longer).status_code == 428
    changed = put(person, id_, longer, etag)
    assert (changed.status_code, changed.json["version"]) == (200, 2)
    assert put(person, id_, NOON, etag).status_code == 412
    noted = client.patch(
        f"/v1/sessions/{id_}",
        json={"note": "dry electrode", "excluded": True},
        headers=person.headers | {"If-Match": changed.headers["ETag"]},
    )
    assert (noted.json["note"], noted.json["excluded"]) == ("dry electrode", True)
    assert noted.json["written"]["duration_s"] == 2400
    gone = person.headers | {"If-Match": noted.headers["ETag"]}
    assert client.delete(f"/v1/sessions/{id_}", headers=gone).status_code == 204
    assert client.delete(f"/v1/sessions/{id_}", headers=gone).status_code == 204
    assert client.get(f"/v1/sessions/{id_}", headers=person.headers).status_code == 404
    assert put(person, id_, NOON).status_code == 410


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"recorder": "device"}, "/recorder"),
        ({"model": None}, "/device_id"),
        ({"model": "nothing_known"}, "/model"),
        ({"model": None, "device_id": "someoneelses01"}, "/device_id"),
        ({"device_id": "someoneelses01"}, "/device_id"),
        ({"duration_s": 0}, "/duration_s"),
        ({"duration_s": 86_401}, "/duration_s"),
        ({"started_at": "2199-01-01T00:00:00Z"}, "/started_at"),
        ({"started_at": "1800-01-01T00:00:00Z"}, "/started_at"),
        ({"time_zone": "Mars/Base"}, "/time_zone"),
        ({"amplitude_ua": 0}, "/amplitude_ua"),  # a zero that nobody measured
        ({"model": "neck_band"}, "/amplitude_ua"),  # it shows levels, and no current to read
        ({"native_level": 0}, "/native_level"),
        ({"native_level": 46}, "/native_level"),  # the model has 45
        ({"site": "knee"}, "/site"),
        ({"level_changes": [{"offset_s": 0, "native_level": 3}]}, "/level_changes"),
        ({"recorder": "phone", "level_changes": [{"offset_s": 5, "native_level": 3}]},
         "/level_changes/0/offset_s"),
        ({"recorder": "phone", "level_changes": [{"offset_s": 0, "native_level": 3},
                                                 {"offset_s": 1800, "native_level": 4}]},
         "/level_changes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_says_where(
    client: FlaskClient, put: Any, person: ApiUser, change: dict[str, Any], pointer: str
) -> None:
    refused = put(person, str(uuid4()), NOON | change)
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, pointer)
    answer = push(client, person, str(uuid4()), fields=NOON | change)
    assert answer["status"] == "rejected"
    assert answer["problem"]["errors"][0]["pointer"] == f"/fields{pointer}"


def test_what_may_be_a_slip_is_kept_and_asked_about(put: Any, person: ApiUser) -> None:
    slip = NOON | {"started_at": "2009-03-01T12:00:00Z", "duration_s": 50_000}
    assert put(person, str(uuid4()), slip).json["to_confirm"] == ["started_at", "duration_s"]


def test_a_phones_levels_over_time(put: Any, person: ApiUser) -> None:
    changes = [
        {"offset_s": 0, "native_level": 2},
        {"offset_s": 60, "native_level": 0},
        {"offset_s": 120, "native_level": 5},
    ]
    timed = NOON | {"recorder": "phone", "amplitude_ua": None, "duration_s": 240}
    shown = put(person, str(uuid4()), timed | {"level_changes": changes}).json
    assert shown["stimulating_s"] == 180
    assert (shown["mean_native_level"], shown["max_native_level"]) == (4, 5)
    assert shown["mean_amplitude_ua"] is None


def test_ids_are_the_persons_own(
    client: FlaskClient, put: Any, person: ApiUser, make_person: Any, wear: Any
) -> None:
    recorded = wear(person).samples().end().sum_up()
    refused = put(person, recorded.id, NOON)
    assert refused.status_code == 422
    assert refused.json["type"].endswith(":recorded-session")
    # Of another's ids nothing is said: each account has its own.
    other = make_person()
    assert put(other, recorded.id, NOON).status_code == 201
    id_ = str(uuid4())
    assert put(person, id_, NOON).status_code == 201
    assert client.get(f"/v1/sessions/{id_}", headers=other.headers).status_code == 404
    assert put(other, id_, NOON | {"duration_s": 60}).status_code == 201
    assert client.get(f"/v1/sessions/{id_}", headers=person.headers).json["stimulating_s"] == 1800


def test_a_record_is_no_start(client: FlaskClient, put: Any, person: ApiUser) -> None:
    diary = f"/v1/diary/{uuid4()}"
    assert client.put(diary, json=FAINTED, headers=person.headers).status_code == 201
    assert put(person, str(uuid4()), NOON).status_code == 201


def test_a_day_holds_only_so_many(put: Any, person: ApiUser) -> None:
    for i in range(100):
        assert put(person, str(uuid4()), NOON | {"duration_s": 60 + i}).status_code == 201
    assert put(person, str(uuid4()), NOON).status_code == 422
    next_day = NOON | {"started_at": "2026-03-02T12:00:00Z"}
    assert put(person, str(uuid4()), next_day).status_code == 201


def test_a_share_of_sessions_reads_them_and_writes_none(
    client: FlaskClient, put: Any, person: ApiUser
) -> None:
    id_ = str(uuid4())
    put(person, id_, NOON)
    until = at(datetime.now(UTC) + timedelta(days=1))
    wanted = {"label": "Dr. Blue", "scopes": ["sessions"], "expires_at": until}
    token = client.post("/v1/shares", json=wanted, headers=person.headers).json["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get(f"/v1/sessions/{id_}", headers=headers).json["recorder"] == "person"
    assert client.put(f"/v1/sessions/{uuid4()}", json=NOON, headers=headers).status_code == 403


def test_two_phones_edit_the_same_session_offline(client: FlaskClient, person: ApiUser) -> None:
    id_ = str(uuid4())
    made = push(client, person, id_, fields=NOON)
    assert (made["status"], made["session"]["recorder"]) == ("applied", "person")
    one = push(client, person, id_, base_version=1, fields={"note": "left ear"})
    other = push(client, person, id_, base_version=1, fields={"duration_s": 1200})
    assert (one["status"], other["status"]) == ("applied", "applied")
    assert (other["session"]["note"], other["session"]["stimulating_s"]) == ("left ear", 1200)
    late = push(client, person, id_, base_version=1, fields={"note": "right ear"})
    assert (late["status"], late["conflicting"]) == ("conflict", ["note"])
    feed = client.get("/v1/sync", headers=person.headers).json
    assert [shown["id"] for shown in feed["sessions"]] == [id_]
    gone = push(client, person, id_, base_version=3, action="delete")
    assert (gone["status"], gone["deleted"]) == ("applied", True)
    query = {"cursor": feed["next_cursor"]}
    after = client.get("/v1/sync", query_string=query, headers=person.headers).json
    assert after["tombstones"] == [{"kind": "session", "id": id_}]


def test_pages_hold_each_session_once_whoever_wrote_it(
    client: FlaskClient, put: Any, wear: Any, person: ApiUser
) -> None:
    device = None
    for day in range(3):
        worn = wear(person, device_id=device, at=MORNING + timedelta(days=day))
        device = worn.samples().end().sum_up().device_id
        begin = at(MORNING + timedelta(days=day, hours=3))
        put(person, str(uuid4()), NOON | {"started_at": begin})
    seen, query = [], {"limit": 2}
    while True:
        page = client.get("/v1/sessions", query_string=query, headers=person.headers).json
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [one["recorder"] for one in seen] == ["person", "device"] * 3
    assert len({one["id"] for one in seen}) == 6


@pytest.fixture
def three(wear: Any, put: Any, person: ApiUser) -> Any:
    """What a device, a phone and the person tell of one session, each to be told by a call."""
    recorded = wear(person).samples(200).samples(200).samples(200)
    of_device = NOON | {"model": None, "device_id": recorded.device_id, "amplitude_ua": None}
    timed = of_device | {"recorder": "phone", "started_at": at(MORNING), "duration_s": 590}
    by_hand = of_device | {"started_at": at(MORNING), "duration_s": 900, "note": "a cold ear"}
    phone, hand = str(uuid4()), str(uuid4())
    return {
        recorded.id: lambda: recorded.end().sum_up(),
        phone: lambda: put(person, phone, timed | {"native_level": 3}),
        hand: lambda: put(person, hand, by_hand | {"native_level": 4}),
    }


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_one_session_with_several_witnesses_is_shown_and_counted_once(
    client: FlaskClient, listed: Any, person: ApiUser, three: Any, order: tuple[int, ...]
) -> None:
    ids = list(three)
    for i in order:
        three[ids[i]]()
    (shown,) = listed(person)
    assert (shown["id"], shown["recorder"]) == (ids[0], "device")
    assert [one["id"] for one in shown["witnesses"]] == ids[1:]
    assert (shown["mean_native_level"], shown["note"]) == (3, "a cold ear")
    assert shown["told_by"] == {
        "mean_native_level": "phone", "max_native_level": "phone", "note": "person",
    }  # fmt: skip
    feed = client.get("/v1/sync", headers=person.headers).json["sessions"]
    assert {one["id"]: one["shown_with"] for one in feed} == {
        ids[0]: None, ids[1]: ids[0], ids[2]: ids[0],
    }  # fmt: skip
    query = {"from": "2026-03-01", "to": "2026-03-01"}
    (day,) = client.get("/v1/history", query_string=query, headers=person.headers).json["items"]
    assert (day["sessions"], day["sessions_written"], day["stimulating_min"]) == (1, 0, 10)


def test_the_person_parts_what_is_shown_as_one_and_joins_it_again(
    client: FlaskClient, listed: Any, person: ApiUser, three: Any
) -> None:
    recorded, phone, hand = three
    for tell in three.values():
        tell()
    parted = push(client, person, hand, base_version=1, fields={"same_as": hand})
    assert parted["session"]["shown_with"] is None
    assert {one["id"] for one in listed(person)} == {recorded, hand}
    joined = push(client, person, hand, base_version=2, fields={"same_as": phone})
    assert joined["session"]["shown_with"] == recorded
    assert [one["id"] for one in listed(person)] == [recorded]


def test_who_else_told_of_it_is_shown_where_the_recording_is_erased(
    client: FlaskClient, listed: Any, person: ApiUser, three: Any
) -> None:
    recorded, phone, hand = three
    for tell in three.values():
        tell()
    cursor = client.get("/v1/sync", headers=person.headers).json["next_cursor"]
    etag = client.get(f"/v1/sessions/{recorded}", headers=person.headers).headers["ETag"]
    headers = person.headers | {"If-Match": etag}
    assert client.delete(f"/v1/sessions/{recorded}", headers=headers).status_code == 204
    (shown,) = listed(person)
    assert (shown["id"], shown["recorder"]) == (phone, "phone")
    news = client.get("/v1/sync", query_string={"cursor": cursor}, headers=person.headers).json
    assert news["tombstones"] == [{"kind": "session", "id": recorded}]
    assert {one["id"]: one["shown_with"] for one in news["sessions"]} == {phone: None, hand: phone}


def test_another_device_at_the_same_time_is_another_session(
    put: Any, listed: Any, hold: Any, wear: Any, person: ApiUser
) -> None:
    wear(person).samples(200).end().sum_up()
    elsewhere = NOON | {"model": None, "device_id": hold(person), "started_at": at(MORNING)}
    put(person, str(uuid4()), elsewhere)
    put(person, str(uuid4()), NOON | {"started_at": at(MORNING)})
    assert len(listed(person)) == 3
