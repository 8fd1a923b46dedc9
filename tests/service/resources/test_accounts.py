from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, func, select

from cymba.accounts.sign_up import make_code
from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, utc_now
from cymba.devices import claiming
from cymba.devices.claiming import Claimed
from cymba.devices.provisioning import reissue_claim_code
from cymba.devices.tables import Device
from cymba.stimulation.tables import StimulationSession, StoredFrame
from service.http.services import Services
from tests.service.conftest import bearer, code_in, sign_up

PASSWORD = "correct horse battery"


def register(client: FlaskClient, **changes: object) -> dict[str, str]:
    given = {"email": "ada@example.org", "password": PASSWORD, **changes}
    assert sign_up(client, given).status_code == 201
    tokens = client.post(
        "/v1/auth/token", json={"email": given["email"], "password": given["password"]}
    ).get_json()
    return bearer(tokens)


def test_a_new_account_can_be_read_back(client):
    headers = register(client, name="Ada", time_zone="Europe/Berlin", locale="de-DE")
    account = client.get("/v1/account", headers=headers).json
    assert (account["name"], account["time_zone"], account["locale"]) == (
        "Ada",
        "Europe/Berlin",
        "de-DE",
    )
    assert "password_hash" not in account


def test_the_mailbox_makes_the_account_and_nobody_else_learns_of_one(client, mails, app):
    """An address with an account and one without are answered the same, with the same work."""
    given = {"email": "ada@example.org", "password": PASSWORD, "name": "Ada"}
    asked = client.post("/v1/accounts", json=given)
    ((recipient, _, body),) = mails()
    code = code_in(body)
    assert recipient == "ada@example.org"
    stranger = {"email": "eve@example.org", "password": PASSWORD, "code": code}
    refused = client.post("/v1/accounts", json=stranger)
    assert refused.json["type"] == "urn:cymba:problem:code-not-good"
    assert client.post("/v1/accounts", json=given | {"code": code}).status_code == 201
    statements: list[list[str]] = []

    def note(_connection, _cursor, statement, *_):
        statements[-1].append(" ".join(statement.split()[:3]))

    event.listen(app.extensions["cymba"].engine, "before_cursor_execute", note)
    for email in ("ADA@example.org", "bea@example.org"):
        statements.append([])
        again = client.post("/v1/accounts", json=given | {"email": email})
        assert (again.status_code, again.data) == (asked.status_code, asked.data) == (202, b"")
        guess = given | {"email": email, "code": "no-such-code"}
        assert client.post("/v1/accounts", json=guess).json["type"] == refused.json["type"]
    assert statements[0] == statements[1]
    (_, subject, body), (other, _, _) = mails()[1:]
    assert (subject, other) == ("You have an account", "bea@example.org")
    assert code not in body
    with UnitOfWork(app.extensions["cymba"].engine) as session:
        (account,) = session.scalars(select(Account))
        assert account.email_verified_at is not None


@pytest.mark.parametrize("late", [timedelta(minutes=59), timedelta(minutes=61)])
def test_a_code_is_good_for_an_hour(client, late, monkeypatch):
    given = {"email": "ada@example.org", "password": PASSWORD}
    code = make_code(Services.of(client.application).sign_up_key, given["email"], utc_now())
    at = utc_now() + late
    monkeypatch.setattr(Services, "now", staticmethod(lambda: at))
    made = client.post("/v1/accounts", json=given | {"code": code})
    assert made.status_code == (201 if late < timedelta(hours=1) else 422)


@pytest.mark.parametrize("code", ["", "x", "é", "A" * 32, "A" * 200, "====", "AAAA"])
def test_what_is_no_code_is_refused(client, code):
    given = {"email": "ada@example.org", "password": PASSWORD, "code": code}
    assert client.post("/v1/accounts", json=given).status_code == 422


def test_an_address_is_mailed_five_codes_and_no_more(client, mails):
    given = {"email": "ada@example.org", "password": PASSWORD}
    assert {client.post("/v1/accounts", json=given).status_code for _ in range(7)} == {202}
    assert len(mails()) == 5


def test_letter_case_makes_no_second_account(client):
    register(client)
    again = sign_up(client, {"email": "ADA@Example.ORG", "password": PASSWORD})
    assert again.status_code == 409
    assert again.json["type"] == "urn:cymba:problem:email-taken"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"email": "nobody"}, "/email"),
        ({"email": "a@b@example.org"}, "/email"),
        ({"email": "ada@example.org\n"}, "/email"),
        ({"email": "a\0@example.org"}, "/email"),
        ({"email": None}, "/email"),
        ({"password": "short"}, "/password"),
        ({"password": "x" * 201}, "/password"),
        ({"name": "n" * 201}, "/name"),
        ({"name": "\0"}, "/name"),
        ({"name": 5}, "/name"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"time_zone": "../../etc/passwd"}, "/time_zone"),
        ({"locale": "x"}, "/locale"),
        ({"role": "operator"}, "/role"),
    ],
)
def test_what_is_wrong_is_named(client, changes, pointer):
    given = {"email": "ada@example.org", "password": PASSWORD, **changes}
    response = client.post("/v1/accounts", json=given)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == [pointer]


