"""Signing in with an ID token of the phone's own sign-in, and several providers side by side."""

import time
from hashlib import sha256
from threading import Event

import msgspec
import pytest
from flask import Flask, Response
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import func, select

from cymba.accounts import providers
from cymba.accounts.providers import Provider, ProviderUnavailable
from cymba.accounts.tables import Account, OidcFlow, ProviderIdentity
from cymba.database import UnitOfWork
from cymba.settings import OidcProvider, SettingsError, load
from tests.service.conftest import app_with, bearer
from tests.service.fake_provider import FakeProvider, of


@pytest.fixture
def provider(serve):
    return FakeProvider.served(serve)


@pytest.fixture
def other(serve):
    return FakeProvider.served(serve)


@pytest.fixture
def app(settings, engine, provider, other):
    both = {
        "id": of(provider),
        "other": OidcProvider(issuer=other.issuer, client_id="cymba"),  # on the phone alone
    }
    return app_with(msgspec.structs.replace(settings, oidc_providers=both), engine)


@pytest.fixture
def begin(client):
    def start(name="id", **more):
        return client.post(f"/v1/auth/oidc/{name}/start", **more).json

    return start


@pytest.fixture
def exchange(client):
    def post(begun, id_token, *, at="id"):
        given = {"state": begun["state"], "id_token": id_token}
        return client.post(f"/v1/auth/oidc/{at}/id-token", json=given)

    return post


def me(client, signed_in):
    return client.get("/v1/account", headers=bearer(signed_in.json)).json


def refused(response):
    return (response.status_code, response.json["type"]) == (401, "urn:cymba:problem:oidc-refused")


@pytest.mark.parametrize("written", [str, lambda nonce: sha256(nonce.encode()).hexdigest()])
def test_a_phones_own_sign_in_opens_an_account(client, provider, begin, exchange, written):
    ids = set()
    for changed in (
        {},
        {"aud": "org.example.cymba"},
        {"azp": "org.example.cymba"},
        {"at_hash": "of a token that the app keeps"},
        {"email_verified": "true"},
    ):
        begun = begin()
        signed_in = exchange(begun, provider.id_token(written(begun["nonce"]), **changed))
        assert signed_in.status_code == 200, changed
        ids.add(me(client, signed_in)["id"])
    assert len(ids) == 1


NOW = int(time.time())
BAD = (
    {"aud": "another-app"},
    {"aud": ["cymba", "another-app"]},
    {"azp": "another-app"},
    {"iss": "https://elsewhere.example.org"},
    {"exp": NOW - 3_600},
    {"iat": NOW - 3_600},
    {"nonce": "another"},
    {"nonce": None},
    {"sub": ""},
)


def test_one_that_does_not_hold_opens_nothing(provider, begin, exchange, engine):
    for changed in BAD:
        begun = begin()
        assert refused(exchange(begun, provider.id_token(begun["nonce"], **changed))), changed
    with UnitOfWork(engine) as session:
        assert session.scalar(select(func.count()).select_from(Account)) == 0


def test_nor_does_one_that_the_provider_has_not_signed(provider, begin, exchange):
    def claims(begun):
        payload = jwt.decode(provider.id_token(begun["nonce"]), provider.key).claims
        return {**payload}

    public = provider.key.as_dict(private=False)
    by_public_key = OctKey.import_key({"kty": "oct", "k": public["n"]})
    thief = RSAKey.generate_key(2048, {"kid": "1"})
    forged = (
        lambda c: jwt.encode({"alg": "HS256", "kid": "1"}, c, by_public_key),
        lambda c: jwt.encode({"alg": "RS256", "kid": "1"}, c, thief),
        lambda c: jwt.encode({"alg": "RS256", "jwk": thief.as_dict(private=False)}, c, thief),
        lambda c: (
            "eyJhbGciOiJub25lIiwia2lkIjoiMSJ9."
            + jwt.encode({"alg": "RS256"}, c, thief).split(".")[1]
            + "."
        ),
        lambda _: "a.b.c",
        lambda _: "x" * 8_000,
    )
    for forge in forged:
        begun = begin()
        assert refused(exchange(begun, forge(claims(begun))))


