"""A share opens what its scopes cover, for reading, and nothing else."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from cymba.accounts import sharing
from cymba.accounts.tables import Account, AuditEntry, Share, ShareHolder
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
        concrete = concrete.replace("{provider}", "default").replace("{piece}", "0")
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


@pytest.fixture
def attach(client):
    def post(viewer, token):
        return client.post("/v1/shares/received", json={"token": token}, headers=viewer.headers)

    return post


def test_who_holds_a_share_learns_what_it_opens(client, person, share, engine):
    with UnitOfWork(engine) as session, session.begin():
        session.get_one(Account, person.id).name = "Ada"
    made = share("sessions", "diary")
    shown = client.get("/v1/shares/current", headers=bearer(made)).json
    assert shown["scopes"] == ["diary", "sessions"]
    assert (shown["from_name"], shown["attached_at"]) == ("Ada", None)
    assert (shown["id"], shown["expires_at"]) == (made["id"], made["expires_at"])
    assert client.get("/v1/shares/current", headers=person.headers).status_code == 401
    client.delete(f"/v1/shares/{made['id']}", headers=person.headers)
    assert client.get("/v1/shares/current", headers=bearer(made)).status_code == 401


def test_a_share_that_was_attached_opens_by_its_id_for_that_account_alone(
    client, person, share, attach, make_person
):
    made, viewer, eve = share("diary"), make_person(), make_person()
    by_id = {"Cymba-Share": made["id"]}
    assert client.get("/v1/diary", headers=viewer.headers | by_id).status_code == 401
    first = attach(viewer, made["token"])
    assert first.status_code == 201
    again = attach(viewer, made["token"])
    assert (again.status_code, again.json) == (200, first.json)
    (listed,) = client.get("/v1/shares/received", headers=viewer.headers).json["items"]
    assert listed == first.json
    assert client.get("/v1/shares/received", headers=eve.headers).json["items"] == []
    own = client.get("/v1/diary", headers=person.headers).json
    assert client.get("/v1/diary", headers=viewer.headers | by_id).json == own
    assert client.get("/v1/sessions", headers=viewer.headers | by_id).status_code == 403
    assert client.get("/v1/diary", headers=eve.headers | by_id).status_code == 401
    assert client.get("/v1/diary", headers=bearer({"token": made["id"]})).status_code == 401
    current = client.get("/v1/shares/current", headers=viewer.headers | by_id).json
    assert current["attached_at"] == first.json["attached_at"]


def test_the_owner_sees_who_attached_it_and_ends_it(client, person, share, attach, make_person):
    made, viewer = share("diary"), make_person()
    attach(viewer, made["token"])
    (listed,) = client.get("/v1/shares", headers=person.headers).json["items"]
    (holder,) = listed["holders"]
    assert holder["email"] == viewer.email
    logged = client.get("/v1/audit", headers=person.headers).json["items"][0]
    assert (logged["action"], logged["actor_id"]) == ("share.attached", made["id"])
    assert logged["detail"] == {"clinician": str(viewer.id)}
    client.delete(f"/v1/shares/{made['id']}", headers=person.headers)
    by_id = viewer.headers | {"Cymba-Share": made["id"]}
    assert client.get("/v1/diary", headers=by_id).status_code == 401
    assert client.get("/v1/shares/received", headers=viewer.headers).json["items"] == []
    assert attach(viewer, made["token"]).status_code == 404


def test_who_keeps_a_share_can_let_it_go(client, person, share, attach, make_person):
    made, viewer = share("diary"), make_person()
    attach(viewer, made["token"])
    path = f"/v1/shares/received/{made['id']}"
    assert client.delete(path, headers=person.headers).status_code == 404
    assert client.delete(path, headers=viewer.headers).status_code == 204
    by_id = viewer.headers | {"Cymba-Share": made["id"]}
    assert client.get("/v1/diary", headers=by_id).status_code == 401
    assert client.get("/v1/diary", headers=bearer(made)).status_code == 200


def test_what_cannot_be_attached(client, person, share, attach, make_person, engine, monkeypatch):
    clinician, somebody = make_person(), make_person()
    with UnitOfWork(engine) as session, session.begin():
        session.get_one(Account, clinician.id).role = "clinician"
    theirs = share("diary", clinician_email=clinician.email)
    assert attach(somebody, theirs["token"]).status_code == 404
    assert attach(clinician, theirs["token"]).status_code == 201
    made = share("diary")
    assert attach(person, made["token"]).json["type"] == "urn:cymba:problem:rejected"
    # An id opens nothing for who does not keep it, and a guess is a guess.
    for guess in (made["id"], "share_" + "A" * 43, "share_", "x", str(uuid4())):
        assert attach(somebody, guess).status_code == 404
    monkeypatch.setattr(sharing, "MOST_HOLDERS", 1)
    assert attach(somebody, made["token"]).status_code == 201
    assert attach(make_person(), made["token"]).json["type"] == "urn:cymba:problem:conflict"
    by_share = client.post(
        "/v1/shares/received", json={"token": made["token"]}, headers=bearer(made)
    )
    assert by_share.status_code == 403


def test_an_attachment_goes_with_the_account_of_either(
    client, person, share, attach, make_person, engine
):
    guarded = {"If-Match": "*"}
    made, viewer, other = share("diary"), make_person(), make_person()
    for one in (viewer, other):
        attach(one, made["token"])
    client.delete("/v1/account", headers=viewer.headers | guarded)
    (listed,) = client.get("/v1/shares", headers=person.headers).json["items"]
    assert [one["email"] for one in listed["holders"]] == [other.email]
    logged = client.get("/v1/audit", headers=person.headers).json["items"]
    assert str(viewer.id) not in str(logged)
    client.delete("/v1/account", headers=person.headers | guarded)
    assert client.get("/v1/shares/received", headers=other.headers).json["items"] == []
    with UnitOfWork(engine) as session:
        assert session.scalars(select(ShareHolder)).all() == []
