"""The feed and pushes over HTTP: pages, conflicts, lost answers."""

import json
from uuid import uuid4

import pytest

from cymba.database import UnitOfWork
from cymba.sync.feed import renew_epoch
from tests.service.resources.sync_phone import Phone

FELT = {"felt_at": "2026-03-01T07:30:00.000000Z", "time_zone": "UTC"}


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
    assert expired.json["type"] == "urn:cymba:problem:restored"
    assert pull().status_code == 200


def test_a_full_push_fits_and_more_is_refused(client, person):
    many = [operation(uuid4(), **FELT, note="x" * 4000, items={"pain_now": 4}) for _ in range(200)]
    full = client.post("/v1/sync", json={"operations": many}, headers=person.headers)
    assert {answer["status"] for answer in full.json["answers"]} == {"applied"}
    surplus = client.post("/v1/sync", json={"operations": [*many, many[0]]}, headers=person.headers)
    assert surplus.status_code == 422


def raw_push(client, person, *texts):
    body = b'{"operations": [' + b", ".join(texts) + b"]}"
    return client.post(
        "/v1/sync", data=body, content_type="application/json", headers=person.headers
    )


def text(written):
    return json.dumps(written).encode()


MALFORMED = {
    "no object": b"7",
    "nothing in it": b"{}",
    "not JSON": b'{"id": nul}',
    "the wrong bracket": b'{"id": 1]',
    "half a character": b'{"id": "\\ud800"}',
    "not UTF-8": b'{"id": "\xff"}',
    "a member twice": b'{"id": "%s", "id": "%s"}' % (str(uuid4()).encode(), b"x"),
    "no id": text({**operation(uuid4(), **FELT), "id": "mine"}),
    "another kind": text({**operation(uuid4(), **FELT), "kind": "session"}),
    "a version that is none": text(operation(uuid4(), -1, **FELT)),
    "a member too many": text({**operation(uuid4(), **FELT), "colour": "red"}),
    "fields that are none": text({**operation(uuid4()), "fields": [1]}),
    "an item twice": text(operation(uuid4(), **FELT, items={"mood": 1})).replace(
        b'"mood": 1', b'"mood": 1, "mood": 2'
    ),
    "too large": text(operation(uuid4(), **FELT, note="x" * 70_000)),
    **{
        f"{depth} deep": text(operation(uuid4(), **FELT, items={"mood": 1})).replace(
            b'"mood": 1', b'"mood": ' + b"[" * depth + b"]" * depth
        )
        for depth in (6, 31, 300, 1_000, 3_000)
    },
}


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_operation_costs_only_itself(client, person, malformed):
    good = [operation(uuid4(), **FELT, note='a ] and a } and a \\ and a " and a ,') for _ in "ab"]
    answered = raw_push(client, person, text(good[0]), malformed, text(good[1]))
    assert answered.status_code == 200
    first, bad, last = answered.json["answers"]
    assert [first["status"], bad["status"], last["status"]] == ["applied", "rejected", "applied"]
    assert first["entry"]["note"] == good[0]["fields"]["note"]
    assert [first["id"], last["id"]] == [good[0]["id"], good[1]["id"]]
    assert bad["problem"]["type"].startswith("urn:cymba:problem:")


@pytest.mark.parametrize(
    "body",
    [
        b'{"operations": [], "operations": []}',
        b'{"operations": [1], "operations": []}',
        b'{"operations": [], "operat\\u0069ons": []}',
        b'{"operations": [], "colour": []}',
        b'{"operations": {"a": 1}}',
        b'{"operations": [1,]}',
        b'{"operations": [1,,2]}',
        b'{"operations": [1}]',
        b'{"operations": [' + b"[]," * 50_000 + b"1]}",
        b'{"operations": [1',
        b'{"operations": ["1]}',
        b'{"operations": [1]}]',
        b'{"a": [1], "operations": [2]}',
        b"[1]",
        b"[[1]]",
        b"]]]]",
    ],
)
def test_a_push_that_is_no_list_of_operations_is_refused_whole(client, person, body):
    refused = client.post(
        "/v1/sync", data=body, content_type="application/json", headers=person.headers
    )
    assert refused.status_code in {400, 422}


def test_the_same_operation_is_a_duplicate_however_it_is_written(client, person, push):
    items = {"mood": 7, "phq4": [0, 1, 2, 3], "lab": [{"name": "crp", "value": 3}]}
    first, second = operation(uuid4(), **FELT, items=items), operation(uuid4(), **FELT)
    assert [answer["status"] for answer in push(first, second)] == ["applied"] * 2
    anew = text(first).replace(b'"mood": 7', b'"mood": 7.0').replace(b"[0, 1", b"[0.0, 1.0")
    anew = anew.replace(b'"base_version": 0', b'"base_version": 0.0')
    anew = anew.replace(b'{"name": "crp", "value": 3}', b'{"value": 3.0, "name": "crp"}')
    anew = anew.replace(b"T07:30:00Z", b"T08:30:00.000+01:00")
    assert anew.count(b".0") >= 5
    for again in (anew, text(dict(reversed(json.loads(anew).items())))):
        (answer,) = raw_push(client, person, again).json["answers"]
        assert answer["status"] == "duplicate", answer
    # In smaller pieces, and by an app that has learned more since.
    assert push(second | {"base_version": 1, "builds_on": []})[0]["status"] == "duplicate"


