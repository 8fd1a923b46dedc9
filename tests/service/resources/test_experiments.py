"""A trial over HTTP: shown its power first, agreed to block by block, stopped, and checked."""

import hashlib
import json
from datetime import UTC, datetime, time, timedelta
from uuid import uuid4

import msgspec
import pytest

from cymba.accounts import consent
from cymba.database import UnitOfWork, utc_now
from cymba.devices import contraindications
from cymba.devices.contraindications import must_be_answered
from cymba.devices.messages import Programme
from cymba.devices.models import MODELS
from cymba.devices.programme import Accepted, Wanted, set_programme
from cymba.devices.screening import answer
from cymba.insights.experiments import trials
from cymba.insights.experiments.plans import all_blocks
from cymba.insights.tables import Experiment
from tests.service.conftest import PROGRAMME

pytestmark = pytest.mark.usefixtures("versions_from_one")


@pytest.fixture
def device_id(app, engine, person, hold):
    """A device with a programme, of somebody who was screened and agreed to insights."""
    held, now = hold(person), utc_now()
    model = MODELS["ear_cymba"]
    with UnitOfWork(engine) as session, session.begin():
        consent.give(session, person.id, "insights", version="1/en", now=now)
        answers = {question.name: "no" for question in must_be_answered(model.sites)}
        version = str(contraindications.version_in("en"))
        answer(session, person.id, model, answers, text_version=version, now=now)  # type: ignore[arg-type]
        programme = msgspec.convert(PROGRAMME | {"ramp_ua_per_s": 500}, Programme)
        key = app.extensions["cymba"].programme_key
        wanted = Wanted(programme)
        outcome = set_programme(session, key, person.id, held, wanted, if_version=0, now=now)
        assert isinstance(outcome, Accepted)
    return held


@pytest.fixture
def post(client, person):
    return lambda path, body=None: client.post(
        f"/v1/experiments{path}", json=body, headers=person.headers
    )


@pytest.fixture
def begun(post, device_id):
    wanted = {"device_id": device_id, "outcome": "pain_now", "pairs": 10, "block_days": 2}
    made = post("", wanted)
    assert made.status_code == 201
    return made.json


def test_what_it_could_find_is_shown_first(post):
    offered = post("/preview", {"outcome": "pain_now"}).json["items"]
    assert [(one["pairs"], one["block_days"], one["days"]) for one in offered] == [
        (21, 2, 84),
        (14, 3, 84),
    ]
    assert [one["least_pairs"] for one in offered] == [10, 7]
    asked = {"outcome": "pain_now", "plans": [{"pairs": 6, "block_days": 1}]}
    (poor,) = post("/preview", asked).json["items"]
    assert poor["smallest_difference"] is None or poor["power"] < 0.5
    assert post("/preview", {"outcome": "cough"}).status_code == 422


def test_it_needs_consent_and_a_programme(post, person, hold):
    held = hold(person)
    wanted = {"device_id": held, "outcome": "pain_now"}
    assert post("", wanted).json["type"] == "urn:cymba:problem:consent-required"


def test_the_seal_is_told_at_once_and_the_seed_and_the_arms_are_not(client, person, begun):
    assert begun["seed"] is None
    told = [block["arm"] for block in begun["blocks"]]
    assert told[2:] == [None] * 18
    read = client.get(f"/v1/experiments/{begun['id']}", headers=person.headers)
    assert read.json["seal"] == begun["seal"]
    listed = client.get("/v1/experiments", headers=person.headers).json["items"]
    assert [one["id"] for one in listed] == [begun["id"]]


def test_a_block_is_agreed_to_in_its_time_and_goes_to_the_device(
    client, person, post, begun, engine, device_id
):
    path = f"/{begun['id']}/blocks"
    assert post(f"{path}/19/agree").status_code == 422
    assert post(f"{path}/20/agree").status_code == 404
    with UnitOfWork(engine) as session, session.begin():
        found = session.get_one(Experiment, begun["id"])
        found.first_day -= timedelta(days=1)  # so that its first block is now
    agreed = post(f"{path}/0/agree")
    assert agreed.status_code == 200
    assert agreed.json["blocks"][0]["programme_version"] == 2
    programme = client.get(f"/v1/devices/{device_id}/programme", headers=person.headers)
    assert programme.json["version"] == 2


