"""The desired programme over REST: set within limits and locks, reported, listed."""

from datetime import timedelta

import msgspec
import pytest

from cymba.database import UnitOfWork, utc_now
from cymba.devices.contraindications import EDITION, must_be_answered
from cymba.devices.messages import Programme, ReportedState
from cymba.devices.models import LIMIT_NAMES, MODELS, named
from cymba.devices.programme import record_report
from cymba.devices.publication import mark_published, unpublished
from cymba.devices.signing import verify
from cymba.settings import FIRST_CELL
from service.http.services import Services
from service.shapes.programmes import ProgrammeLimitsSchema, ProgrammeSchema

pytestmark = pytest.mark.usefixtures("versions_from_one")

EAR = MODELS["ear_cymba"]
PROGRAMME = {
    "frequency_hz": 25,
    "pulse_width_us": 250,
    "amplitude_ua": 1500,
    "on_s": 30,
    "off_s": 30,
    "duration_s": 1800,
    "site": "cymba_conchae",
    "side": "left",
    "ramp_ua_per_s": 500,
}


@pytest.fixture
def device_id(hold, person):
    return hold(person)


@pytest.fixture
def path(device_id):
    return f"/v1/devices/{device_id}/programme"


@pytest.fixture
def answer(client):
    """Answers the questions for a model, all with no but those that are given."""

    def give(person, model=EAR, **given):
        answers = {question.name: "no" for question in must_be_answered(model.sites)}
        body = {"model": model.name, "text_version": f"{EDITION}/en", "answers": answers | given}
        headers = {**person.headers, "If-Match": f'"{EDITION}"'}
        return client.put("/v1/screening/answers", json=body, headers=headers)

    return give


@pytest.fixture
def put(client, path, person):
    def send(version, headers=person.headers, **changes):
        body = {"programme": PROGRAMME | changes.pop("programme", {}), **changes}
        return client.put(path, json=body, headers={**headers, "If-Match": f'"{version}"'})

    return send


@pytest.fixture
def screened(answer, person):
    assert answer(person).status_code == 200


def problem(response):
    return response.status_code, response.json["type"].removeprefix("urn:cymba:problem:")


def test_before_the_first_there_is_only_what_the_model_allows(client, path, person):
    state = client.get(path, headers=person.headers)
    assert state.headers["ETag"].startswith('"0.')
    assert state.json["version"] == 0
    assert state.json["desired"] is None
    assert state.json["held"] is None
    assert state.json["in_step"]
    assert state.json["limits"] == state.json["model_limits"] == named(EAR.hard)
    assert state.json["lock"]["code"] == "screening-required"


@pytest.mark.usefixtures("screened")
def test_a_high_current_density_is_shown_and_not_refused(client, path, put, person):
    before = client.get(path, headers=person.headers).json
    assert (before["rms_density_ma_per_cm2"], before["density_needs_attention"]) == (None, False)
    usual = put(0, programme={"amplitude_ua": 1500}).json
    assert usual["rms_density_ma_per_cm2"] == pytest.approx(0.335, abs=1e-3)
    assert not usual["density_needs_attention"]
    # Left to titration, it may come to what the limits allow.
    dense = put(1, programme={"amplitude_ua": 0, "frequency_hz": 100})
    assert dense.status_code == 200
    assert dense.json["density_needs_attention"]
    narrower = put(
        2, programme={"amplitude_ua": 0, "frequency_hz": 100}, limits={"amplitude_ua": 2000}
    )
    assert not narrower.json["density_needs_attention"]


@pytest.mark.usefixtures("screened")
def test_a_programme_is_set_published_and_reported(client, app, engine, path, put, person):
    etag = client.get(path, headers=person.headers).headers["ETag"]
    body = {"programme": PROGRAMME, "limits": {"amplitude_ua": 3000}}
    done = client.put(path, json=body, headers={**person.headers, "If-Match": etag})
    assert done.status_code == 200
    assert done.json["desired"]["state"] == "waiting"
    assert done.json["limits"] == named(EAR.hard) | {"amplitude_ua": 3000}
    assert not done.json["in_step"]
    with UnitOfWork(engine) as session, session.begin():
        (sent,) = unpublished(session, FIRST_CELL)
        edge: Services = app.extensions["cymba"]
        assert verify(edge.programme_key.public_key(), sent.device_id, sent.desired)
        mark_published(session, [sent], FIRST_CELL, utc_now())
    assert client.get(path, headers=person.headers).json["desired"]["state"] == "sent"
    with UnitOfWork(engine) as session, session.begin():
        record_report(session, sent.device_id, ReportedState(ver=1, applied=True), utc_now())
    state = client.get(path, headers=person.headers).json
    assert state["desired"]["state"] == "applied"
    assert state["held"] == state["desired"]
    assert state["in_step"]
    # The device's report changed the answer, but not what the person would edit.
    assert put(1, programme={"amplitude_ua": 1400}).status_code == 200


