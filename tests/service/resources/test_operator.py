"""An operator sees the fleet and nothing of anybody's health; nobody else sees any of it."""

import json
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import select, text, update

from cymba.accounts.tables import Account, AuditEntry
from cymba.database import UnitOfWork, utc_now
from cymba.devices.suspension import suspend
from cymba.devices.tables import Device, DevicePresence
from cymba.operations.devices import STATES
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.ingest import ingest
from tests.service.conftest import MORNING

HOSTILE = "<script>alert(1)</script>\u202e\x1b[2J"
SECRET = "nobody but me is to read this"


@pytest.fixture
def operator(make_person, engine):
    made = make_person()
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(Account).where(Account.id == made.id).values(role="operator"))
    return made


@pytest.fixture
def routes(document):
    """(method, path) of all that an operator's token opens."""
    return [
        (method, path.format(device_id="ey00000000000000", quarantine_id=1))
        for path, item in document.api["paths"].items()
        for method, operation in item.items()
        if isinstance(operation, dict) and {"operator": []} in operation.get("security", [])
    ]


@pytest.fixture
def ask(client, operator):
    def get(path, **query):
        answered = client.get(f"/v1/operator/{path}", query_string=query, headers=operator.headers)
        assert answered.status_code == 200, answered.text
        return answered.json

    return get


@pytest.fixture
def connect(engine):
    def seen(device_id, firmware="2.1.0", *, online=True, queued=0):
        with UnitOfWork(engine) as session, session.begin():
            session.add(
                DevicePresence(
                    device_id=device_id, online=online, store=7, boot=1, sent_ms=1,
                    firmware=firmware, queued_frames=queued, changed_at=MORNING, seen_at=MORNING,
                )
            )  # fmt: skip

    return seen


@pytest.fixture
def reject(engine):
    """Frames that were rejected for good; the number of the first."""

    def put(device_id, *, count=1, code="schema"):
        with UnitOfWork(engine) as session, session.begin():
            return session.scalar(
                text(
                    "WITH made AS (INSERT INTO quarantine (device_id, code, detail, payload,"
                    " digest, times_seen, received_at)"
                    " SELECT :device, :code, :detail, :payload, CAST(CAST(n AS text) AS bytea), 1,"
                    " :at FROM generate_series(1, :count) AS n RETURNING id)"
                    " SELECT min(id) FROM made"
                ),
                {"device": device_id, "code": code, "detail": SECRET, "payload": SECRET.encode(),
                 "at": MORNING, "count": count},
            )  # fmt: skip

    return put


def actions(engine, account_id):
    with UnitOfWork(engine) as session:
        query = select(AuditEntry).where(AuditEntry.account_id == account_id)
        return [(one.actor_kind, one.action, one.detail) for one in session.scalars(query)]


def share_of(client, person):
    wanted = {
        "label": "Dr. Weber",
        "scopes": ["diary", "sessions"],
        "expires_at": (utc_now() + timedelta(days=7)).isoformat(),
    }
    return client.post("/v1/shares", json=wanted, headers=person.headers).json["token"]


def test_nobody_else_sees_any_of_it(client, routes, person, operator, engine):
    assert len(routes) >= 6
    shared = {"Authorization": f"Bearer {share_of(client, person)}"}
    beside = {**operator.headers, "Cymba-Share": share_of(client, person)}
    for method, path in routes:
        for headers, status in (
            ({}, 401), ({"Authorization": "Bearer no"}, 401),
            (person.headers, 403), (shared, 403), (beside, 403),
        ):  # fmt: skip
            answered = client.open(path, method=method.upper(), headers=headers)
            assert answered.status_code == status, f"{method} {path}"
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(Account).where(Account.id == operator.id).values(role="clinician"))
    for method, path in routes:  # whose role ended a moment ago
        answered = client.open(path, method=method.upper(), headers=operator.headers)
        assert answered.status_code == 403, f"{method} {path}"
    assert not [one for one in actions(engine, person.id) if one[1].startswith("operator")]