def test_what_was_before_is_told_everywhere_until_it_is_set_back(
    client, person, post, begun, engine, device_id
):
    with UnitOfWork(engine) as session, session.begin():
        found = session.get_one(Experiment, begun["id"])
        found.first_day -= timedelta(days=1)
        is_held_down = all_blocks(found)[0].arm == "comparison"
        if not is_held_down:  # so that its first comparison block is now
            found.first_day -= timedelta(days=2)
        number = 0 if is_held_down else 1

    def told():
        cursor = client.get("/v1/sync", headers=person.headers).json
        return [
            client.get(f"/v1/experiments/{begun['id']}", headers=person.headers).json,
            client.get(f"/v1/devices/{device_id}/programme", headers=person.headers).json,
            client.get(f"/v1/devices/{device_id}", headers=person.headers).json,
            *client.get("/v1/devices", headers=person.headers).json["items"],
            *cursor["devices"],
        ]

    assert post(f"/{begun['id']}/blocks/{number}/agree").status_code == 200
    assert [one["before_trial"] for one in told()] == [None] * 5
    assert post(f"/{begun['id']}/before/agree").status_code == 409
    stopped = post(f"/{begun['id']}/stop", {"reason": "I go on holiday"}).json
    shown = stopped["before_trial"]
    assert [one["before_trial"] for one in told()] == [shown] * 5
    assert shown["state"] == "offered"
    assert shown["programme"]["amplitude_ua"] == PROGRAMME["amplitude_ua"]
    agreed = post(f"/{begun['id']}/before/agree")
    assert agreed.status_code == 200
    programme = client.get(f"/v1/devices/{device_id}/programme", headers=person.headers).json
    assert programme["desired"]["programme"]["amplitude_ua"] == PROGRAMME["amplitude_ua"]
    assert programme["limits"]["amplitude_ua"] > 0


def test_declined_it_is_told_no_more(post, begun, engine):
    with UnitOfWork(engine) as session, session.begin():
        found = session.get_one(Experiment, begun["id"])
        number = next(block.number for block in all_blocks(found) if block.arm == "comparison")
        found.first_day -= timedelta(days=2 * number + 1)
    assert post(f"/{begun['id']}/blocks/{number}/agree").status_code == 200
    assert post(f"/{begun['id']}/stop", {"reason": "x"}).json["before_trial"] is not None
    assert post(f"/{begun['id']}/before/decline").json["before_trial"] is None
    assert post(f"/{begun['id']}/before/decline").status_code == 409


def test_stopped_early_it_says_so_and_can_be_checked(post, begun):
    path = f"/{begun['id']}/stop"
    assert post(path, {"reason": ""}).status_code == 422
    stopped = post(path, {"reason": "I go on holiday"}).json
    assert (stopped["status"], stopped["result"]["p"]) == ("stopped", None)
    assert "stopped after 0 of 10 pairs" in stopped["sentence"]
    plan = json.dumps(
        stopped["plan"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    assert hashlib.sha256(bytes.fromhex(stopped["seed"]) + plan).hexdigest() == begun["seal"]
    assert post(path, {"reason": "again"}).status_code == 409


def test_a_trial_that_was_lived_through_shows_its_result(client, person, begun, engine):
    assert begun["result"] is None
    with UnitOfWork(engine) as session, session.begin():
        found = session.get_one(Experiment, begun["id"])
        found.first_day -= timedelta(days=44)
        for block in all_blocks(found):
            morning = datetime.combine(block.first_day + timedelta(days=1), time(7), tzinfo=UTC)
            body = {"felt_at": morning.isoformat(), "time_zone": "UTC"}
            felt = (3 if block.arm == "full" else 6) + block.number % 3 / 3
            body["items"] = {"pain_now": round(felt)}  # type: ignore[assignment]
            put = client.put(f"/v1/diary/{uuid4()}", json=body, headers=person.headers)
            assert put.status_code == 201
    with UnitOfWork(engine) as session, session.begin():
        found = session.get_one(Experiment, begun["id"])
        found.due_at -= timedelta(days=44)
        trials.advance(session, found.account_id, now=utc_now())
        assert found.status == "finished"
    ended = client.get(f"/v1/experiments/{begun['id']}", headers=person.headers).json
    result = ended["result"]
    assert (ended["status"], result["completed_pairs"]) == ("finished", 10)
    assert result["rated_days"] == 20
    assert result["effect"] < -2
    assert 0 < result["p"] < 0.1
    assert result["sensitivity"]["left_out_days"] == 1
    assert result["sensitivity"]["effect"] is None
    assert result["deviations"] == ended["deviations"] != []
    assert ended["sentence"]


def test_one_whose_seed_stayed_elsewhere_is_shown_without_its_arms(client, person, begun, engine):
    with UnitOfWork(engine) as session, session.begin():
        found = session.get_one(Experiment, begun["id"])
        found.status, found.seed, found.ended_at = "stopped", b"", utc_now()
    read = client.get(f"/v1/experiments/{begun['id']}", headers=person.headers)
    assert read.status_code == 200
    assert (read.json["seed"], read.json["result"], read.json["deviations"]) == (None, None, [])
    assert {block["arm"] for block in read.json["blocks"]} == {None}


def test_another_persons_trial_is_not_there(client, begun, make_person):
    other = make_person()
    path = f"/v1/experiments/{begun['id']}"
    assert client.get(path, headers=other.headers).status_code == 404
    for action in ("/stop", "/blocks/0/agree", "/before/agree", "/before/decline"):
        body = {"reason": "x"} if action == "/stop" else None
        answered = client.post(path + action, json=body, headers=other.headers)
        assert answered.status_code == 404