@pytest.mark.usefixtures("screened")
def test_a_refusal_of_the_device_is_told_in_words(client, engine, device_id, path, put, person):
    assert put(0).status_code == 200
    with UnitOfWork(engine) as session, session.begin():
        refused = ReportedState(ver=1, applied=False, code="in-session")
        record_report(session, device_id, refused, utc_now())
    state = client.get(path, headers=person.headers).json
    assert state["desired"]["state"] == "refused"
    assert state["desired"]["refusal_code"] == "in-session"
    assert "a session is running" in state["desired"]["refusal"]
    assert state["held"] is None


@pytest.mark.usefixtures("screened")
def test_a_change_names_the_version_it_was_made_on(client, path, put, person):
    assert put(0).status_code == 200
    assert problem(put(0)) == (412, "stale")
    body = {"programme": PROGRAMME}
    assert problem(client.put(path, json=body, headers=person.headers)) == (
        428,
        "if-match-required",
    )
    assert put(1).json["version"] == 2


@pytest.mark.usefixtures("screened")
@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"programme": {"amplitude_ua": 8001}}, "beyond-limits", "/programme/amplitude_ua"),
        ({"limits": {"amplitude_ua": 9000}}, "limits-widened", "/limits/amplitude_ua"),
        ({"limits": {"amplitude_ua": 1000}}, "beyond-limits", "/programme/amplitude_ua"),
        ({"programme": {"ramp_ua_per_s": None}}, "beyond-limits", "/programme/ramp_ua_per_s"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expired", "/expires_at"),
    ],
)
def test_what_goes_too_far_is_refused_and_listed(client, path, put, person, changes, code, pointer):
    refused = put(0, **changes)
    assert problem(refused) == (422, code)
    assert [one["pointer"] for one in refused.json["errors"]] == [pointer]
    assert client.get(path, headers=person.headers).json["version"] == 0
    (kept,) = client.get(f"{path}/refused", headers=person.headers).json["items"]
    assert kept["code"] == code
    assert pointer in kept["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"programme": PROGRAMME | {"frequency_hz": "25"}},
        {"programme": PROGRAMME | {"frequency_hz": True}},
        {"programme": PROGRAMME | {"frequency_hz": 0}},
        {"programme": PROGRAMME | {"amplitude_ua": 1.5}},
        {"programme": PROGRAMME | {"site": "wrist"}},
        {"programme": PROGRAMME | {"charm": 1}},
        {"programme": PROGRAMME, "limits": {"charm": 1}},
        {"programme": PROGRAMME, "limits": {"amplitude_ua": -1}},
        {"programme": PROGRAMME, "expires_at": "tomorrow"},
        {"limits": {}},
    ],
)
def test_a_body_of_another_form_is_not_taken(client, path, person, body):
    headers = {**person.headers, "If-Match": '"0"'}
    assert problem(client.put(path, json=body, headers=headers)) == (422, "validation")


def test_the_schema_has_the_bounds_of_the_wire():
    sample = PROGRAMME | {"ramp_ua_per_s": 1, "native_level": 0, "sensory_threshold_ua": 1}
    fields = ProgrammeSchema().fields
    assert fields.keys() == set(Programme.__struct_fields__)
    assert ProgrammeLimitsSchema().fields.keys() == set(LIMIT_NAMES)
    for name in fields.keys() - {"site", "side"}:
        for value in (-1, 0, 0.5, 1, 1000, 1001, 10_000, 10_001, 14_400, 14_401, 60_001, 86_401):
            given = sample | {name: value}
            try:
                msgspec.convert(given, Programme)
                fits_the_wire = True
            except msgspec.ValidationError:
                fits_the_wire = False
            assert (not ProgrammeSchema().validate(given)) == fits_the_wire, (name, value)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "screening-required"),
        ({"pregnancy": "yes"}, "contraindicated"),
        ({"seizures": "unsure"}, "clearance-needed"),
    ],
)
def test_a_lock_says_why_and_what_to_do(client, path, put, person, answer, given, code):
    if given is not None:
        shown = answer(person, **given).json
        model = next(one for one in shown["models"] if one["model"] == EAR.name)
        assert model["lock"]["code"] == code
    locked = put(0)
    assert problem(locked) == (423, code)
    assert locked.json["detail"]
    assert client.get(path, headers=person.headers).json["lock"]["code"] == code
    # To allow no current is always possible.
    assert put(0, programme={"amplitude_ua": 0}, limits={"amplitude_ua": 0}).status_code == 200