def test_whole_numbers_may_be_written_with_a_point(client, person):
    written = text(operation(uuid4(), **FELT, items={"mood": 7})).replace(b": 7", b": 7.0")
    (answer,) = raw_push(client, person, written).json["answers"]
    assert (answer["status"], answer["entry"]["items"]) == ("applied", {"mood": 7})
    path = f"/v1/diary/{uuid4()}"
    put = client.put(path, json=FELT | {"items": {"mood": 7.0}}, headers=person.headers)
    assert put.json["items"] == {"mood": 7}
    half = text(operation(uuid4(), **FELT, items={"mood": 7})).replace(b": 7", b": 7.5")
    assert raw_push(client, person, half).json["answers"][0]["status"] == "rejected"


def test_long_notes_in_any_script_get_through_in_halves(client, person):
    def send(method, path, body):
        sent.append(len(body["operations"]))
        answered = client.open(path, method=method, json=body, headers=person.headers)
        return answered.status_code, answered.json

    sent: list[int] = []
    phone = Phone(send)
    made = {}
    for i in range(200):  # the test client writes 6 bytes a character: more than the phone counts
        entity_id = str(uuid4())
        phone.edit(entity_id, FELT | {"note": f"{i:04}" + "痛" * 3_996})
        made[entity_id] = phone.queue[-1]["fields"]["note"]
    assert phone.push()
    assert sent[0] > sent[1]
    assert (phone.queue, phone.rejected, phone.conflicts) == ([], [], [])
    assert {id_: entry["note"] for id_, entry in phone.mirror.items()} == made


def test_an_app_that_does_not_say_what_it_builds_on_is_answered_a_conflict_at_worst(push):
    id_ = uuid4()
    push(operation(id_, **FELT, items={"pain_now": 3}))
    push(operation(id_, 1, items={"pain_now": 7}))  # by the other phone
    noted = push(operation(id_, 1, note="rain"))[0]
    assert (noted["status"], noted["entry"]["version"], noted["version"]) == ("applied", 3, 1)
    rebased = operation(id_, noted["version"], items={"pain_now": 5})
    assert push(rebased)[0]["conflicting"] == ["items.pain_now"]
    # What comes in one push was made by one app, in that order.
    new = uuid4()
    both = push(operation(new, **FELT, items={"mood": 4}), operation(new, items={"mood": 5}))
    assert [answer["status"] for answer in both] == ["applied", "applied"]


def test_what_was_built_on_an_edit_that_was_not_taken_is_not_taken_either(push):
    id_ = uuid4()
    push(operation(id_, **FELT, note="a", items={"pain_now": 3}))
    push(operation(id_, 1, items={"pain_now": 7}))  # by the other phone
    first = operation(id_, 1, items={"pain_now": 5}) | {"builds_on": []}
    # The app pulled in between: its copy has the 7, under its own 5, where nobody sees it.
    second = operation(id_, 2, items={"pain_now": 4}) | {"builds_on": [first["id"]]}
    beside = operation(id_, 2, note="b") | {"builds_on": [first["id"]]}
    assert push(first)[0]["status"] == "conflict"
    assert push(second)[0]["conflicting"] == ["items.pain_now"]
    assert push(beside)[0]["status"] == "applied"


def test_an_app_that_lies_about_what_it_builds_on_gains_nothing(push, make_person, client):
    id_, other = uuid4(), uuid4()
    made = operation(id_, **FELT, items={"pain_now": 3}) | {"builds_on": []}
    elsewhere = operation(other, **FELT, items={"pain_now": 1}) | {"builds_on": []}
    push(made, elsewhere)
    theirs = operation(id_, 1, items={"pain_now": 7}) | {"builds_on": []}
    push(theirs)
    stranger = make_person()
    foreign = operation(id_, **FELT, items={"pain_now": 9}) | {"builds_on": []}
    client.post("/v1/sync", json={"operations": [foreign]}, headers=stranger.headers)
    lie = operation(id_, 1, items={"pain_now": 0})
    lies = [
        lie | {"builds_on": [elsewhere["id"]]},  # another entry's
        lie | {"builds_on": [foreign["id"]]},  # another account's
        lie | {"builds_on": [lie["id"]]},  # itself
        lie | {"builds_on": [str(uuid4()) for _ in range(200)]},
        lie | {"builds_on": [made["id"]]},
        lie | {"builds_on": [made["id"], str(uuid4())]},
        lie | {"base_version": 2**31 - 1, "builds_on": []},
        lie | {"base_version": 2**31 - 1},
    ]
    for each in lies:
        (answer,) = push(each | {"id": str(uuid4())})
        assert (answer["status"], answer["entry"]["items"]) == ("conflict", {"pain_now": 7})
        (deletion,) = push(each | {"id": str(uuid4()), "action": "delete", "fields": {}})
        assert (deletion["status"], deletion["deleted"]) == ("conflict", False)
    (refused,) = push(lie | {"builds_on": [str(uuid4()) for _ in range(201)]})
    assert refused["status"] == "rejected"
    shown = client.get(f"/v1/diary/{id_}", headers=stranger.headers).json
    assert shown["items"] == {"pain_now": 9}
