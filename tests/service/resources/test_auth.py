from datetime import timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import update

from cymba.accounts.profile import find_by_email
from cymba.accounts.tables import RateLimit, RefreshToken
from cymba.accounts.throttle import read_known_device
from cymba.database import UnitOfWork, utc_now
from service.http.services import Services
from tests.service.conftest import bearer, sign_up

LOGIN = {"email": "ada@example.org", "password": "correct horse battery"}


@pytest.fixture
def ada(client):
    assert sign_up(client, LOGIN).status_code == 201
    return LOGIN


def refresh(client, tokens):
    return client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})


def test_signing_in_ignores_the_case_of_the_address(client, ada):
    assert (
        client.post("/v1/auth/token", json={**ada, "email": "ADA@example.org"}).status_code == 200
    )


@pytest.mark.parametrize("change", [{"password": "wrong"}, {"email": "eve@example.org"}])
def test_a_wrong_password_and_an_unknown_address_look_the_same(client, ada, change):
    response = client.post("/v1/auth/token", json={**ada, **change})
    assert response.status_code == 401
    assert response.json["type"] == "urn:cymba:problem:wrong-credentials"
    assert response.headers["WWW-Authenticate"]


def test_each_refresh_gives_the_next(client, ada):
    tokens = client.post("/v1/auth/token", json=ada).json
    for _ in range(3):
        response = refresh(client, tokens)
        assert response.status_code == 200
        assert response.json["refresh_token"] != tokens["refresh_token"]
        tokens = response.json
    assert client.get("/v1/account", headers=bearer(tokens)).status_code == 200


def test_a_refresh_token_used_twice_ends_its_whole_sign_in(client, ada):
    other = client.post("/v1/auth/token", json=ada).json
    first = client.post("/v1/auth/token", json=ada).json
    second = refresh(client, first).json
    third = refresh(client, second).json
    reused = refresh(client, first)
    assert reused.status_code == 401
    assert reused.json["type"] == "urn:cymba:problem:refresh-reused"
    assert refresh(client, third).json["type"] == "urn:cymba:problem:refresh-invalid"
    assert client.get("/v1/account", headers=bearer(third)).status_code == 401
    assert client.get("/v1/account", headers=bearer(other)).status_code == 200


def test_a_refresh_whose_answer_was_lost_is_sent_again(client, ada):
    first = client.post("/v1/auth/token", json=ada).json
    refresh(client, first)
    again = refresh(client, first)
    assert again.status_code == 200
    assert client.get("/v1/account", headers=bearer(again.json)).status_code == 200
    assert refresh(client, again.json).status_code == 200


def test_signing_out_ends_the_access_token_too(client, ada):
    tokens = client.post("/v1/auth/token", json=ada).json
    body = {"refresh_token": tokens["refresh_token"]}
    assert client.post("/v1/auth/logout", json=body).status_code == 204
    assert client.post("/v1/auth/logout", json=body).status_code == 204
    assert client.get("/v1/account", headers=bearer(tokens)).status_code == 401
    assert refresh(client, tokens).status_code == 401
    assert client.post("/v1/auth/logout", json={"refresh_token": "unknown"}).status_code == 204


def test_an_expired_refresh_token_is_no_good(client, ada, engine):
    tokens = client.post("/v1/auth/token", json=ada).json
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(RefreshToken).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert refresh(client, tokens).json["type"] == "urn:cymba:problem:refresh-invalid"


def test_a_token_of_a_removed_account_is_no_good(client, ada):
    tokens = client.post("/v1/auth/token", json=ada).json
    match = bearer(tokens) | {"If-Match": "*"}
    assert client.delete("/v1/account", headers=match).status_code == 200
    assert client.get("/v1/account", headers=bearer(tokens)).status_code == 401


def forged(edge, person, *, key=None, algorithm="HS256", **changes):
    now = int(utc_now().timestamp())
    claims = {
        "iss": "cymba",
        "sub": str(person.id),
        "fam": "6f1d8a52-5d0e-4b0c-9d0a-0a2f3f1f7c11",
        "iat": now,
        "exp": now + 60,
        **changes,
    }
    token = jwt.encode({"alg": algorithm}, claims, key or edge.signer.key, [algorithm])
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"iss": "another"},
        {"sub": "not-a-uuid"},
        {"fam": None},
        {"fam": 5},
        {"exp": "soon"},
        {"key": OctKey.import_key("another key that is long enough for it")},
        {"algorithm": "HS512"},
        {},  # all is right but the sign-in it names was never made
    ],
)
def test_forged_tokens_open_nothing(client, app, person, changes):
    headers = forged(app.extensions["cymba"], person, **changes)
    assert client.get("/v1/account", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer \xff"]
)
def test_other_headers_open_nothing(client, header):
    assert client.get("/v1/account", headers={"Authorization": header}).status_code == 401


def test_an_unsigned_token_opens_nothing(client, person):
    signed = person.headers["Authorization"].removeprefix("Bearer ")
    _, payload, _ = signed.split(".")
    unsigned = f"eyJhbGciOiJub25lIn0.{payload}."
    headers = {"Authorization": f"Bearer {unsigned}"}
    assert client.get("/v1/account", headers=headers).status_code == 401


