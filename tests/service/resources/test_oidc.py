"""Signing in with a provider in a browser, and linking one."""

from uuid import UUID

import msgspec
import pytest
from flask import Flask
from joserfc.jwk import RSAKey
from sqlalchemy import func, select, update

from cymba.accounts import single_use
from cymba.accounts.oidc import abandon_links
from cymba.accounts.providers import Provider, ProviderUnavailable
from cymba.accounts.tables import Account, OidcFlow, ProviderIdentity, RefreshToken
from cymba.database import UnitOfWork, utc_now
from cymba.errors import Unauthenticated
from cymba.rights.password_reset import reset_password
from cymba.settings import OidcProvider
from tests.service.conftest import CheckedClient, CheckedDocument, app_with, bearer, sign_up
from tests.service.fake_provider import FakeProvider, of


@pytest.fixture
def provider(serve):
    return FakeProvider.served(serve)


@pytest.fixture
def app(settings, engine, provider):
    known = msgspec.structs.replace(settings, oidc_providers={"id": of(provider)})
    return app_with(known, engine)


@pytest.fixture
def sign_in(client, provider):
    def whole(**who):
        begun = client.post("/v1/auth/oidc/id/start").json
        code = provider.sign_in_at(begun["authorization_url"], **who)
        finish = {"state": begun["state"], "code": code}
        return client.post("/v1/auth/oidc/id/finish", json=finish)

    return whole


def me(client, signed_in):
    return client.get("/v1/account", headers=bearer(signed_in.json)).json


def identities(client, signed_in):
    return client.get("/v1/account/identities", headers=bearer(signed_in.json)).json["items"]


def link(client, provider, headers, **who):
    begun = client.post("/v1/account/oidc/id/start", headers=headers).json
    code = provider.sign_in_at(begun["authorization_url"], **who)
    return client.post("/v1/auth/oidc/id/finish", json={"state": begun["state"], "code": code})


def test_somebody_new_gets_an_account_and_the_same_one_the_next_time(client, sign_in):
    first, second = sign_in(), sign_in(email="grace@elsewhere.example.org")
    assert first.status_code == second.status_code == 200
    assert me(client, first)["email"] == "grace@example.org"
    assert me(client, first)["id"] == me(client, second)["id"]


def test_a_new_account_speaks_the_language_that_asked(client, provider):
    begun = client.post("/v1/auth/oidc/id/start").json
    finish = {
        "state": begun["state"],
        "code": provider.sign_in_at(begun["authorization_url"]),
    }
    wanted = {"Accept-Language": "fr;q=0.5, de-AT"}
    signed_in = client.post("/v1/auth/oidc/id/finish", json=finish, headers=wanted)
    assert me(client, signed_in)["locale"] == "de-AT"


@pytest.mark.parametrize(
    "faults",
    [
        {"nonce": "another"},
        {"aud": "another-client"},
        {"iss": "https://elsewhere.example.org"},
        {"exp": 1_700_000_000},
        {"sub": None},
    ],
)
def test_an_id_token_that_does_not_hold_opens_nothing(sign_in, provider, engine, faults):
    provider.faults = faults
    refused = sign_in()
    assert refused.json["type"] == "urn:cymba:problem:oidc-refused"
    with UnitOfWork(engine) as session:
        assert session.scalar(select(func.count()).select_from(Account)) == 0


def test_one_signed_by_another_key_opens_nothing(sign_in, provider):
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "1"})
    assert sign_in().status_code == 401


def test_keys_that_nobody_here_can_use_stop_no_sign_in(sign_in, provider):
    provider.odd_keys = [
        {"kty": "EC", "crv": "BP-256", "kid": "b", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X9000", "x": "AA"},
        {"kid": "none"},
    ]
    assert sign_in().status_code == 200


def test_a_new_key_is_asked_for_once_and_not_at_every_token(sign_in, provider, monkeypatch):
    assert sign_in().status_code == 200
    provider.key = RSAKey.generate_key(2048, {"kid": "2"})
    assert sign_in().status_code == 401  # the keys have just been read
    assert provider.reads == 1
    monkeypatch.setattr("cymba.accounts.providers.READ_AGAIN_S", 0)
    assert sign_in().status_code == 200
    assert provider.reads == 2
    assert sign_in().status_code == 200
    assert provider.reads == 2
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "3"})
    assert sign_in().status_code == 401
    assert provider.reads == 3


