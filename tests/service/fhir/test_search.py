"""What every FHIR route keeps, whatever the resource type."""

from uuid import uuid4

import pytest

from cymba.fhir.registry import RESOURCE_TYPES


def outcome(answer) -> dict:
    assert answer.json["resourceType"] == "OperationOutcome"
    return answer.json["issue"][0]


def test_what_there_is_needs_no_token(ask):
    answer = ask("metadata", by=None)
    assert answer.status_code == 200
    assert answer.json["fhirVersion"] == "4.0.1"
    named = [one["type"] for one in answer.json["rest"][0]["resource"]]
    assert named == list(RESOURCE_TYPES)


def test_the_person_is_found_and_read(ask, person):
    found = ask("Patient").json
    assert [one["resource"]["id"] for one in found["entry"]] == [str(person.id)]
    read = ask(f"Patient/{person.id}")
    assert read.json == found["entry"][0]["resource"]
    assert read.json["telecom"] == [{"system": "email", "value": person.email}]
    assert ask(f"Patient/{person.id}", **{"If-None-Match": read.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("Patient/0", 404, "not-found"),
        ("Practitioner", 404, "not-found"),
        ("Device/a/b/c", 404, "not-found"),
        ("", 404, "not-found"),
        ("Device?colour=red", 400, "invalid"),
        ("Device?patient:missing=true", 400, "invalid"),
        ("Device?_count=0", 400, "invalid"),
        ("Device?_count=many", 400, "invalid"),
        ("Device?_count=1&_count=2", 400, "invalid"),
        ("Device?_cursor=AAAA", 400, "invalid"),
        ("Device?_format=xml", 406, "not-supported"),
    ],
)
def test_every_error_is_an_operation_outcome(ask, path, status, code):
    answer = ask(path)
    assert answer.status_code == status
    assert outcome(answer)["code"] == code


def test_what_writes_is_refused_in_fhirs_form(app, person):
    for method in ("post", "put", "patch", "delete"):
        answer = getattr(app.test_client(), method)(
            f"/fhir/R4/Patient/{person.id}", headers=person.headers, json={}
        )
        assert (answer.status_code, outcome(answer)["code"]) == (405, "not-supported")


def test_without_a_token_nothing_is_read(ask):
    for path in ("Patient", "Patient/1", "Device"):
        answer = ask(path, by=None)
        assert (answer.status_code, outcome(answer)["code"]) == (401, "login")
        assert answer.headers["WWW-Authenticate"]


def test_another_form_than_json_is_refused_and_json_by_any_of_its_names_is_not(ask):
    assert ask("metadata", Accept="application/fhir+xml").status_code == 406
    for name in ("application/fhir+json", "application/json", "*/*", "text/html, */*;q=0.1"):
        assert ask("metadata", Accept=name).status_code == 200
    for name in ("json", "application/fhir%2Bjson", "application/fhir+json"):
        assert ask(f"Patient?_format={name}").status_code == 200


def test_a_share_opens_what_its_scopes_are_for_and_each_look_is_noted(
    ask, client, person, hold, share
):
    hold(person)
    sessions, diary = share(person, "sessions"), share(person, "diary")
    seen = ask("Device", by=sessions).json["entry"][0]["resource"]
    assert "serialNumber" not in seen
    assert ask("Device").json["entry"][0]["resource"]["serialNumber"]
    refused = ask("Device", by=diary)
    assert (refused.status_code, outcome(refused)["code"]) == (403, "forbidden")
    named = ask("Patient", by=diary).json["entry"][0]["resource"]
    assert "telecom" not in named
    log = client.get("/v1/audit", headers=person.headers).json["items"]
    looks = [one["action"] for one in log if one["actor_kind"] == "share"]
    assert looks == ["share.read", "sessions.read"]


def test_each_share_finds_its_part_of_the_record_and_no_more(
    ask, client, person, wear, share, read_all
):
    wear(person).samples().end().sum_up()
    given = {"felt_at": "2026-03-01T20:00:00Z", "time_zone": "UTC", "items": {"pain_now": 3}}
    entry = f"/v1/diary/{uuid4()}"
    assert client.put(entry, json=given, headers=person.headers).status_code == 201
    whole = f"Patient/{person.id}/$everything"

    def kinds(by):
        return {(one["resourceType"], "survey" in str(one)) for one in read_all(whole, by=by)}

    of_sessions = {(one, False) for one in ("Patient", "Device", "DeviceUseStatement", "Procedure")}
    of_sessions |= {("DeviceMetric", False), ("Observation", False), ("Provenance", False)}
    of_diary = {("Patient", False), ("Observation", True), ("QuestionnaireResponse", False)}
    of_diary |= {("Provenance", False)}
    assert kinds(share(person, "sessions")) == of_sessions
    assert kinds(share(person, "diary")) == of_diary
    assert kinds(person) == of_sessions | of_diary
    for path in ("Consent", whole):
        refused = ask(path, by=share(person, "insights"))
        assert (refused.status_code, outcome(refused)["code"]) == (403, "forbidden")
    log = client.get("/v1/audit", headers=person.headers).json["items"]
    looks = {one["action"] for one in log if one["actor_kind"] == "share"}
    assert looks == {"sessions.read", "diary.read"}


def test_a_large_answer_is_packed(ask, client, person):
    for hour in range(10):
        at = f"2026-03-01T{hour:02}:00:00Z"
        given = {"felt_at": at, "time_zone": "UTC", "items": {"pain_now": 3, "mood": 4}}
        client.put(f"/v1/diary/{uuid4()}", json=given, headers=person.headers)
    packed = ask("Observation", **{"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    found = ask("Observation?code=72514-3&date=ge2026-03-01T05:00:00Z").json["entry"]
    assert len(found) == 5


@pytest.mark.parametrize(
    "path",
    [
        "Observation?_id=%00",
        "Observation/%00",
        "Observation/hr.ffffffffffffff." + "0" * 32,
        "Observation/sdnn.-ffffffffffffff." + "0" * 32,
        "Observation/" + "x." * 2000,
        "Observation?_id=" + ",".join("a" * 60 for _ in range(150)),
        "Observation?_count=%D9%A1",
        "Observation?_cursor=%00",
        "Observation?_cursor=a&_cursor=b",
        "Observation?date=ge0001-01-01T00:00:00%2B14:00",
        "Observation?date=%00",
        "Observation?code=%7C",
        "Observation?code=a%00%7Cb",
        "Observation?%00=1",
        "Patient/%2e%2e/$everything",
        "Patient/1/$everything?_type=%00&_since=9999",
        "Patient/1/$nothing",
        "%00",
        "Observation?_format=%00",
    ],
)
def test_odd_input_is_answered_and_costs_nobody(ask, path):
    answer = ask(path)
    assert answer.status_code in {200, 400, 404, 406}
    assert answer.json["resourceType"] in {"OperationOutcome", "Bundle"}
