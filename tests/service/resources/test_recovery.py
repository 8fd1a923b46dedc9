"""Codes by mail: they do not show who has an account, and are good for one use."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from cymba.accounts.tables import Account, RefreshToken, SingleUseToken
from cymba.accounts.tokens import PROVED_FOR
from cymba.database import UnitOfWork, utc_now
from tests.service.conftest import bearer, code_in, sign_up

OLD, NEW = "correct horse battery", "staple battery horse"


@pytest.fixture
def ada(client):
    account = {"email": "ada@example.org", "password": OLD}
    assert sign_up(client, account).status_code == 201
    return account


@pytest.fixture
def signed_in(client, ada):
    return bearer(client.post("/v1/auth/token", json=ada).json)


def test_an_address_without_an_account_is_answered_the_same_and_gets_no_mail(client, ada, mails):
    known = client.post("/v1/auth/reset", json={"email": ada["email"].upper()})
    unknown = client.post("/v1/auth/reset", json={"email": "nobody@example.org"})
    assert (known.status_code, known.data) == (unknown.status_code, unknown.data) == (202, b"")
    assert [recipient for recipient, _, _ in mails()] == ["ada@example.org"]


def test_a_new_password_signs_out_everywhere_and_the_code_is_spent(client, ada, signed_in, mails):
    client.post("/v1/auth/reset", json={"email": ada["email"]})
    code = code_in(mails()[-1][2])
    confirm = {"code": code, "new_password": NEW}
    short = client.post("/v1/auth/reset/confirm", json=confirm | {"new_password": "short"})
    assert short.status_code == 422
    assert client.post("/v1/auth/reset/confirm", json=confirm).status_code == 204
    assert client.get("/v1/account", headers=signed_in).status_code == 401
    assert client.post("/v1/auth/token", json=ada).status_code == 401
    assert client.post("/v1/auth/token", json=ada | {"password": NEW}).status_code == 200
    again = client.post("/v1/auth/reset/confirm", json=confirm)
    assert again.json["type"] == "urn:cymba:problem:code-not-good"
    assert mails()[-1][1] == "Your password was changed"


def test_a_code_lasts_an_hour_and_a_newer_one_takes_its_place(client, ada, mails, engine):
    for _ in range(2):
        client.post("/v1/auth/reset", json={"email": ada["email"]})
    first, second = (code_in(body) for _, _, body in mails())
    refused = client.post("/v1/auth/reset/confirm", json={"code": first, "new_password": NEW})
    assert refused.status_code == 422
    with UnitOfWork(engine) as session, session.begin():
        past = utc_now() - timedelta(seconds=1)
        session.execute(update(SingleUseToken).values(expires_at=past))
    late = client.post("/v1/auth/reset/confirm", json={"code": second, "new_password": NEW})
    assert late.status_code == 422


def test_a_new_address_counts_once_it_is_confirmed_and_the_old_one_is_told(
    client, ada, signed_in, mails
):
    wanted = {"new_email": "ada@example.com", "password": OLD}
    wrong = client.post("/v1/account/email", json=wanted | {"password": NEW}, headers=signed_in)
    assert wrong.json["type"] == "urn:cymba:problem:wrong-password"
    assert client.post("/v1/account/email", json=wanted, headers=signed_in).status_code == 202
    assert client.get("/v1/account", headers=signed_in).json["email"] == "ada@example.org"
    recipient, _, body = mails()[-1]
    assert recipient == "ada@example.com"
    confirmed = client.post("/v1/account/email/confirm", json={"code": code_in(body)})
    assert confirmed.status_code == 204
    account = client.get("/v1/account", headers=signed_in).json
    assert account["email"] == "ada@example.com"
    assert account["email_verified_at"] > account["created_at"]
    assert mails()[-1][:2] == ("ada@example.org", "Your address was changed")
    assert client.post("/v1/auth/token", json=ada).status_code == 401


def test_without_a_password_a_fresh_sign_in_is_the_proof_for_another_address(
    client, signed_in, engine
):
    """As of who signs in at a provider."""
    wanted = {"new_email": "ada@example.com"}

    def ask():
        return client.post("/v1/account/email", json=wanted, headers=signed_in)

    assert ask().json["type"] == "urn:cymba:problem:wrong-password"
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(Account).values(password_hash=None))
    assert ask().status_code == 202
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(RefreshToken).values(proved_at=utc_now() - PROVED_FOR))
    assert ask().json["type"] == "urn:cymba:problem:reauthentication-required"


def test_an_address_that_was_taken_meanwhile_is_not_taken_twice(client, signed_in, mails):
    wanted = {"new_email": "eve@example.org", "password": OLD}
    client.post("/v1/account/email", json=wanted, headers=signed_in)
    code = code_in(mails()[-1][2])
    sign_up(client, {"email": "Eve@example.org", "password": OLD})
    taken = client.post("/v1/account/email/confirm", json={"code": code})
    assert taken.json["type"] == "urn:cymba:problem:email-taken"


def test_a_code_for_one_thing_is_not_good_for_another(client, ada, mails):
    client.post("/v1/auth/reset", json={"email": ada["email"]})
    other = client.post("/v1/account/email/confirm", json={"code": code_in(mails()[-1][2])})
    assert other.status_code == 422


def test_guessing_codes_is_slowed_down(client):
    guess = {"code": "guess", "new_password": NEW}
    statuses = [client.post("/v1/auth/reset/confirm", json=guess).status_code for _ in range(22)]
    assert statuses == [422] * 20 + [429] * 2


def test_a_new_password_ends_a_change_of_address_that_a_thief_began(client, ada, signed_in, mails):
    thiefs = {"new_email": "thief@example.org", "password": OLD}
    client.post("/v1/account/email", json=thiefs, headers=signed_in)
    to_the_thief = code_in(mails()[-1][2])
    client.post("/v1/auth/reset", json={"email": ada["email"]})
    confirm = {"code": code_in(mails()[-1][2]), "new_password": NEW}
    assert client.post("/v1/auth/reset/confirm", json=confirm).status_code == 204
    late = client.post("/v1/account/email/confirm", json={"code": to_the_thief})
    assert late.json["type"] == "urn:cymba:problem:code-not-good"
    assert client.post("/v1/auth/token", json=ada | {"password": NEW}).status_code == 200


def test_a_changed_password_ends_a_change_of_address_too(client, signed_in, mails):
    thiefs = {"new_email": "thief@example.org", "password": OLD}
    client.post("/v1/account/email", json=thiefs, headers=signed_in)
    to_the_thief = code_in(mails()[-1][2])
    headers = signed_in | {"If-Match": client.get("/v1/account", headers=signed_in).headers["ETag"]}
    change = {"current_password": OLD, "new_password": NEW}
    assert client.patch("/v1/account", json=change, headers=headers).status_code == 200
    late = client.post("/v1/account/email/confirm", json={"code": to_the_thief})
    assert late.json["type"] == "urn:cymba:problem:code-not-good"


def test_a_code_that_went_to_the_old_address_ends_with_it(client, ada, signed_in, mails):
    client.post("/v1/auth/reset", json={"email": ada["email"]})
    to_the_old = code_in(mails()[-1][2])
    wanted = {"new_email": "ada@example.com", "password": OLD}
    client.post("/v1/account/email", json=wanted, headers=signed_in)
    client.post("/v1/account/email/confirm", json={"code": code_in(mails()[-1][2])})
    late = client.post("/v1/auth/reset/confirm", json={"code": to_the_old, "new_password": NEW})
    assert late.json["type"] == "urn:cymba:problem:code-not-good"
