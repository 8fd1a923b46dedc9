"""A thief with a token: what needs fresh proof, what a reset ends, which mails the owner gets."""

from datetime import timedelta
from threading import Thread
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from cymba.accounts import single_use
from cymba.accounts.tables import ProviderIdentity, RefreshToken, Share, SingleUseToken
from cymba.accounts.tokens import PROVED_FOR
from cymba.database import UnitOfWork, utc_now
from cymba.devices import claiming
from cymba.devices.tables import Device
from cymba.rights.password_reset import reset_password
from tests.service.conftest import bearer, code_in, sign_up

OWNER = {"email": "ada@example.org", "password": "correct horse battery"}
NEW = "staple battery horse"


@pytest.fixture
def pair(client):
    assert sign_up(client, OWNER).status_code == 201
    return client.post("/v1/auth/token", json=OWNER).json


@pytest.fixture
def ada(client, pair):
    headers = bearer(pair)
    account_id = client.get("/v1/account", headers=headers).json["id"]
    return type("Ada", (), {"id": account_id, "headers": headers})


@pytest.fixture
def device_id(hold, ada):
    return hold(ada)


def grow_old(engine):
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(RefreshToken).values(proved_at=utc_now() - PROVED_FOR))


def share(client, headers):
    until = (utc_now() + timedelta(days=364)).strftime("%Y-%m-%dT%H:%M:%SZ")
    wanted = {"label": "x", "scopes": ["diary"], "expires_at": until}
    return client.post("/v1/shares", json=wanted, headers=headers)


def reset(client, mails):
    client.post("/v1/auth/reset", json={"email": OWNER["email"]})
    code = code_in(mails()[-1].body)
    return client.post("/v1/auth/reset/confirm", json={"code": code, "new_password": NEW})


def refused(response):
    return (response.status_code, response.json["type"]) == (
        403,
        "urn:cymba:problem:reauthentication-required",
    )


def test_what_outlasts_a_token_asks_for_fresh_proof(client, engine, pair, device_id):
    grow_old(engine)
    transfer = f"/v1/devices/{device_id}/transfer"
    refreshed = client.post("/v1/auth/refresh", json={"refresh_token": pair["refresh_token"]}).json
    headers = bearer(refreshed)
    guarded = headers | {"If-Match": "*"}
    assert refused(share(client, headers))
    assert refused(client.post(transfer, headers=headers))
    assert refused(client.delete("/v1/account", headers=guarded))
    wrong = client.post("/v1/account/proof", json={"password": NEW}, headers=headers)
    assert wrong.json["type"] == "urn:cymba:problem:wrong-password"
    assert refused(share(client, headers))
    given = {"password": OWNER["password"]}
    assert client.post("/v1/account/proof", json=given, headers=headers).status_code == 204
    assert share(client, headers).status_code == 201
    assert client.post(transfer, headers=headers).status_code == 201
    assert client.delete("/v1/account", headers=guarded).status_code == 200


def test_a_reset_ends_all_that_was_begun(client, engine, ada, device_id, make_person, mails):
    token = share(client, ada.headers).json["token"]
    code = client.post(f"/v1/devices/{device_id}/transfer", headers=ada.headers).json["claim_code"]
    wanted = {"new_email": "thief@example.org", "password": OWNER["password"]}
    assert client.post("/v1/account/email", json=wanted, headers=ada.headers).status_code == 202
    with UnitOfWork(engine) as session, session.begin():
        identity = ProviderIdentity(issuer="https://id.example", subject="x", account_id=ada.id)
        session.add(identity)
        serial = session.get_one(Device, device_id).serial
    by_share = {"Authorization": f"Bearer {token}"}
    assert client.get("/v1/diary", headers=by_share).status_code == 200
    assert reset(client, mails).status_code == 204
    assert client.get("/v1/diary", headers=by_share).status_code == 401
    assert client.get("/v1/account", headers=ada.headers).status_code == 401
    with UnitOfWork(engine) as session, session.begin():
        assert session.scalars(select(ProviderIdentity)).all() == []
        unused = SingleUseToken.used_at.is_(None)
        assert session.scalars(select(SingleUseToken).where(unused)).all() == []
        claimed = claiming.claim(session, make_person().id, serial, code, utc_now())
        assert claimed == claiming.NoMatch()