def test_guessing_is_slowed_down_and_the_owner_is_not_locked_out(client, ada):
    home = {"REMOTE_ADDR": "192.0.2.1"}
    assert client.post("/v1/auth/token", json=ada, environ_base=home).status_code == 200
    wrong = {**ada, "password": "guess"}
    statuses = []
    for guess in range(120):
        address = {"REMOTE_ADDR": f"198.51.100.{guess // 5}"}
        statuses.append(client.post("/v1/auth/token", json=wrong, environ_base=address).status_code)
    assert statuses[:50] == [401] * 50
    assert set(statuses[50:]) == {429}
    elsewhere = {"REMOTE_ADDR": "203.0.113.9"}
    refused = client.post("/v1/auth/token", json=ada, environ_base=elsewhere)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert client.post("/v1/auth/token", json=ada, environ_base=home).status_code == 200


def test_an_app_that_has_signed_in_is_kept_out_by_nobody_elses_guesses(client, ada, engine):
    """Not from another address, nor from the very one that guesses come from."""
    known = client.post("/v1/auth/token", json=ada).json["known_device"]
    eve = {"email": "eve@example.org", "password": ada["password"]}
    sign_up(client, eve)
    others = client.post("/v1/auth/token", json=eve).json["known_device"]

    def sign_in(address, **changes):
        given = {**ada, **changes}
        where = {"REMOTE_ADDR": address}
        return client.post("/v1/auth/token", json=given, environ_base=where).status_code

    for guess in range(60):
        sign_in(f"198.51.100.{guess // 5}", password="guess")
    for address in ("198.51.100.9", "203.0.113.9"):
        assert sign_in(address) == 429
        assert sign_in(address, known_device=others) == 429
        assert sign_in(address, known_device="no-such-token") == 429
        assert sign_in(address, known_device=known) == 200
    # Who has it has guesses of its own, and no more than others.
    wrong = [sign_in(f"192.0.2.{n}", known_device=known, password="guess") for n in range(7)]
    assert wrong == [401] * 5 + [429] * 2
    assert sign_in("203.0.113.9", known_device=known) == 429
    with UnitOfWork(engine) as session, session.begin():
        account = find_by_email(session, ada["email"])
        key = Services.of(client.application).throttle_key
        assert read_known_device(key, account, known, utc_now()) is not None
        account.password_hash = "another"
        assert read_known_device(key, account, known, utc_now()) is None


def test_a_person_sees_where_they_are_signed_in_and_ends_one(client, ada):
    phone, lost = (client.post("/v1/auth/token", json=ada).json for _ in range(2))
    lost = refresh(client, lost).json
    eve = {"email": "eve@example.org", "password": ada["password"]}
    sign_up(client, eve)
    others = client.post("/v1/auth/token", json=eve).json
    listed = client.get("/v1/account/sign-ins", headers=bearer(phone)).json["items"]
    assert [one["current"] for one in listed] == [False, True]
    assert all(one["signed_in_at"] <= one["refreshed_at"] for one in listed)
    where = f"/v1/account/sign-ins/{listed[0]['id']}"
    assert client.delete(where, headers=bearer(others)).status_code == 404
    assert client.delete(where, headers=bearer(phone)).status_code == 204
    assert client.delete(where, headers=bearer(phone)).status_code == 404
    assert client.get("/v1/account", headers=bearer(lost)).status_code == 401
    assert refresh(client, lost).status_code == 401
    left = client.get("/v1/account/sign-ins", headers=bearer(phone)).json["items"]
    assert left == listed[1:]


def test_a_person_signs_out_everywhere_else_and_nobody_else_with_them(client, ada):
    phone, lost = (client.post("/v1/auth/token", json=ada).json for _ in range(2))
    lost = refresh(client, lost).json
    eve = {"email": "eve@example.org", "password": ada["password"]}
    sign_up(client, eve)
    others = client.post("/v1/auth/token", json=eve).json
    for _ in range(2):
        ended = client.delete("/v1/account/sign-ins", headers=bearer(phone))
        assert ended.status_code == 204
    assert client.get("/v1/account", headers=bearer(lost)).status_code == 401
    assert refresh(client, lost).json["type"] == "urn:cymba:problem:refresh-invalid"
    (here,) = client.get("/v1/account/sign-ins", headers=bearer(phone)).json["items"]
    assert here["current"]
    assert refresh(client, phone).status_code == 200
    assert client.get("/v1/account", headers=bearer(others)).status_code == 200
    logged = client.get("/v1/audit", headers=bearer(phone)).json["items"]
    assert logged[0]["action"] == "account.signed_out_elsewhere"


def test_the_throttle_keeps_no_address_and_no_e_mail(client, ada, engine):
    client.post("/v1/auth/token", json=ada, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    with UnitOfWork(engine) as session:
        keys = b"".join(bucket.key for bucket in session.query(RateLimit))
    assert b"ada" not in keys
    assert b"192.0.2.1" not in keys
