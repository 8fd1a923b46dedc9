"""The feed and the pushes over HTTP: pages, conflicts told, answers lost."""

from uuid import uuid4

import pytest

from cymba.database import UnitOfWork
from cymba.sync.feed import renew_epoch

FELT = {"felt_at": "2026-03-01T07:30:00Z", "time_zone": "UTC"}


@pytest.fixture
def push(client, person):
    def send(*operations):
        answered = client.post(
            "/v1/sync", json={"operations": list(operations)}, headers=person.headers
        )
        assert answered.status_code == 200
        return answered.json["answers"]

    return send


@pytest.fixture
def pull(client, person):
    def read(cursor=None, limit=200):
        path = f"/v1/sync?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        return client.get(path, headers=person.headers)

    return read


def operation(entity_id, base_version=0, action="put", **fields):
    return {
        "id": str(uuid4()),
        "kind": "diary-entry",
        "action": action,
        "entity_id": str(entity_id),
        "base_version": base_version,
        "fields": fields,
    }


def test_what_was_pushed_comes_back_in_the_feed(push, pull):
    begun = pull().json["next_cursor"]
    id_ = uuid4()
    (made,) = push(operation(id_, **FELT, items={"pain_now": 4}))
    assert (made["status"], made["version"]) == ("applied", 1)
    feed = pull(begun).json
    assert feed["diary_entries"] == [made["entry"]]
    assert feed["more"] is False
    nothing = pull(feed["next_cursor"]).json
    assert nothing["diary_entries"] == []
    assert nothing["next_cursor"] == feed["next_cursor"]


def test_a_lost_answer_costs_nothing(push):
    made = operation(uuid4(), **FELT, items={"pain_now": 4})
    first, again = push(made)[0], push(made)[0]
    assert (first["status"], again["status"]) == ("applied", "duplicate")
    assert (again["version"], again["entry"]) == (first["version"], first["entry"])
    other = push(made | {"fields": FELT | {"items": {"pain_now": 9}}})[0]
    assert other["status"] == "rejected"
    assert other["problem"]["type"] == "urn:cymba:problem:operation-reused"


def test_a_bad_operation_costs_only_itself(push):
    good = [operation(uuid4(), **FELT, items={"mood": 5}) for _ in range(2)]
    bad = operation(uuid4(), **FELT, items={"mood": 50})
    broken = operation(uuid4(), felt_at=17)
    answers = push(good[0], bad, broken, good[1])
    assert [answer["status"] for answer in answers] == [
        "applied",
        "rejected",
        "rejected",
        "applied",
    ]
    assert answers[1]["problem"]["errors"][0]["pointer"] == "/fields/items/mood"
    assert answers[2]["problem"]["errors"][0]["pointer"] == "/fields/felt_at"


def test_different_fields_merge_and_one_field_conflicts(push):
    id_ = uuid4()
    push(operation(id_, **FELT, items={"pain_now": 4, "mood": 6}))
    assert push(operation(id_, 1, items={"mood": 7}))[0]["status"] == "applied"
    merged = push(operation(id_, 1, note="rain"))[0]
    assert merged["entry"]["items"] == {"pain_now": 4, "mood": 7}
    conflict = push(operation(id_, 1, items={"mood": 2}))[0]
    assert (conflict["status"], conflict["conflicting"]) == ("conflict", ["items.mood"])
    assert conflict["entry"] == merged["entry"]
    taken = push(operation(id_, 3, items={"mood": None}))[0]
    assert taken["entry"]["items"] == {"pain_now": 4}


def test_a_deletion_is_a_tombstone_to_the_others(push, pull):
    id_ = uuid4()
    push(operation(id_, **FELT))
    cursor = pull().json["next_cursor"]
    gone = push(operation(id_, 1, "delete"))[0]
    assert (gone["status"], gone["entry"], gone["deleted"]) == ("applied", None, True)
    feed = pull(cursor).json
    assert feed["tombstones"] == [{"kind": "diary-entry", "id": str(id_)}]
    assert pull().json["tombstones"] == []


def test_sessions_and_devices_come_too_page_by_page(client, pull, person, wear):
    worn = wear(person).samples().end().sum_up()
    seen, cursor, more = {}, None, True
    while more:
        feed = pull(cursor, limit=1).json
        cursor, more = feed["next_cursor"], feed["more"]
        for kind in ("sessions", "devices"):
            seen.setdefault(kind, []).extend(feed[kind])
    assert [s["id"] for s in seen["sessions"]] == [worn.id]
    shown = client.get(f"/v1/sessions/{worn.id}", headers=person.headers).json
    assert seen["sessions"] == [shown]
    assert [d["id"] for d in seen["devices"]] == [worn.device_id]


def test_cursors_are_the_accounts_own_and_expire_with_a_restore(client, pull, make_person, engine):
    cursor = pull().json["next_cursor"]
    other = make_person()
    refused = client.get(f"/v1/sync?cursor={cursor}", headers=other.headers)
    assert refused.status_code == 422
    with UnitOfWork(engine) as session, session.begin():
        renew_epoch(session)
    expired = pull(cursor)
    assert expired.status_code == 410
    assert expired.json["type"] == "urn:cymba:problem:cursor-expired"
    assert pull().status_code == 200


def test_a_full_push_fits_and_more_is_refused(client, person):
    many = [operation(uuid4(), **FELT, note="x" * 4000, items={"pain_now": 4}) for _ in range(200)]
    full = client.post("/v1/sync", json={"operations": many}, headers=person.headers)
    assert {answer["status"] for answer in full.json["answers"]} == {"applied"}
    surplus = client.post("/v1/sync", json={"operations": [*many, many[0]]}, headers=person.headers)
    assert surplus.status_code == 422
