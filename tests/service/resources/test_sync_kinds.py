"""What the feed tells by kind, to whole and partial copies, and what else can be pushed."""

import json
from uuid import uuid4

import pytest

from cymba.accounts.changes import Kind, announce
from cymba.accounts.tables import Change
from cymba.database import UnitOfWork
from cymba.devices.contraindications import must_be_answered, version_in
from cymba.devices.models import MODELS
from cymba.sync.feed import KINDS, Position
from service.http.paging import seal_cursor
from tests.service.conftest import PROGRAMME

pytestmark = pytest.mark.usefixtures("versions_from_one")

FELT = {"felt_at": "2026-03-01T07:30:00.000000Z", "time_zone": "UTC"}
MORNING = {"title": "Morning", "local_times": ["08:00"], "weekdays": [1, 2], "items": ["mood"]}


@pytest.fixture
def push(client, person):
    def send(*operations):
        body = {"operations": list(operations)}
        answered = client.post("/v1/sync", json=body, headers=person.headers)
        assert answered.status_code == 200
        return answered.json["answers"]

    return send


@pytest.fixture
def pull(client, person):
    def read(**query):
        return client.get("/v1/sync", query_string=query, headers=person.headers)

    return read


def operation(kind, entity_id, base_version=0, *, builds_on=(), action="put", **fields):
    return {
        "id": str(uuid4()),
        "kind": kind,
        "action": action,
        "entity_id": str(entity_id),
        "base_version": base_version,
        "builds_on": list(builds_on),
        "fields": fields,
    }


def test_a_partial_copy_hears_of_its_kinds_and_misses_none_of_them(push, pull):
    ids = [uuid4() for _ in range(6)]
    push(*(operation("diary-entry", id_, **FELT) for id_ in ids[:3]))
    push(*(operation("reminder", id_, **MORNING) for id_ in ids[3:]))
    seen, page = [], pull(kinds="reminder", limit=2).json
    while True:
        assert page["diary_entries"] == []
        seen += [one["id"] for one in page["reminders"]]
        if not page["more"]:
            break
        page = pull(cursor=page["next_cursor"], limit=2).json  # the cursor has its kinds
    assert sorted(seen) == sorted(map(str, ids[3:]))
    cursor = page["next_cursor"]
    push(operation("diary-entry", uuid4(), **FELT), operation("reminder", ids[3], 1, title="Noon"))
    later = pull(cursor=cursor, kinds="reminder").json
    assert [one["title"] for one in later["reminders"]] == ["Noon"]
    assert later["diary_entries"] == []
    gone = operation("reminder", ids[4], 1, action="delete")
    push(gone, operation("diary-entry", ids[0], 1, action="delete"))
    last = pull(cursor=later["next_cursor"]).json
    assert last["tombstones"] == [{"kind": "reminder", "id": str(ids[4])}]


def test_what_is_of_other_kinds_is_no_news_twice(push, pull):
    cursor = pull(kinds="reminder").json["next_cursor"]
    push(operation("diary-entry", uuid4(), **FELT))
    moved = pull(cursor=cursor).json["next_cursor"]
    assert moved != cursor  # past the entry, so that it is not looked over again
    assert pull(cursor=moved).json["next_cursor"] == moved


@pytest.mark.parametrize("kinds", ["session", "reminder,session", ",".join(KINDS)])
def test_a_cursor_is_refused_for_other_kinds(pull, kinds):
    cursor = pull(kinds="reminder").json["next_cursor"]
    refused = pull(cursor=cursor, kinds=kinds)
    assert refused.status_code == 422
    assert refused.json["type"] == "urn:cymba:problem:other-kinds"
    whole = pull().json["next_cursor"]
    assert pull(cursor=whole, kinds="reminder").status_code == 422
    assert pull(cursor=whole, kinds=",".join(reversed(KINDS))).status_code == 200


@pytest.mark.parametrize("kinds", ["", "colour", "session,", "session,colour", "x" * 5_000])
def test_kinds_that_there_are_not_are_refused_by_name(pull, kinds):
    refused = pull(kinds=kinds)
    assert refused.status_code == 422
    assert [error["parameter"] for error in refused.json["errors"]] == ["kinds"]


def test_each_page_says_how_much_fits_into_a_push(client, person, push, pull):
    limits = pull().json["push_limits"]
    assert limits == pull(cursor=pull().json["next_cursor"]).json["push_limits"]
    bare = operation("diary-entry", uuid4(), **FELT, note="")
    room = limits["operation_bytes"] - len(json.dumps(bare).encode())
    assert push(bare | {"fields": FELT | {"note": "x" * 4_000}})[0]["status"] == "applied"
    too_large = bare | {"id": str(uuid4()), "fields": FELT | {"note": "x" * (room + 1_000)}}
    problem = push(too_large)[0]["problem"]
    assert problem["type"] == "urn:cymba:problem:too-large"
    assert f"{limits['operation_bytes']:,}" in problem["detail"]
    body = b'{"operations": [' + b" " * limits["body_bytes"] + b"]}"
    whole = client.post(
        "/v1/sync", data=body, content_type="application/json", headers=person.headers
    )
    assert whole.status_code == 413


