"""The questions, the answers, and the lock of a red flag with its release."""

from uuid import uuid4

import pytest

from cymba.devices import contraindications
from cymba.devices.contraindications import EDITION, must_be_answered
from cymba.devices.models import MODELS
from cymba.devices.screening import SEEK_CARE
from tests.service.resources.test_programme import PROGRAMME, answer, problem

pytestmark = pytest.mark.usefixtures("versions_from_one")

EAR = MODELS["ear_cymba"]
__all__ = ["answer"]  # the fixture


@pytest.fixture
def feel(client):
    """Writes a symptom into the person's diary."""

    def write(person, symptom="fainting", felt_at="2026-03-01T08:00:00Z"):
        body = {"felt_at": felt_at, "time_zone": "UTC", "items": {symptom: {"severity": "severe"}}}
        path = f"/v1/diary/{uuid4()}"
        response = client.put(path, json=body, headers=person.headers)
        assert response.status_code == 201, response.json
        return response

    return write


def model_of(screening, name=EAR.name):
    return next(one for one in screening["models"] if one["model"] == name)


def programme_of(client, person, device_id):
    return client.get(f"/v1/devices/{device_id}/programme", headers=person.headers).json


def set_programme(client, person, device_id):
    path = f"/v1/devices/{device_id}/programme"
    etag = client.get(path, headers=person.headers).headers["ETag"]
    headers = {**person.headers, "If-Match": etag}
    return client.put(path, json={"programme": PROGRAMME}, headers=headers)


def test_the_questions_and_how_the_person_stands(client, person):
    shown = client.get("/v1/screening", headers=person.headers).json
    assert shown["text_version"] == f"{EDITION}/en"
    assert {one["name"] for one in shown["questions"]} >= {"active_implant", "seizures"}
    assert {one["name"] for one in shown["precautions"]} >= {"driving", "mri"}
    assert {one["model"] for one in shown["models"]} == MODELS.keys()
    ear = model_of(shown)
    assert ear["answers"] is None
    assert ear["lock"]["code"] == "screening-required"
    assert "carotid_disease" not in ear["questions"]
    assert "carotid_disease" in model_of(shown, "neck")["questions"]


@pytest.mark.parametrize("model", MODELS)
def test_an_app_that_answers_what_is_listed_is_never_refused(client, person, model):
    shown = client.get("/v1/screening", headers=person.headers)
    told = model_of(shown.json, model)
    texts = {one["name"] for one in shown.json["questions"]}
    assert set(told["questions"]) <= texts
    assert set(told["precautions"]) <= {one["name"] for one in shown.json["precautions"]}
    answers = dict.fromkeys(told["questions"], "no")
    body = {"model": model, "text_version": shown.json["text_version"], "answers": answers}
    headers = {**person.headers, "If-Match": shown.headers["ETag"]}
    done = client.put("/v1/screening/answers", json=body, headers=headers)
    assert done.status_code == 200
    assert model_of(done.json, model)["lock"] is None
    body["answers"] = answers | {told["precautions"][0]: "no"}
    refused = client.put("/v1/screening/answers", json=body, headers=headers)
    assert refused.json["type"] == "urn:cymba:problem:screening-incomplete"
    assert refused.json["errors"][0]["detail"] == "This is no question."


def test_answers_unlock_their_model_alone(client, answer, person):
    shown = answer(person).json
    ear = model_of(shown)
    assert ear["lock"] is None
    assert ear["text_version"] == f"{EDITION}/en"
    assert ear["answers"]["pregnancy"] == "no"
    assert model_of(shown, "neck")["lock"]["code"] == "screening-required"
    assert client.get("/v1/screening", headers=person.headers).json == shown


def test_answers_are_to_the_text_that_was_read(client, person, hold, monkeypatch):
    answers = {question.name: "no" for question in must_be_answered(EAR.sites)}
    body = {"model": EAR.name, "text_version": f"{EDITION}/en", "answers": answers}
    etag = client.get("/v1/screening", headers=person.headers).headers["ETag"]
    headers = {**person.headers, "If-Match": etag}
    assert client.put("/v1/screening/answers", json=body, headers=headers).status_code == 200
    device_id = hold(person)
    assert set_programme(client, person, device_id).status_code == 200
    monkeypatch.setattr(contraindications, "EDITION", EDITION + 1)
    monkeypatch.setattr(contraindications, "digest_in", lambda _: b"another text")
    stale = client.put("/v1/screening/answers", json=body, headers=headers)
    assert problem(stale) == (412, "stale")
    headers["If-Match"] = "*"
    old = client.put("/v1/screening/answers", json=body, headers=headers)
    assert problem(old) == (422, "questions-changed")
    assert problem(set_programme(client, person, device_id)) == (423, "screening-outdated")
    body["text_version"] = f"{EDITION + 1}/de"
    assert client.put("/v1/screening/answers", json=body, headers=headers).status_code == 200
    assert set_programme(client, person, device_id).status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"pregnancy": "cleared"}, "screening-incomplete"),
        ({"horoscope": "no"}, "screening-incomplete"),
        ({"pregnancy": "perhaps"}, "validation"),
    ],
)
def test_answers_that_are_none_are_refused(answer, person, change, code):
    assert problem(answer(person, **change)) == (422, code)