@pytest.mark.parametrize("begun", ["a share", "a hand-over"])
def test_a_reset_ends_what_is_begun_while_it_is_under_way(client, engine, ada, device_id, begun):
    answers = []
    transfer = f"/v1/devices/{device_id}/transfer"

    def begin():
        thief = client.application.test_client()
        is_share = begun == "a share"
        answers.append(
            share(thief, ada.headers) if is_share else thief.post(transfer, headers=ada.headers)
        )

    with UnitOfWork(engine) as session, session.begin():
        code = single_use.make(session, UUID(ada.id), "password-reset", now=utc_now())
    with UnitOfWork(engine) as session, session.begin():
        reset_password(session, code, "a hash", now=utc_now())
        session.flush()
        thread = Thread(target=begin)
        thread.start()
        with engine.connect() as looking:
            waiting = text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
            while thread.is_alive() and not looking.scalar(waiting):
                pass
    thread.join()
    assert [answer.status_code for answer in answers] == [401]
    with UnitOfWork(engine) as session:
        assert session.scalars(select(Share)).all() == []
        assert session.get_one(Device, device_id).claim_code_hash is None


def test_the_owner_hears_of_each_by_mail_and_in_the_log(client, mails, ada, device_id):
    share(client, ada.headers)
    client.post(f"/v1/devices/{device_id}/transfer", headers=ada.headers)
    told = {(mail.recipient, mail.subject) for mail in mails()}
    assert told == {
        (OWNER["email"], "A share was made"),
        (OWNER["email"], "A device can be handed on"),
    }
    log = client.get("/v1/audit", headers=ada.headers).json["items"]
    assert {"share.created", "device.handed_on"} <= {entry["action"] for entry in log}
    for _ in range(25):
        share(client, ada.headers)
    assert len(mails()) == 20, "nobody is flooded through an account"


@pytest.mark.usefixtures("pair")
def test_one_recipient_is_sent_few_codes_and_the_answer_is_the_same(client, mails):
    for n in range(9):
        place = {"REMOTE_ADDR": f"198.51.100.{n}"}
        for email in ("ADA@example.org", "nobody@example.org"):
            asked = client.post("/v1/auth/reset", json={"email": email}, environ_base=place)
            assert (asked.status_code, asked.data) == (202, b"")
    assert len(mails()) == 5


@pytest.mark.usefixtures("pair")
def test_a_good_code_is_taken_whatever_others_tried_from_the_same_address(client, mails):
    for _ in range(25):
        wrong = {"code": "guess", "new_password": NEW}
        answer = client.post("/v1/auth/reset/confirm", json=wrong)
    assert answer.status_code == 429
    elsewhere = {"REMOTE_ADDR": "198.51.100.7"}
    asked = {"email": OWNER["email"]}
    client.post("/v1/auth/reset", json=asked, environ_base=elsewhere)
    code = code_in(mails()[-1].body)
    given = {"code": code, "new_password": NEW}
    assert client.post("/v1/auth/reset/confirm", json=given).status_code == 204


def test_guesses_at_the_current_password_are_limited_by_sign_in(client, ada):
    owner = bearer(client.post("/v1/auth/token", json=OWNER).json)
    match = ada.headers | {"If-Match": "*"}
    statuses = []
    for n in range(4):
        guess = {"password": f"guess number {n}"}
        change = {"current_password": f"guess number {n}", "new_password": NEW}
        move = {"new_email": "t@example.org", "password": f"guess number {n}"}
        statuses += [
            client.post("/v1/account/proof", json=guess, headers=ada.headers).status_code,
            client.patch("/v1/account", json=change, headers=match).status_code,
            client.post("/v1/account/email", json=move, headers=ada.headers).status_code,
        ]
    assert statuses == [422] * 5 + [429] * 7
    given = {"password": OWNER["password"]}
    assert client.post("/v1/account/proof", json=given, headers=owner).status_code == 204