def test_a_kind_of_a_later_version_is_passed_over(engine, person, pull):
    cursor = pull().json["next_cursor"]
    with UnitOfWork(engine) as session, session.begin():
        later: Kind = "colour"  # type: ignore[assignment]
        announce(session, person.id, later, uuid4())
    assert pull(cursor=cursor).status_code == 200
    assert pull().status_code == 200


def everything_else(client, person, hold):
    """Gives a consent, answers the questions, sets a programme, begins a trial; the device."""
    device_id = hold(person)

    def ask(method, path, body, **headers):
        answered = client.open(path, method=method, json=body, headers=person.headers | headers)
        assert answered.status_code < 300, answered.json
        return answered

    ask("POST", "/v1/consents/insights", {"text_version": "1/en"})
    answers = {one.name: "no" for one in must_be_answered(MODELS["ear_cymba"].sites)}
    given = {"model": "ear_cymba", "text_version": str(version_in("en")), "answers": answers}
    etag = client.get("/v1/screening", headers=person.headers).headers["ETag"]
    ask("PUT", "/v1/screening/answers", given, **{"If-Match": etag})
    path = f"/v1/devices/{device_id}/programme"
    etag = client.get(path, headers=person.headers).headers["ETag"]
    programme = {"programme": PROGRAMME | {"ramp_ua_per_s": 500}}
    ask("PUT", path, programme, **{"If-Match": etag})
    trial = {"device_id": device_id, "outcome": "pain_now", "pairs": 10, "block_days": 2}
    ask("POST", "/v1/experiments", trial)
    return device_id


def test_consents_answers_trials_and_programmes_are_told(client, person, hold, pull):
    cursor = pull().json["next_cursor"]
    device_id = everything_else(client, person, hold)
    page = pull(cursor=cursor).json
    assert [one["id"] for one in page["consents"]] == ["insights"]
    assert [one["id"] for one in page["screenings"]] == ["ear_cymba"]
    trial = client.get("/v1/experiments", headers=person.headers).json["items"][0]
    assert page["experiments"] == [trial]
    shown = client.get(f"/v1/devices/{device_id}/programme", headers=person.headers).json
    (device,) = page["devices"]
    assert device["programme"].items() <= shown.items()
    assert device["programme"]["desired"]["version"] == 1
    stop = f"/v1/experiments/{trial['id']}/stop"
    client.post(stop, json={"reason": "enough"}, headers=person.headers)
    client.delete("/v1/consents/insights", headers=person.headers)
    later = pull(cursor=page["next_cursor"]).json
    assert [one["status"] for one in later["experiments"]] == ["stopped"]
    assert {"kind": "consent", "id": "insights"} in later["tombstones"]


def test_a_red_flag_is_told_and_its_release_too(client, person, push, pull):
    cursor = pull().json["next_cursor"]
    fainted = {"items": {"fainting": {"severity": "severe"}}}
    push(operation("diary-entry", uuid4(), **FELT, **fainted))
    page = pull(cursor=cursor).json
    (flag,) = page["red_flags"]
    assert flag["symptom"] == "fainting"
    released = {"clinician": "Dr. Okafor", "seen_on": "2026-03-04"}
    client.post("/v1/screening/release", json=released, headers=person.headers)
    later = pull(cursor=page["next_cursor"]).json
    assert later["tombstones"] == [{"kind": "red-flag", "id": flag["id"]}]
    assert pull().json["red_flags"] == []


def test_an_app_from_before_these_kinds_gets_those_that_there_are(
    app, engine, client, person, hold, pull
):
    """Their change was told to nobody then, and the cursor says nothing of kinds."""
    everything_else(client, person, hold)
    later = ("experiment", "consent", "screening")
    with UnitOfWork(engine) as session, session.begin():
        session.query(Change).where(Change.kind.in_(later)).delete()
    page = pull().json
    assert len(page["experiments"]) == len(page["consents"]) == len(page["screenings"]) == 1
    with app.app_context():
        position = Position(*_opened(page["next_cursor"]))
        before = (position.epoch, position.number, position.gone_before)
        old = seal_cursor(f"sync|{person.id}", before)
    page = pull(cursor=old).json
    assert len(page["experiments"]) == len(page["consents"]) == len(page["screenings"]) == 1
    again = pull(cursor=page["next_cursor"]).json
    assert again["experiments"] == again["consents"] == again["screenings"] == []
    assert pull(cursor=old, kinds="session").status_code == 422


def _opened(cursor):
    import base64  # noqa: PLC0415

    import msgspec  # noqa: PLC0415

    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    return msgspec.msgpack.decode(raw[16:])