def test_a_token_is_good_once_and_at_the_provider_that_it_was_begun_with(
    client, provider, other, begin, exchange, engine
):
    begun = begin()
    token = provider.id_token(begun["nonce"])
    assert exchange(begun, token).status_code == 200
    assert refused(exchange(begun, token))
    assert refused(exchange(begin(), token))  # another sign-in has another nonce
    crossed = begin()
    assert refused(exchange(crossed, other.id_token(crossed["nonce"]), at="other"))
    assert refused(exchange(crossed, other.id_token(crossed["nonce"])))
    with UnitOfWork(engine) as session:
        assert session.scalar(select(func.count()).select_from(Account)) == 1
    assert client.post("/v1/auth/oidc/none/start").json["type"].endswith("oidc-not-set-up")


def test_one_subject_at_two_providers_is_two_people(client, provider, other, begin, exchange):
    first, second = begin(), begin("other")
    grace = exchange(first, provider.id_token(first["nonce"], sub="1"))
    given = {"sub": "1", "email": "bea@example.org"}
    bea = exchange(second, other.id_token(second["nonce"], **given), at="other")
    assert me(client, grace)["email"] == "grace@example.org"
    assert me(client, bea)["email"] == "bea@example.org"


def test_one_provider_is_linked_beside_another_and_leaves_alone(
    client, provider, other, begin, exchange
):
    first = begin()
    signed_in = exchange(first, provider.id_token(first["nonce"]))
    headers = bearer(signed_in.json)
    begun = client.post("/v1/account/oidc/other/start", headers=headers).json
    linked = exchange(begun, other.id_token(begun["nonce"], sub="apple-1"), at="other")
    assert me(client, linked)["id"] == me(client, signed_in)["id"]
    shown = client.get("/v1/account/identities", headers=headers).json["items"]
    assert [one["issuer"] for one in shown] == [provider.issuer, other.issuer]
    where = f"/v1/account/identities/{shown[0]['id']}"
    assert client.delete(where, headers=headers).status_code == 204
    again = begin("other")
    back = exchange(again, other.id_token(again["nonce"], sub="apple-1"), at="other")
    assert me(client, back)["id"] == me(client, signed_in)["id"]


def test_who_there_is_to_sign_in_with(client, provider, other, begin):
    listed = client.get("/v1/auth/oidc").json["items"]
    assert listed == [
        {"name": "id", "issuer": provider.issuer, "by_browser": True},
        {"name": "other", "issuer": other.issuer, "by_browser": False},
    ]
    begun = begin("other")
    assert begun["authorization_url"] is None
    finish = {"state": begun["state"], "code": "x"}
    nowhere = client.post("/v1/auth/oidc/other/finish", json=finish)
    assert nowhere.json["type"] == "urn:cymba:problem:oidc-not-set-up"


def test_google_writes_itself_in_two_ways_and_is_one(client, provider, engine, app, monkeypatch):
    """Its metadata and keys come from here; its name is the real one."""
    google = OidcProvider(issuer="https://accounts.google.com", client_id="cymba")
    known = Provider("google", google)
    keys = [provider.key]
    monkeypatch.setattr(known, "_known", lambda: ({}, keys))
    monkeypatch.setitem(app.extensions["cymba"].oidc, "google", known)
    ids = set()
    for issuer in ("https://accounts.google.com", "accounts.google.com"):
        begun = client.post("/v1/auth/oidc/google/start").json
        given = {"state": begun["state"]}
        given["id_token"] = provider.id_token(begun["nonce"], iss=issuer)
        signed_in = client.post("/v1/auth/oidc/google/id-token", json=given)
        ids.add(me(client, signed_in)["id"])
    assert len(ids) == 1
    with UnitOfWork(engine) as session:
        identity = session.scalars(select(ProviderIdentity)).one()
    assert identity.issuer == "https://accounts.google.com"


