"""What one party may make the database keep over HTTP, whichever route it takes."""

from datetime import timedelta
from io import BytesIO
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from cymba.accounts import quotas
from cymba.accounts.rate_limiter import Bucket
from cymba.accounts.tables import AuditEntry
from cymba.database import UnitOfWork, utc_now
from tests.service.bodies import operation

NEVER = 1e9  # seconds until one is forgotten
ENTRY = {"felt_at": "2026-03-01T08:00:00Z", "time_zone": "UTC", "note": "x" * 1_000}


def push(note: str) -> dict:
    return {"operations": [operation("diary-entry", fields=ENTRY | {"note": note})]}


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(quotas, "WRITTEN", Bucket(10_000, NEVER))


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize(
    "write",
    [
        lambda: ("PUT", f"/v1/diary/{uuid4()}", ENTRY),
        lambda: ("POST", "/v1/sync", push("x" * 1_000)),
        lambda: ("PATCH", "/v1/account", {"name": "Ada" + uuid4().hex}),
        lambda: ("DELETE", "/v1/consents/insights", None),
    ],
    ids=["entries", "operations", "names", "what is not there"],
)
def test_an_account_writes_so_much_and_no_more(client, person, make_person, engine, write):
    """Also where each request keeps little or nothing: it costs a row's bytes all the same."""

    def ask(who) -> int:
        method, path, body = write()
        headers = who.headers | ({"If-Match": "*"} if method == "PATCH" else {})
        return client.open(path, method=method, json=body, headers=headers).status_code

    taken = 0
    while (status := ask(person)) != 429:
        assert status < 300
        taken += 1
    assert 3 <= taken <= 10_000 / quotas.REQUEST_BYTES
    read = client.get("/v1/account", headers=person.headers)
    assert read.status_code == 200
    assert ask(make_person()) < 300

    def entries() -> int | None:
        with UnitOfWork(engine) as session:
            return session.scalar(select(func.count()).select_from(AuditEntry))

    before = entries()
    assert ask(person) == 429
    assert entries() == before


@pytest.mark.usefixtures("little")
def test_frames_that_a_phone_relays_take_nothing_of_what_its_person_may_write(client, person, wear):
    """They have quotas of their own, and a backlog must not keep anybody from their diary."""
    worn = wear(person)
    path = f"/v1/devices/{worn.device_id}/frames"
    for _ in range(10):
        frames = [worn.samples_frame() for _ in range(10)]
        assert client.post(path, json=frames, headers=person.headers).status_code == 200
    entry = client.put(f"/v1/diary/{uuid4()}", json=ENTRY, headers=person.headers)
    assert entry.status_code == 201


@pytest.mark.usefixtures("little")
def test_what_was_refused_is_taken_later(client, person, monkeypatch):
    path = f"/v1/diary/{uuid4()}"
    while client.put(f"/v1/diary/{uuid4()}", json=ENTRY, headers=person.headers).status_code < 300:
        pass
    refused = client.put(path, json=ENTRY, headers=person.headers)
    assert refused.status_code == 429
    assert refused.json["type"] == "urn:cymba:problem:rate"
    assert int(refused.headers["Retry-After"]) > 3_600
    assert client.get(path, headers=person.headers).status_code == 404
    monkeypatch.setattr(quotas, "WRITTEN", Bucket(10_000, 1e-9))  # it is forgotten at once
    assert client.put(path, json=ENTRY, headers=person.headers).status_code == 201


def test_a_body_without_a_length_costs_as_much(client, person, monkeypatch):
    monkeypatch.setattr(quotas, "WRITTEN", Bucket(1_200, NEVER))
    headers = person.headers | {"Content-Type": "application/json"}
    body = b'{"name": "Ada"}' + b" " * 1_000
    asked = client.patch(
        "/v1/account",
        input_stream=BytesIO(body),
        headers=headers | {"If-Match": "*", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert asked.status_code == 429


def test_a_share_makes_so_many_entries_of_the_audit_log_and_no_more(
    client, person, engine, monkeypatch
):
    monkeypatch.setattr(quotas, "SHARE_LOOKS", Bucket(3, NEVER))
    until = (utc_now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def share() -> dict:
        wanted = {"label": "Dr. Weber", "scopes": ["diary"], "expires_at": until}
        made = client.post("/v1/shares", json=wanted, headers=person.headers)
        return {"Authorization": f"Bearer {made.json['token']}"}

    greedy, other = share(), share()
    looks = [client.get("/v1/diary", headers=greedy) for _ in range(20)]
    assert [one.status_code for one in looks] == [200] * 3 + [429] * 17
    assert looks[-1].json["type"] == "urn:cymba:problem:rate"
    assert client.get("/v1/diary", headers=other).status_code == 200
    assert client.get("/v1/diary", headers=person.headers).status_code == 200
    with UnitOfWork(engine) as session:
        looked = select(func.count()).where(AuditEntry.action == "diary.read")
        assert session.scalar(looked) == 4