def test_reminders_are_merged_field_by_field(push, pull, client, person):
    id_ = uuid4()
    (made,) = push(operation("reminder", id_, **MORNING | {"weekdays": [2, 1, 2]}))
    assert (made["status"], made["reminder"]["weekdays"]) == ("applied", [1, 2])
    other, mine = operation("reminder", id_, 1, title="Noon"), operation("reminder", id_, 1)
    mine["fields"] = {"local_times": ["12:00", "09:00"], "enabled": True}
    assert [one["status"] for one in push(other, mine)] == ["applied", "applied"]
    (clash,) = push(operation("reminder", id_, 1, title="Evening"))
    assert (clash["status"], clash["conflicting"]) == ("conflict", ["title"])
    shown = client.get(f"/v1/reminders/{id_}", headers=person.headers).json
    assert clash["reminder"] == shown
    assert (shown["title"], shown["local_times"], shown["enabled"]) == (
        "Noon",
        ["09:00", "12:00"],
        True,
    )
    (gone,) = push(operation("reminder", id_, 3, action="delete"))
    assert (gone["status"], gone["deleted"]) == ("applied", True)
    assert client.get("/v1/reminders", headers=person.headers).json["items"] == []
    assert push(operation("reminder", id_, 3, title="x"))[0]["status"] == "conflict"
    assert pull().json["reminders"] == []


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"title": ""}, "/fields/title"),
        ({"title": None}, "/fields/title"),
        ({"local_times": ["25:00"]}, "/fields/local_times/0"),
        ({"weekdays": [0]}, "/fields/weekdays/0"),
        ({"weekdays": []}, "/fields/weekdays"),
        ({"items": ["mood", "colour"]}, "/fields/items/1"),
        ({"items": {"mood": 1}}, "/fields/items"),
        ({"note": "x"}, "/fields/note"),
    ],
)
def test_a_reminder_that_does_not_fit_is_rejected_where_it_does_not(push, fields, pointer):
    (answer,) = push(operation("reminder", uuid4(), **MORNING | fields))
    assert answer["status"] == "rejected"
    assert [error["pointer"] for error in answer["problem"]["errors"]] == [pointer]


def test_the_note_of_a_recorded_session_is_merged(push, pull, client, person, wear):
    worn = wear(person).samples().end().sum_up()
    (session,) = pull().json["sessions"]
    base = session["version"]
    noted = operation("session", worn.id, base, note="dry electrode")
    left_out = operation("session", worn.id, base, excluded=True)
    first, second = push(noted, left_out)
    assert [first["status"], second["status"]] == ["applied", "applied"]
    shown = client.get(f"/v1/sessions/{worn.id}", headers=person.headers).json
    assert second["session"] == shown
    assert (shown["note"], shown["excluded"]) == ("dry electrode", True)
    assert push(noted)[0]["status"] == "duplicate"
    (clash,) = push(operation("session", worn.id, base, note="wet"))
    assert (clash["status"], clash["conflicting"]) == ("conflict", ["note"])
    # What the session worker derives anew is no edit of the person's.
    worn.samples().sum_up()
    now = client.get(f"/v1/sessions/{worn.id}", headers=person.headers)
    assert (
        push(operation("session", worn.id, shown["version"], note="damp"))[0]["status"] == "applied"
    )
    etag = client.get(f"/v1/sessions/{worn.id}", headers=person.headers).headers["ETag"]
    patched = client.patch(
        f"/v1/sessions/{worn.id}",
        json={"note": "by hand"},
        headers=person.headers | {"If-Match": etag},
    )
    assert patched.status_code == 200
    (clash,) = push(operation("session", worn.id, now.json["version"], note="stale"))
    assert clash["conflicting"] == ["note"]


def test_of_a_recorded_session_nothing_else_can_be_pushed(push, pull, client, person, wear):
    worn = wear(person).samples().end().sum_up()
    version = pull().json["sessions"][0]["version"]
    refused = push(
        operation("session", worn.id, version, duration_s=5, note="x"),
        operation("session", worn.id, version, action="delete"),
    )
    for answer in refused:
        assert answer["status"] == "rejected"
        assert answer["problem"]["type"] == "urn:cymba:problem:recorded-session"
    assert refused[0]["problem"]["errors"] == [
        {"pointer": "/fields/duration_s", "detail": "is recorded"}
    ]
    etag = client.get(f"/v1/sessions/{worn.id}", headers=person.headers).headers["ETag"]
    erased = client.delete(f"/v1/sessions/{worn.id}", headers=person.headers | {"If-Match": etag})
    assert erased.status_code == 204
    lie = operation("session", worn.id, 2**31 - 1, note="back")
    for late in (operation("session", worn.id, version, note="x"), lie):
        (answer,) = push(late)
        assert (answer["status"], answer["session"], answer["deleted"]) == ("conflict", None, True)


def test_the_note_of_anothers_session_cannot_be_reached(client, person, make_person, wear):
    worn = wear(person).samples().end().sum_up()
    body = {"operations": [operation("session", worn.id, note="mine")]}
    answered = client.post("/v1/sync", json=body, headers=make_person().headers)
    (answer,) = answered.json["answers"]
    assert (answer["status"], answer["session"]) == ("rejected", None)
    assert client.get(f"/v1/sessions/{worn.id}", headers=person.headers).json["note"] is None