def test_a_change_needs_the_version_that_was_read(client):
    headers = register(client)
    etag = client.get("/v1/account", headers=headers).headers["ETag"]
    change = {"time_zone": "Asia/Tokyo"}
    assert client.patch("/v1/account", json=change, headers=headers).status_code == 428
    guarded = {**headers, "If-Match": etag}
    changed = client.patch("/v1/account", json=change, headers=guarded)
    assert changed.status_code == 200
    assert changed.json["time_zone"] == "Asia/Tokyo"
    assert client.patch("/v1/account", json=change, headers=guarded).status_code == 412
    newer = {**headers, "If-Match": changed.headers["ETag"]}
    assert client.patch("/v1/account", json={"name": "Ada"}, headers=newer).status_code == 200


# A proxy that compresses an answer makes its tag a weak one.
@pytest.mark.parametrize("tag", ['"1"', '"1.other-digest"', 'W/"1.digest"', '"7", "1"', "*"])
def test_only_the_version_of_a_tag_guards_a_change(client, tag):
    headers = {**register(client), "If-Match": tag}
    assert client.patch("/v1/account", json={"name": "Ada"}, headers=headers).status_code == 200


@pytest.mark.parametrize("tag", ['"2"', 'W/"2"', '"1x"', '"01"', '"99999999999999999999"', "junk"])
def test_any_other_tag_is_stale(client, tag):
    headers = {**register(client), "If-Match": tag}
    assert client.patch("/v1/account", json={"name": "Ada"}, headers=headers).status_code == 412


def test_an_unchanged_account_is_not_sent_again(client):
    headers = register(client)
    etag = client.get("/v1/account", headers=headers).headers["ETag"]
    again = client.get("/v1/account", headers={**headers, "If-None-Match": etag})
    assert again.status_code == 304
    assert again.data == b""


def test_a_change_that_changes_nothing_keeps_the_version(client):
    headers = {**register(client, name="Ada"), "If-Match": "*"}
    before = client.get("/v1/account", headers=headers).headers["ETag"]
    assert (
        client.patch("/v1/account", json={"name": "Ada"}, headers=headers).headers["ETag"] == before
    )


def test_a_new_password_needs_the_current_one_and_signs_out_elsewhere(client):
    phone = register(client)
    login = {"email": "ada@example.org", "password": PASSWORD}
    tablet_tokens = client.post("/v1/auth/token", json=login).json
    tablet = bearer(tablet_tokens)
    guarded = {**phone, "If-Match": "*"}
    new = {"new_password": "another long one"}
    assert client.patch("/v1/account", json=new, headers=guarded).status_code == 422
    wrong = client.patch("/v1/account", json={**new, "current_password": "not it"}, headers=guarded)
    assert wrong.json["type"] == "urn:cymba:problem:wrong-password"
    assert client.get("/v1/account", headers=tablet).status_code == 200
    right = {**new, "current_password": PASSWORD}
    assert client.patch("/v1/account", json=right, headers=guarded).status_code == 200
    assert client.get("/v1/account", headers=phone).status_code == 200
    assert client.get("/v1/account", headers=tablet).status_code == 401
    refresh = {"refresh_token": tablet_tokens["refresh_token"]}
    assert client.post("/v1/auth/refresh", json=refresh).status_code == 401
    assert client.post("/v1/auth/token", json=login).status_code == 401
    login["password"] = "another long one"
    assert client.post("/v1/auth/token", json=login).status_code == 200


def test_erasing_an_account_needs_the_version_that_was_read(client):
    headers = register(client)
    assert client.delete("/v1/account", headers=headers).status_code == 428
    stale = {**headers, "If-Match": '"9"'}
    assert client.delete("/v1/account", headers=stale).status_code == 412
    assert client.get("/v1/account", headers=headers).status_code == 200


def test_an_erased_account_is_gone_with_what_it_recorded(client, make_person, wear, engine):
    person = make_person()
    worn = wear(person).samples().end().sum_up()
    guarded = {**person.headers, "If-Match": "*"}
    assert client.delete("/v1/account", headers=guarded).status_code == 200
    assert client.get("/v1/account", headers=person.headers).status_code == 401
    assert client.get(f"/v1/sessions/{worn.id}", headers=person.headers).status_code == 401
    with UnitOfWork(engine) as session:
        for kind in (Account, StoredFrame, StimulationSession):
            assert session.scalar(select(func.count()).select_from(kind)) == 0


def test_what_comes_late_of_an_erased_person_is_not_the_next_holders(
    client, make_person, wear, hold, engine
):
    first, second = make_person(), make_person()
    device_id = hold(first)
    guarded = {**first.headers, "If-Match": "*"}
    assert client.delete("/v1/account", headers=guarded).status_code == 200
    with UnitOfWork(engine) as session, session.begin():
        code = reissue_claim_code(session, device_id)
        serial = session.get_one(Device, device_id).serial
        assert isinstance(claiming.claim(session, second.id, serial, code, utc_now()), Claimed)
    late = wear(first, device_id=device_id).samples().end().sum_up()
    later = utc_now() + timedelta(hours=1)
    own = wear(second, device_id=device_id, at=later).samples().end().sum_up()
    listed = client.get("/v1/sessions", headers=second.headers).json["items"]
    assert [one["id"] for one in listed] == [own.id]
    assert client.get(f"/v1/sessions/{late.id}", headers=second.headers).status_code == 404