@pytest.mark.usefixtures("screened")
def test_history_and_refusals_come_in_pages(client, path, put, person):
    for version in range(3):
        assert put(version).status_code == 200
        assert put(version + 1, programme={"amplitude_ua": 8001 + version}).status_code == 422
    for kind, key in (("history", lambda one: one["version"]), ("refused", amplitude)):
        seen, cursor = [], None
        while True:
            query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = client.get(f"{path}/{kind}", query_string=query, headers=person.headers).json
            seen += [key(one) for one in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == ([3, 2, 1] if kind == "history" else [8003, 8002, 8001])


def amplitude(refused):
    return refused["programme"]["amplitude_ua"]


@pytest.mark.usefixtures("screened")
def test_the_next_holder_gets_nothing_of_an_earlier_ones(
    client, engine, path, put, device_id, person, make_person, answer
):
    assert put(0, limits={"amplitude_ua": 2000}).status_code == 200
    assert put(1, programme={"amplitude_ua": 9000}).status_code == 422
    code = client.post(f"/v1/devices/{device_id}/transfer", headers=person.headers).json
    serial = client.get(f"/v1/devices/{device_id}", headers=person.headers).json["serial"]
    other = make_person()
    body = {"serial": serial, "code": code["claim_code"]}
    claimed = client.post("/v1/devices/claim", json=body, headers=other.headers)
    assert claimed.status_code == 201
    assert client.get(path, headers=person.headers).status_code == 404
    state = client.get(path, headers=other.headers).json
    assert state["version"] == 2
    assert state["is_earlier_holders"]
    assert state["desired"] is None
    assert not state["in_step"]
    assert state["limits"] == state["model_limits"] | {"amplitude_ua": 0}
    for kind in ("history", "refused"):
        assert client.get(f"{path}/{kind}", headers=other.headers).json["items"] == []
    with UnitOfWork(engine) as session, session.begin():
        ((_, cleared),) = unpublished(session, FIRST_CELL)
        assert (cleared.ver, cleared.limits) == (2, {"amplitude_ua": 0})
        record_report(session, device_id, ReportedState(ver=2, applied=True), utc_now())
    state = client.get(path, headers=other.headers).json
    assert state["in_step"]
    assert not state["is_earlier_holders"]
    answer(other)
    done = put(2, headers=other.headers)
    assert done.json["version"] == 3
    assert not done.json["is_earlier_holders"]
    assert done.json["limits"] == done.json["model_limits"]


@pytest.mark.usefixtures("screened")
def test_a_device_that_is_let_go_is_let_go_of_its_programme(client, engine, put, device_id, person):
    assert put(0, limits={"duration_s": 2000}).status_code == 200
    etag = client.get(f"/v1/devices/{device_id}", headers=person.headers).headers["ETag"]
    headers = {**person.headers, "If-Match": etag}
    assert client.delete(f"/v1/devices/{device_id}", headers=headers).status_code == 204
    with UnitOfWork(engine) as session:
        ((_, cleared),) = unpublished(session, FIRST_CELL)
    assert (cleared.ver, cleared.limits) == (2, {"amplitude_ua": 0})
    assert cleared.programme.amplitude_ua == 0


@pytest.mark.usefixtures("screened")
def test_apps_hear_of_a_new_programme(client, put, person, device_id):
    cursor = client.get("/v1/sync", headers=person.headers).json["next_cursor"]
    put(0)
    query = {"cursor": cursor}
    feed = client.get("/v1/sync", query_string=query, headers=person.headers).json
    assert [device["id"] for device in feed["devices"]] == [device_id]


@pytest.mark.usefixtures("screened")
def test_an_expired_programme_says_so(client, put, path, person, monkeypatch):
    soon = utc_now() + timedelta(hours=1)
    assert put(0, expires_at=soon.isoformat()).json["desired"]["has_expired"] is False
    monkeypatch.setattr("service.resources.programme.services", Later)
    assert client.get(path, headers=person.headers).json["desired"]["has_expired"] is True


class Later:
    @staticmethod
    def now():
        return utc_now() + timedelta(hours=2)
