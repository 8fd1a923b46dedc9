"""Nobody sees or touches another's data, by any route that the document has.

The routes are read from the document, so one that is added is tried too; a path parameter that
this test does not know fails it until somebody says what of Ada's it stands for.
"""

import json
from uuid import uuid4

import pytest

METHODS = {"get", "put", "post", "patch", "delete"}
MARK = "of Ada alone"


def example_body(operation):
    content = operation.get("requestBody", {}).get("content", {})
    return next((media["example"] for media in content.values()), None)


@pytest.fixture
def routes(document):
    """(method, path, operation) of everything that needs a token."""
    return [
        (method, path, operation)
        for path, item in document.api["paths"].items()
        for method, operation in item.items()
        if method in METHODS and operation.get("security") != []
    ]


@pytest.fixture
def ada(make_person):
    return make_person()


@pytest.fixture
def eve(make_person, wear):
    person = make_person()
    wear(person).samples().end().sum_up()
    return person


@pytest.fixture
def of_ada(client, ada, wear, document):
    """A thing of Ada's for each path parameter, and everything that would give it away."""
    worn = wear(ada).samples().event("lead_off").end().sum_up()
    guarded = {**ada.headers, "If-Match": "*"}

    def put(path, **changes):
        example = example_body(document.api["paths"][path]["put"])
        made = str(uuid4())
        name = path.rpartition("{")[2].rstrip("}")
        body = {**example, **changes}
        response = client.put(path.replace("{" + name + "}", made), json=body, headers=ada.headers)
        assert response.status_code in {200, 201}
        return made

    session = f"/v1/sessions/{worn.id}"
    assert client.patch(session, json={"note": MARK}, headers=guarded).status_code == 200
    device = f"/v1/devices/{worn.device_id}"
    assert client.patch(device, json={"name": MARK}, headers=guarded).status_code == 200
    return {
        "session_id": worn.id,
        "device_id": worn.device_id,
        "entry_id": put("/v1/diary/{entry_id}", note=MARK),
        "reminder_id": put("/v1/reminders/{reminder_id}"),
    }


def filled(path, values):
    return path.format_map(values)


def everything(client, person, routes, values):
    """All that a person can read, without what streams."""
    answers = {}
    for method, path, _ in routes:
        if method == "get" and not path.endswith("/live"):
            response = client.get(filled(path, values), headers=person.headers)
            answers[path] = (response.status_code, response.data)
    return answers


def test_every_path_parameter_is_known(routes, of_ada):
    named = {
        part.strip("{}") for _, path, _ in routes for part in path.split("/") if part[:1] == "{"
    }
    assert named <= of_ada.keys()


def test_no_identifier_of_one_opens_anything_for_the_other(client, routes, ada, eve, of_ada):
    before = everything(client, ada, routes, of_ada)
    assert all(status == 200 for status, _ in before.values()), before
    secrets = [MARK, ada.email, str(ada.id), of_ada["session_id"], of_ada["device_id"]]
    tried = 0
    for method, path, operation in routes:
        if path == "/v1/account" and method == "delete":
            continue  # it names nobody: its own test erases
        where = filled(path, of_ada)
        query = {
            one["name"]: of_ada[one["name"]]
            for one in operation["parameters"]
            if one["in"] == "query" and one["name"] in of_ada
        }
        response = client.open(
            where,
            method=method.upper(),
            json=example_body(operation),
            query_string=query,
            headers={**eve.headers, "If-Match": "*"},
        )
        label = f"{method.upper()} {path} answered {response.status_code}"
        assert not any(secret in response.text for secret in secrets), label
        if "{" in path:
            # An id that the app makes is the app's own: the same one names something else to Eve.
            made_own = method == "put" and response.status_code in {200, 201}
            again = path in {"/v1/diary/{entry_id}", "/v1/reminders/{reminder_id}"}
            assert response.status_code == 404 or made_own or again, label
            tried += 1
    assert tried >= 12
    assert everything(client, ada, routes, of_ada) == before


def test_a_token_is_needed_everywhere(client, routes, of_ada):
    for method, path, operation in routes:
        response = client.open(
            filled(path, of_ada), method=method.upper(), json=example_body(operation)
        )
        assert response.status_code == 401, f"{method} {path}"


def test_the_sync_of_one_never_tells_of_the_other(client, ada, eve, of_ada):
    pushed = {
        "operations": [
            {
                "id": str(uuid4()),
                "kind": "diary-entry",
                "action": "delete",
                "entity_id": of_ada["entry_id"],
                "base_version": 1,
                "fields": {},
            }
        ]
    }
    cursor = client.get("/v1/sync", headers=ada.headers).json["next_cursor"]
    client.post("/v1/sync", json=pushed, headers=eve.headers)
    told = client.get("/v1/sync", headers=eve.headers)
    assert not any(value in told.text for value in (*of_ada.values(), MARK))
    mine = client.get("/v1/sync", headers=ada.headers).json
    assert [entry["id"] for entry in mine["diary_entries"]] == [of_ada["entry_id"]]
    stolen = client.get("/v1/sync", query_string={"cursor": cursor}, headers=eve.headers)
    assert stolen.status_code == 422


def test_the_former_holder_keeps_what_was_theirs_and_sees_no_more(client, ada, eve, of_ada):
    handed = client.post(f"/v1/devices/{of_ada['device_id']}/transfer", headers=ada.headers)
    serial = client.get(f"/v1/devices/{of_ada['device_id']}", headers=ada.headers).json["serial"]
    claim = {"serial": serial, "code": handed.json["claim_code"]}
    assert client.post("/v1/devices/claim", json=claim, headers=eve.headers).status_code == 201
    path = f"/v1/sessions/{of_ada['session_id']}"
    assert client.get(path, headers=ada.headers).status_code == 200
    assert client.get(path, headers=eve.headers).status_code == 404
    held = f"/v1/devices/{of_ada['device_id']}"
    assert client.get(held, headers=ada.headers).status_code == 404
    narrowed = {"device_id": of_ada["device_id"]}
    theirs = client.get("/v1/sessions", query_string=narrowed, headers=eve.headers)
    assert json.loads(theirs.data)["items"] == []
