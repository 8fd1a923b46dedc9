import psycopg
import pytest

from cymba.database import UnitOfWork, utc_now
from cymba.devices.messages import Presence
from cymba.devices.presence import record_presence
from cymba.devices.provisioning import provision


@pytest.fixture
def credentials(engine):
    with UnitOfWork(engine) as session, session.begin():
        return next(provision(session, "ear_cymba"))


@pytest.fixture
def claim(client, credentials):
    def make(person, code=None, **changes):
        body = {"serial": credentials.serial, "code": code or credentials.claim_code, **changes}
        return client.post("/v1/devices/claim", json=body, headers=person.headers)

    return make


def test_a_claimed_device_is_listed(client, claim, credentials, person):
    assert client.get("/v1/devices", headers=person.headers).json == {"items": []}
    claimed = claim(person, name="Left ear")
    assert claimed.status_code == 201
    assert claimed.json["id"] == credentials.device_id
    assert claimed.json["presence"] is None
    listed = client.get("/v1/devices", headers=person.headers).json["items"]
    assert listed == [claimed.json]
    path = f"/v1/devices/{credentials.device_id}"
    assert client.get(path, headers=person.headers).json == claimed.json


def test_a_code_typed_otherwise_is_the_same(claim, credentials, person):
    typed = credentials.claim_code.lower().replace("-", " ").replace("0", "o")
    assert claim(person, code=typed).status_code == 201


def test_a_code_is_good_for_one_claim(client, claim, make_person):
    first, second = make_person(), make_person()
    assert claim(first).status_code == 201
    again = claim(second)
    assert again.status_code == 404
    assert again.json["type"] == "urn:cymba:problem:claim-mismatch"
    assert client.get("/v1/devices", headers=second.headers).json == {"items": []}


def test_a_claim_whose_answer_was_lost_is_made_again(client, claim, person):
    first = claim(person, name="Left ear")
    for _ in range(12):
        again = claim(person, name="Left ear")
        assert (again.status_code, again.json) == (200, first.json)
        assert again.headers["ETag"] == first.headers["ETag"]
    log = client.get("/v1/audit", headers=person.headers)
    assert log.text.count("device.claimed") == 1


def test_a_wrong_code_and_an_unknown_serial_look_the_same(claim, person):
    wrong = claim(person, code="00000-00000").json
    unknown = claim(person, serial="EY0000000000").json
    assert {**wrong, "request_id": ""} == {**unknown, "request_id": ""}


def test_guessing_codes_is_slowed_down(claim, person):
    statuses = [claim(person, code=f"{guess:010d}").status_code for guess in range(12)]
    assert statuses == [404] * 10 + [429] * 2
    refused = claim(person)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0


def test_naming_needs_the_version_that_was_read(client, claim, credentials, person):
    path = f"/v1/devices/{credentials.device_id}"
    etag = claim(person).headers["ETag"]
    assert client.patch(path, json={"name": "Ear"}, headers=person.headers).status_code == 428
    guarded = {**person.headers, "If-Match": etag}
    named = client.patch(path, json={"name": "Ear"}, headers=guarded)
    assert named.json["name"] == "Ear"
    assert client.patch(path, json={"name": "Other"}, headers=guarded).status_code == 412


def test_coming_online_meanwhile_does_not_make_an_edit_stale(
    client, claim, credentials, person, engine
):
    path = f"/v1/devices/{credentials.device_id}"
    etag = claim(person).headers["ETag"]
    with UnitOfWork(engine) as session, session.begin():
        presence = Presence(online=True, store=1, boot=1, sent=5, battery_pct=83)
        record_presence(session, credentials.device_id, presence, utc_now())
    read = client.get(path, headers={**person.headers, "If-None-Match": etag})
    assert read.status_code == 200  # it did change
    assert read.json["presence"]["battery_pct"] == 83
    guarded = {**person.headers, "If-Match": etag}
    assert client.patch(path, json={"name": "Ear"}, headers=guarded).status_code == 200


def test_what_a_device_said_to_an_earlier_holder_is_not_the_next_ones_to_know(
    client, claim, credentials, make_person, engine
):
    first, second = make_person(), make_person()

    def say(at):
        with UnitOfWork(engine) as session, session.begin():
            presence = Presence(online=True, store=1, boot=1, sent=5, queued=3, battery_pct=83)
            record_presence(session, credentials.device_id, presence, at)

    path = f"/v1/devices/{credentials.device_id}"
    say(utc_now())  # to nobody, while it was unpacked
    claim(first)
    assert client.get(path, headers=first.headers).json["presence"]["battery_pct"] == 83
    code = client.post(f"{path}/transfer", headers=first.headers).json["claim_code"]
    assert claim(second, code=code).json["presence"] is None
    health = client.get(f"{path}/health", headers=second.headers).json
    assert (health["last_seen_at"], health["battery_pct"]) == (None, None)
    assert health["unsynced"] == "unknown"
    say(utc_now())
    assert client.get(path, headers=second.headers).json["presence"]["battery_pct"] == 83


def test_a_device_is_released_and_claimed_anew_with_a_new_code(
    client, claim, credentials, make_person
):
    first, second = make_person(), make_person()
    etag = claim(first).headers["ETag"]
    path = f"/v1/devices/{credentials.device_id}"
    handed = client.post(f"{path}/transfer", headers=first.headers)
    assert handed.status_code == 201
    assert client.delete(path, headers=first.headers).status_code == 428
    guarded = {**first.headers, "If-Match": etag}
    for _ in range(2):
        assert client.delete(path, headers=guarded).status_code == 204
    assert client.delete(path, headers=second.headers).status_code == 404
    assert client.get(path, headers=first.headers).status_code == 404
    assert claim(second, code=handed.json["claim_code"]).status_code == 201
    assert client.get(path, headers=first.headers).status_code == 404


def test_handing_on_moves_a_device_at_the_claim(client, claim, credentials, make_person):
    first, second = make_person(), make_person()
    claim(first, name="Mine")
    path = f"/v1/devices/{credentials.device_id}"
    code = client.post(f"{path}/transfer", headers=first.headers).json["claim_code"]
    assert client.get(path, headers=first.headers).status_code == 200
    taken = claim(second, code=code)
    assert taken.status_code == 201
    assert taken.json["name"] == ""
    assert client.get(path, headers=first.headers).status_code == 404


def test_a_list_of_devices_takes_as_many_statements_however_many_there_are(
    client, hold, person, monkeypatch
):
    executed = []
    execute = psycopg.Cursor.execute

    def noted(cursor, query, *args, **options):
        executed.append(query)
        return execute(cursor, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    counts = []
    for more in (1, 3):
        held = [hold(person) for _ in range(more)]
        client.get("/v1/devices", headers=person.headers)
        executed.clear()
        listed = client.get("/v1/devices", headers=person.headers).json["items"]
        assert {one["id"] for one in listed} >= set(held)
        counts.append(len(executed))
    assert 0 < counts[0] == counts[1]
