"""A share opens what its scopes cover, for reading, and nothing else."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from cymba.accounts.tables import Account, AuditEntry, Share
from cymba.database import UnitOfWork, utc_now

FELT = {"felt_at": "2026-03-01T07:30:00.000000Z", "time_zone": "UTC", "items": {"pain_now": 4}}


@pytest.fixture
def share(client, person):
    def make(*scopes, **changes):
        expires_at = (utc_now() + timedelta(days=7)).isoformat()
        wanted = {"label": "Dr. Weber", "scopes": list(scopes), "expires_at": expires_at}
        made = client.post("/v1/shares", json=wanted | changes, headers=person.headers)
        assert made.status_code == 201
        return made.json

    return make


def bearer(share):
    return {"Authorization": f"Bearer {share['token']}"}


def test_a_share_reads_what_its_scopes_cover(client, person, share, wear):
    worn = wear(person).samples().end().sum_up()
    client.put(f"/v1/diary/{uuid4()}", json=FELT, headers=person.headers)
    diary, both = share("diary"), share("diary", "sessions")
    for path in ("/v1/diary", "/v1/diary/items"):
        own = client.get(path, headers=person.headers).json
        assert client.get(path, headers=bearer(diary)).json == own
    for path in ("/v1/sessions", f"/v1/sessions/{worn.id}", f"/v1/sessions/{worn.id}/telemetry"):
        assert client.get(path, headers=bearer(both)).status_code == 200
        refused = client.get(path, headers=bearer(diary))
        assert refused.json["type"] == "urn:cymba:problem:share-scope"


def test_a_share_opens_no_other_route_of_the_document(client, document, share):
    """Derived from the document, so that a new route is shut until it is marked."""
    everything = share("diary", "sessions", "insights")
    opened, shut = set(), 0
    for path, item in document.api["paths"].items():
        concrete = path.replace("{device_id}", "device-0001")
        concrete = concrete.replace("{number}", "0").replace("{purpose}", "insights")
        for part in [p for p in concrete.split("/") if p.startswith("{")]:
            concrete = concrete.replace(part, str(uuid4()))
        for method in item.keys() & {"get", "put", "post", "patch", "delete"}:
            schemes = item[method].get("security", [{"bearer": []}])
            if {"share": []} in schemes:
                assert method == "get"
                opened.add(path)
            elif {"bearer": []} in schemes:
                answered = client.open(
                    concrete, method=method.upper(), json={}, headers=bearer(everything)
                )
                assert answered.status_code == 403, (method, path)
                shut += 1
    assert {"/v1/sessions", "/v1/diary", "/v1/insights/correlations"} <= opened
    assert shut > 20


def test_it_ends_with_its_time_and_when_it_is_revoked(client, person, share, engine):
    made = share("diary")
    with UnitOfWork(engine) as session, session.begin():
        past = utc_now() - timedelta(seconds=1)
        session.execute(update(Share).where(Share.id == made["id"]).values(expires_at=past))
    assert client.get("/v1/diary", headers=bearer(made)).status_code == 401
    other = share("diary")
    path = f"/v1/shares/{other['id']}"
    assert client.delete(path, headers=person.headers).status_code == 204
    assert client.get("/v1/diary", headers=bearer(other)).status_code == 401
    listed = client.get("/v1/shares", headers=person.headers).json["items"]
    assert {one["id"] for one in listed} == {made["id"], other["id"]}
    assert not any("token" in one for one in listed)


def test_one_for_a_clinician_needs_their_own_sign_in(client, share, make_person, engine):
    clinician, somebody = make_person(), make_person()
    with UnitOfWork(engine) as session, session.begin():
        session.get_one(Account, clinician.id).role = "clinician"
    made = share("diary", clinician_email=clinician.email.upper())
    assert client.get("/v1/diary", headers=bearer(made)).status_code == 401
    for viewer, status in ((clinician, 200), (somebody, 401)):
        headers = viewer.headers | {"Cymba-Share": made["token"]}
        assert client.get("/v1/diary", headers=headers).status_code == status


def test_every_look_is_in_the_owners_log(client, person, share, engine):
    made = share("diary")
    client.get("/v1/diary", headers=bearer(made))
    with UnitOfWork(engine) as session:
        rows = session.scalars(
            select(AuditEntry).where(AuditEntry.account_id == person.id).order_by(AuditEntry.id)
        ).all()
    noted = [(row.actor_kind, row.actor_id, row.action) for row in rows]
    assert ("person", str(person.id), "share.created") in noted
    assert ("share", made["id"], "diary.read") in noted


def test_what_cannot_be_shared_is_refused(client, person):
    expires_at = (utc_now() + timedelta(days=400)).isoformat()
    wanted = {"label": "x", "scopes": ["diary"], "expires_at": expires_at}
    too_long = client.post("/v1/shares", json=wanted, headers=person.headers)
    assert too_long.json["errors"][0]["pointer"] == "/expires_at"
    other = wanted | {"scopes": ["everything"]}
    assert client.post("/v1/shares", json=other, headers=person.headers).status_code == 422