def test_a_sign_in_that_the_version_before_began_is_begun_anew(begin, exchange, provider, engine):
    begun = begin()
    with UnitOfWork(engine) as session, session.begin():
        session.scalars(select(OidcFlow)).one().provider = None
    assert refused(exchange(begun, provider.id_token(begun["nonce"])))


LARGE = b'{"keys": [' + b" " * providers.MOST_BYTES


def _endless():
    while True:
        yield b" "
        Event().wait(0.02)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: Response(LARGE),
        lambda: Response(_endless()),
        lambda: Response(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
        lambda: Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
        lambda: Response("[" * 100_000),
        lambda: {"keys": [{"kty": "RSA"}] * 101},
    ],
    ids=["large", "endless", "packed", "elsewhere", "deep", "too many"],
)
def test_whatever_a_provider_says_its_keys_are_is_read_within_bounds(serve, monkeypatch, answer):
    monkeypatch.setattr(providers, "TIMEOUT_S", 0.3)
    odd = Flask("odd")
    odd.get("/keys")(answer)

    @odd.get("/.well-known/openid-configuration")
    def metadata():
        return {"issuer": known.issuer, "jwks_uri": f"{known.issuer}/keys"}

    known = Provider("odd", OidcProvider(issuer=serve(odd), client_id="cymba"))
    with pytest.raises(ProviderUnavailable):
        known.prepare()


def test_one_that_does_not_answer_is_not_asked_by_everybody_in_turn(monkeypatch):
    asked = []

    def nothing(url):
        asked.append(url)
        raise ProviderUnavailable

    monkeypatch.setattr(providers, "_document", nothing)
    known = Provider("id", OidcProvider(issuer="https://id.example.org", client_id="cymba"))
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            known.prepare()
    assert len(asked) == 1
    monkeypatch.setattr(providers, "FAILED_FOR_S", 0)
    with pytest.raises(ProviderUnavailable):
        known.prepare()
    assert len(asked) == 2


@pytest.mark.parametrize("endpoint", [None, 7, "", "/authorize", "javascript:x", "https://x\n"])
def test_one_whose_metadata_lead_nowhere_is_not_available(provider, endpoint, monkeypatch):
    document = providers._document

    def spoiled(url):
        said = document(url)
        is_metadata = "token_endpoint" in said
        return said | {"authorization_endpoint": endpoint} if is_metadata else said

    monkeypatch.setattr(providers, "_document", spoiled)
    with pytest.raises(ProviderUnavailable):
        Provider("id", of(provider)).prepare()


def test_while_a_slow_provider_is_read_anew_others_sign_in(provider, monkeypatch):
    known = Provider("id", of(provider))
    known.prepare()
    monkeypatch.setattr(providers, "KEPT_S", -1)
    nonce, inside = "n", []

    def slow(_self):  # what is known is enough for somebody who comes meanwhile
        monkeypatch.setattr(Provider, "_read", lambda _: None)
        inside.append(known.claims_of(provider.id_token(nonce), nonce=nonce)["sub"])

    monkeypatch.setattr(Provider, "_read", slow)
    known.prepare()
    assert inside == ["grace-1"]


@pytest.mark.parametrize(
    "value",
    [
        "google",
        "{",
        '{"google": {}}',
        '{"Google": {"issuer": "https://id.example.org", "client_id": "x"}}',
        '{"google": {"issuer": "http://id.example.org", "client_id": "x"}}',
        '{"google": {"issuer": "https://id.example.org?x", "client_id": "x"}}',
        '{"google": {"issuer": "https://id.example.org", "client_id": "x", "secret": "s-1"}}',
    ],
)
def test_a_setting_that_names_no_providers_stops_the_start(value):
    with pytest.raises(SettingsError, match="CYMBA_OIDC_PROVIDERS") as stopped:
        load({"CYMBA_OIDC_PROVIDERS": value})
    assert "s-1" not in str(stopped.value)


def test_providers_are_named_in_one_setting():
    value = '{"google": {"issuer": "https://accounts.google.com", "client_id": "x"}}'
    (google,) = load({"CYMBA_OIDC_PROVIDERS": value}).oidc_providers.values()
    assert (google.issuer, google.native_client_ids) == ("https://accounts.google.com", ())