def test_a_state_comes_back_once_and_only_if_it_was_given(client, provider):
    begun = client.post("/v1/auth/oidc/id/start").json
    code = provider.sign_in_at(begun["authorization_url"])
    finish = {"state": begun["state"], "code": code}
    assert client.post("/v1/auth/oidc/id/finish", json=finish).status_code == 200
    assert client.post("/v1/auth/oidc/id/finish", json=finish).status_code == 401
    forged = {"state": "forged", "code": code}
    assert client.post("/v1/auth/oidc/id/finish", json=forged).status_code == 401


def test_a_code_of_another_flow_is_refused_by_pkce(client, provider):
    mine, theirs = (client.post("/v1/auth/oidc/id/start").json for _ in range(2))
    code = provider.sign_in_at(theirs["authorization_url"])
    crossed = client.post("/v1/auth/oidc/id/finish", json={"state": mine["state"], "code": code})
    assert crossed.status_code == 401


def test_an_address_that_has_an_account_is_not_taken_over_but_linked_by_its_owner(
    client, provider, sign_in
):
    account = {"email": "Grace@example.org", "password": "correct horse battery"}
    sign_up(client, account)
    assert sign_in().json["type"] == "urn:cymba:problem:email-taken"
    headers = bearer(client.post("/v1/auth/token", json=account).json)
    begun = client.post("/v1/account/oidc/id/start", headers=headers).json
    code = provider.sign_in_at(begun["authorization_url"])
    finish = {"state": begun["state"], "code": code}
    linked = client.post("/v1/auth/oidc/id/finish", json=finish)
    assert me(client, linked)["email"] == "Grace@example.org"
    assert me(client, sign_in())["id"] == me(client, linked)["id"]


@pytest.mark.parametrize("ends", ["reset", "unlink"])
def test_a_linking_that_is_ended_while_its_code_is_redeemed_links_nothing(
    client, provider, sign_in, engine, monkeypatch, ends
):
    """A thief's linking, which the provider answers just as the owner ends what was begun."""
    owner = sign_in()
    account_id = UUID(me(client, owner)["id"])
    begun = client.post("/v1/account/oidc/id/start", headers=bearer(owner.json)).json
    code = provider.sign_in_at(begun["authorization_url"], sub="thief", email="thief@example.org")
    redeemed = Provider.claims

    def meanwhile(*args, **kwargs):
        claims = redeemed(*args, **kwargs)
        with UnitOfWork(engine) as session, session.begin():
            if ends == "reset":
                token = single_use.make(session, account_id, "password-reset", now=utc_now())
                reset_password(session, token, "a hash", now=utc_now())
            else:
                abandon_links(session, account_id)
        return claims

    monkeypatch.setattr(Provider, "claims", meanwhile)
    finish = {"state": begun["state"], "code": code}
    assert client.post("/v1/auth/oidc/id/finish", json=finish).status_code == 401
    with UnitOfWork(engine) as session:
        assert "thief" not in session.scalars(select(ProviderIdentity.subject)).all()
        assert session.scalars(select(OidcFlow)).all() == []


def test_what_opens_one_account_is_not_linked_to_another(client, provider, sign_in, person):
    sign_in()
    begun = client.post("/v1/account/oidc/id/start", headers=person.headers).json
    code = provider.sign_in_at(begun["authorization_url"])
    finish = {"state": begun["state"], "code": code}
    taken = client.post("/v1/auth/oidc/id/finish", json=finish)
    assert taken.json["type"] == "urn:cymba:problem:identity-taken"


def test_an_address_that_is_not_vouched_for_makes_no_account(sign_in, provider):
    provider.faults = {"email_verified": False}
    assert sign_in().json["type"] == "urn:cymba:problem:email-not-verified"


def test_what_opens_the_account_is_listed_and_unlinked(client, provider, sign_in):
    first = sign_in()
    second = link(client, provider, bearer(first.json), sub="grace-2")
    shown = identities(client, second)
    assert [one["subject"] for one in shown] == ["grace-1", "grace-2"]
    assert {one["issuer"] for one in shown} == {provider.issuer}
    where = f"/v1/account/identities/{shown[0]['id']}"
    assert client.delete(where, headers=bearer(second.json)).status_code == 204
    assert client.delete(where, headers=bearer(second.json)).status_code == 404
    assert identities(client, second) == shown[1:]
    assert client.get("/v1/account", headers=bearer(first.json)).status_code == 401
    assert sign_in().json["type"] == "urn:cymba:problem:email-taken"
    logged = client.get("/v1/audit", headers=bearer(second.json)).json["items"]
    told = [(one["action"], one["detail"].get("provider")) for one in logged]
    assert told[0] == ("identity.unlinked", provider.issuer)
    assert ("identity.linked", provider.issuer) in told