def test_a_red_flag_in_the_diary_locks_and_takes_the_current(client, person, answer, hold, feel):
    device_id, untouched = hold(person), hold(person, model="neck")
    answer(person)
    assert set_programme(client, person, device_id).status_code == 200
    written = feel(person).json
    assert written["advice"]
    for one in (device_id, untouched):
        state = programme_of(client, person, one)
        assert state["limits"]["amplitude_ua"] == 0
        assert state["desired"]["programme"]["amplitude_ua"] == 0
        assert state["lock"]["code"] == "red-flag"
    assert programme_of(client, person, device_id)["version"] == 2
    locked = set_programme(client, person, device_id)
    assert problem(locked) == (423, "red-flag")
    assert SEEK_CARE in locked.json["detail"]
    shown = client.get("/v1/screening", headers=person.headers).json
    assert shown["advice"] == SEEK_CARE
    assert [one["symptom"] for one in shown["red_flags"]] == ["fainting"]


def test_a_red_flag_that_was_written_offline_locks_too(client, person, hold):
    device_id = hold(person)
    cursor = client.get("/v1/sync", headers=person.headers).json["next_cursor"]
    operation = {
        "id": str(uuid4()),
        "kind": "diary-entry",
        "action": "put",
        "entity_id": str(uuid4()),
        "base_version": 0,
        "fields": {
            "felt_at": "2026-03-01T08:00:00Z",
            "time_zone": "UTC",
            "items": {"chest_pain": {"severity": "mild"}},
        },
    }
    body = {"operations": [operation]}
    pushed = client.post("/v1/sync", json=body, headers=person.headers)
    assert pushed.json["answers"][0]["status"] == "applied"
    assert programme_of(client, person, device_id)["limits"]["amplitude_ua"] == 0
    query = {"cursor": cursor}
    feed = client.get("/v1/sync", query_string=query, headers=person.headers).json
    assert [one["id"] for one in feed["devices"]] == [device_id]
    assert client.post("/v1/sync", json=body, headers=person.headers).status_code == 200
    assert programme_of(client, person, device_id)["version"] == 1


def test_a_device_that_is_claimed_under_a_red_flag_gets_no_current(
    client, person, make_person, hold, feel
):
    earlier = make_person()
    device_id = hold(earlier)
    feel(person)
    device = client.get(f"/v1/devices/{device_id}", headers=earlier.headers).json
    code = client.post(f"/v1/devices/{device_id}/transfer", headers=earlier.headers).json
    body = {"serial": device["serial"], "code": code["claim_code"]}
    claimed = client.post("/v1/devices/claim", json=body, headers=person.headers)
    assert claimed.status_code == 201
    assert programme_of(client, person, device_id)["limits"]["amplitude_ua"] == 0


def test_the_release_asks_again_and_brings_no_current_back(client, person, answer, hold, feel):
    device_id = hold(person)
    answer(person)
    set_programme(client, person, device_id)
    feel(person)
    seen = {"clinician": "Dr. Okafor", "seen_on": "2026-03-02"}
    released = client.post("/v1/screening/release", json=seen, headers=person.headers)
    assert released.status_code == 200
    assert released.json["red_flags"] == []
    assert released.json["advice"] is None
    assert model_of(released.json)["lock"]["code"] == "screening-outdated"
    assert problem(set_programme(client, person, device_id)) == (423, "screening-outdated")
    answer(person, fainting="yes")
    assert problem(set_programme(client, person, device_id)) == (423, "clearance-needed")
    answer(person, fainting="cleared")
    assert programme_of(client, person, device_id)["limits"]["amplitude_ua"] == 0
    assert set_programme(client, person, device_id).status_code == 200
    assert programme_of(client, person, device_id)["limits"]["amplitude_ua"] == 8000
    again = client.post("/v1/screening/release", json=seen, headers=person.headers)
    assert problem(again) == (409, "no-red-flag")


@pytest.mark.parametrize("seen_on", ["2026-02-01", "2199-01-01"])
def test_nobody_has_seen_it_before_it_was_felt_or_in_the_future(client, person, feel, seen_on):
    feel(person)
    seen = {"clinician": "Dr. Okafor", "seen_on": seen_on}
    refused = client.post("/v1/screening/release", json=seen, headers=person.headers)
    assert problem(refused) == (422, "validation")
    assert client.get("/v1/screening", headers=person.headers).json["red_flags"]


def test_what_others_felt_locks_nobody_else(client, person, make_person, answer, hold, feel):
    device_id = hold(person)
    answer(person)
    feel(make_person())
    assert set_programme(client, person, device_id).status_code == 200