def test_nobody_becomes_an_operator_by_asking(client, person):
    guarded = {**person.headers, "If-Match": "*"}
    answered = client.patch("/v1/account", json={"role": "operator"}, headers=guarded)
    assert answered.status_code == 422
    assert client.get("/v1/account", headers=person.headers).json["role"] == "person"


def test_the_role_opens_nobodys_data(client, operator, person, wear):
    worn = wear(person).samples().end().sum_up()
    for path in (f"/v1/sessions/{worn.id}", f"/v1/devices/{worn.device_id}"):
        assert client.get(path, headers=operator.headers).status_code == 404
    assert client.get("/v1/sessions", headers=operator.headers).json["items"] == []


def test_all_of_it_says_nothing_of_health_or_who_it_is(
    client, routes, operator, person, wear, connect, reject, engine
):
    worn = wear(person).samples().event("lead_off").end().sum_up()
    connect(worn.device_id)
    reject(worn.device_id)
    guarded = {**person.headers, "If-Match": "*"}
    for path in (f"/v1/sessions/{worn.id}", f"/v1/devices/{worn.device_id}"):
        body = {"note": SECRET} if "sessions" in path else {"name": SECRET}
        assert client.patch(path, json=body, headers=guarded).status_code == 200
    with UnitOfWork(engine) as session, session.begin():
        suspend(session, worn.device_id, utc_now())
    said = "".join(
        client.open(path, method=method.upper(), headers=operator.headers).text
        for method, path in routes
    )
    assert worn.device_id in said
    assert "amplitude" not in said
    for secret in (SECRET, worn.id, str(worn.sid), person.email, str(person.id)):
        assert secret not in said


def test_the_status_counts_what_there_is(ask, person, wear, hold, connect, reject, engine):
    worn = wear(person).samples().end().sum_up()
    connect(worn.device_id, queued=2**60)
    hold(person)  # never connected
    reject(worn.device_id, count=2)
    status = ask("status")
    assert status["states"] == dict.fromkeys(STATES, 0) | {"online": 1, "unseen": 1}
    assert status["firmwares"] == [{"name": "2.1.0", "devices": 1}]
    assert status["backlog"] == {"devices": 1, "frames": 10_000_000}  # whatever it claims
    assert status["quarantine"] == {"schema": 2}
    assert status["queues"]["programmes"]["waiting"] == 0
    assert "bridge" in status["missing"]
    with UnitOfWork(engine) as session, session.begin():
        session.execute(
            text("UPDATE session_extent SET dirty = true, due_at = :at"), {"at": MORNING}
        )
    assert ask("status")["queues"]["summaries"]["waiting"] == 1


def test_processes_are_those_that_are_connected(ask, database_url):
    with psycopg.connect(database_url, application_name="cymba seal") as worker:
        worker.execute("SELECT 1")
        status = ask("status")
        (seal,) = (one for one in status["processes"] if one["name"] == "seal")
        assert seal["connections"] == 1
        assert 0 <= seal["quiet_s"] < 600
        assert "seal" not in status["missing"]
    assert "seal" in ask("status")["missing"]


def test_devices_are_listed_by_state_and_firmware_page_by_page(ask, person, hold, connect):
    ids = sorted(hold(person) for _ in range(5))
    for device_id in ids[:3]:
        connect(device_id, firmware=HOSTILE, online=device_id != ids[0])
    found, query = [], {"limit": 2}
    while True:
        page = ask("devices", **query)
        found += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [one["id"] for one in found] == ids
    assert found[0]["firmware"] == HOSTILE  # as it is: whoever shows it must escape it
    assert [one["id"] for one in ask("devices", state="online")["items"]] == ids[1:3]
    assert [one["id"] for one in ask("devices", firmware=HOSTILE)["items"]] == ids[:3]
    assert ask("devices", firmware="' OR true --")["items"] == []