def test_the_last_way_to_sign_in_is_not_taken_away(client, sign_in, engine):
    signed_in = sign_in()
    (only,) = identities(client, signed_in)
    where = f"/v1/account/identities/{only['id']}"
    refused = client.delete(where, headers=bearer(signed_in.json))
    assert (refused.status_code, refused.json["type"]) == (409, "urn:cymba:problem:last-sign-in")
    assert identities(client, signed_in) == [only]
    account_id = me(client, signed_in)["id"]
    with UnitOfWork(engine) as session, session.begin():
        session.add(
            ProviderIdentity(
                issuer="https://gone.example.org",
                subject="x",
                account_id=account_id,
            )
        )
    still = client.delete(where, headers=bearer(signed_in.json))
    assert still.status_code == 409, "one of a provider that is not set up opens nothing"
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(Account).values(password_hash="a password's"))
    assert client.delete(where, headers=bearer(signed_in.json)).status_code == 204


def test_nobody_unlinks_anothers(client, sign_in, person):
    (identity,) = identities(client, signed_in := sign_in())
    where = f"/v1/account/identities/{identity['id']}"
    assert client.delete(where, headers=person.headers).status_code == 404
    assert identities(client, signed_in) == [identity]


@pytest.mark.usefixtures("provider")
def test_beginning_again_and_again_is_slowed_down(client, engine):
    statuses = [client.post("/v1/auth/oidc/id/start").status_code for _ in range(31)]
    assert statuses == [200] * 30 + [429]
    elsewhere = {"REMOTE_ADDR": "198.51.100.7"}
    assert client.post("/v1/auth/oidc/id/start", environ_base=elsewhere).status_code == 200
    with UnitOfWork(engine) as session:
        assert session.scalar(select(func.count()).select_from(OidcFlow)) == 31


def test_a_provider_that_does_not_answer_is_not_a_defect(settings, engine):
    nowhere = OidcProvider(issuer="http://127.0.0.1:9", client_id="cymba")
    app = app_with(msgspec.structs.replace(settings, oidc_providers={"id": nowhere}), engine)
    client = CheckedClient(app, app.response_class)
    client.document = CheckedDocument(app)
    assert client.post("/v1/auth/oidc/id/start").status_code == 503


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (("<html>", 200), ProviderUnavailable),
        (("[]", 200), ProviderUnavailable),
        (('{"error": "server_error"}', 500), ProviderUnavailable),
        (('{"error": "invalid_grant"}', 400), Unauthenticated),
        (('{"error": "invalid_grant", "id_token": "a.b.c"}', 200), Unauthenticated),
        (("{}", 200), Unauthenticated),
        (('{"id_token": 7}', 200), Unauthenticated),
        (('{"id_token": "a.b.c"}', 200), Unauthenticated),
    ],
)
def test_whatever_a_provider_answers_to_a_code_is_no_defect(serve, provider, answer, error):
    other = Flask("other")
    other.post("/token")(lambda: answer)
    url = serve(other)
    known = Provider("id", of(provider))
    known.prepare()
    known._metadata = {**known._metadata, "token_endpoint": f"{url}/token"}
    with pytest.raises(error):
        known.claims("code", nonce="n", code_verifier="v" * 43)


def test_a_slow_provider_holds_no_database_connection(client, engine, monkeypatch):
    held, read = [], Provider._read

    def slow(known):
        held.append(engine.pool.checkedout())
        read(known)

    monkeypatch.setattr(Provider, "_read", slow)
    assert client.post("/v1/auth/oidc/id/start").status_code == 200
    assert held == [0]


def test_without_a_provider_there_is_nothing_to_start(settings, engine):
    client = app_with(settings, engine).test_client()
    assert client.post("/v1/auth/oidc/id/start").status_code == 404
    assert client.get("/v1/auth/oidc").json["items"] == []


def test_a_provider_is_linked_to_no_account_whose_address_nobody_confirmed(
    client, provider, person
):
    """Else whoever signs up with another's address keeps a way in for when they come."""
    refused = link(client, provider, person.headers, sub="thief", email="thief@example.org")
    assert refused.json["type"] == "urn:cymba:problem:email-not-verified"
    vouched = link(client, provider, person.headers, sub="own", email=person.email.upper())
    assert me(client, vouched)["id"] == str(person.id)


@pytest.mark.usefixtures("provider")
def test_linking_asks_for_fresh_proof(client, engine, person):
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(RefreshToken).values(proved_at=None))
    refused = client.post("/v1/account/oidc/id/start", headers=person.headers)
    assert refused.json["type"] == "urn:cymba:problem:reauthentication-required"