def test_a_cursor_is_good_for_its_query_alone(client, ask, operator, person, hold):
    for _ in range(2):
        hold(person)
    cursor = ask("devices", limit=1)["next_cursor"]
    for path in ("devices?state=unseen&", "suspensions?", "quarantine?"):
        where = f"/v1/operator/{path}cursor={cursor}"
        assert client.get(where, headers=operator.headers).status_code == 422


def test_a_frame_is_replayed_once_and_whose_it_was_reads_of_it(
    client, ask, operator, person, wear, engine
):
    worn = wear(person)
    frame = json.dumps({**worn.samples_frame(), "sent": worn.up}).encode()
    with UnitOfWork(engine) as session, session.begin():
        quarantine_id = session.scalar(
            text(
                "INSERT INTO quarantine (device_id, code, detail, payload, digest, times_seen,"
                " received_at) VALUES (:device, 'schema', '', :payload, 'x', 1, :at) RETURNING id"
            ),
            {"device": worn.device_id, "payload": frame, "at": worn.now},
        )
    (listed,) = ask("quarantine", code="schema", device_id=worn.device_id)["items"]
    assert listed["payload_bytes"] == len(frame)
    where = f"/v1/operator/quarantine/{quarantine_id}/replay"
    first = client.post(where, headers=operator.headers)
    assert (first.status_code, first.json) == (200, {"outcome": "stored", "is_settled": True})
    again = client.post(where, headers=operator.headers)
    assert again.status_code == 409
    assert ask("quarantine")["items"] == []
    told = ("operator", "quarantine.replayed")
    assert [one[:2] for one in actions(engine, person.id)].count(told) == 1
    own = ("operator", "operator.quarantine_replayed", {"frame": quarantine_id})
    assert actions(engine, operator.id).count(own) == 1


def test_a_frame_that_cannot_be_read_waits_on(client, ask, operator, person, hold, engine):
    with UnitOfWork(engine) as session, session.begin():
        ingest(session, [Delivery(hold(person), b"no frame", MORNING, True)])
    (listed,) = ask("quarantine")["items"]
    where = f"/v1/operator/quarantine/{listed['id']}/replay"
    for _ in range(2):
        answered = client.post(where, headers=operator.headers)
        assert answered.json == {"outcome": "quarantined, schema", "is_settled": False}
    assert len(ask("quarantine")["items"]) == 1


@pytest.mark.parametrize("quarantine_id", [0, 4711, 2**63, 10**30])
def test_what_is_not_there_is_not_replayed(client, operator, quarantine_id):
    where = f"/v1/operator/quarantine/{quarantine_id}/replay"
    assert client.post(where, headers=operator.headers).status_code == 404


def test_a_suspension_is_lifted_once(client, ask, operator, person, hold, engine):
    device_id = hold(person)
    with UnitOfWork(engine) as session, session.begin():
        before = session.get_one(Device, device_id).secret_hash
        suspend(session, device_id, utc_now())
    (listed,) = ask("suspensions")["items"]
    assert listed["device_id"] == device_id
    where = f"/v1/operator/suspensions/{device_id}"
    for _ in range(2):  # an answer that was lost is asked for again
        assert client.delete(where, headers=operator.headers).status_code == 204
    assert ask("suspensions")["items"] == []
    with UnitOfWork(engine) as session:
        assert session.get_one(Device, device_id).secret_hash == before
    told = ("operator", "device.suspension_lifted", {"device": device_id})
    assert actions(engine, person.id).count(told) == 1
    assert client.delete(f"{where[:-4]}0000", headers=operator.headers).status_code == 404


def test_what_an_operator_looks_at_is_in_their_log(ask, operator, engine):
    for path in ("devices", "quarantine", "suspensions", "status"):
        ask(path)
    looked = [action for _, action, _ in actions(engine, operator.id)]
    assert looked == [
        "operator.devices_listed", "operator.quarantine_listed", "operator.suspensions_listed",
    ]  # fmt: skip
