"""OpenID Connect Core 1.0, section 3.1.3.7, point by point; and keys of every kind."""

import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from cymba.accounts.id_tokens import (
    LEEWAY_S,
    OLDEST_S,
    Invalid,
    UnknownKey,
    agreed_algorithms,
    usable_keys,
    verified,
)

ISSUER, CLIENT, NONCE, ACCESS = "https://id.example.org", "cymba", "n-1", "an access token"
RSA = RSAKey.generate_key(2048, {"kid": "r"})
EC = ECKey.generate_key("P-256", {"kid": "e"})
ED = OKPKey.generate_key("Ed25519", {"kid": "o"})
OTHER = RSAKey.generate_key(2048, {"kid": "r"})
KEYS: list[Any] = [RSA, EC, ED]
PUBLIC = [key.as_dict(private=False) for key in KEYS]
ODD: list[Any] = [
    {"kty": "EC", "crv": "BP-256", "kid": "b", "x": "AA", "y": "AA"},
    {"kty": "OKP", "crv": "X9000", "kid": "x", "x": "AA"},
    {"kty": "OKP", "kid": "x"},
    {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
    {"kid": "none at all"},
    {"kty": None},
    {"kty": "RSA", "n": "AA", "e": "AQAB"},
    {"kty": "RSA", "n": 7, "e": [], "kid": "r"},
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "%%%", "kid": "e"},
    {"kty": "oct", "k": "c2VjcmV0", "kid": "r"},
    {**PUBLIC[0], "use": "enc"},
    {**PUBLIC[0], "key_ops": ["encrypt"]},
    {**PUBLIC[0], "use": 7},
    {**PUBLIC[0], "key_ops": 7},
    None, 7, "key", [], {},
]  # fmt: skip


def at_hash(token: str = ACCESS) -> str:
    return urlsafe_b64encode(sha256(token.encode()).digest()[:16]).rstrip(b"=").decode()


def token(key: Any = RSA, header: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": CLIENT, "sub": "g", "exp": now + 300, "iat": now,
              "nonce": NONCE} | changed  # fmt: skip
    whole = {name: value for name, value in claims.items() if value is not ...}
    head = {"alg": "RS256", "kid": "r"} | (header or {})
    head = {name: value for name, value in head.items() if value is not None}
    signed = jwt.encode(head, whole, key, algorithms=[head["alg"]])
    return {"id_token": signed, "access_token": ACCESS}


def claims(tokens: dict[str, Any], keys: Any = None, metadata: Any = None, **changed: Any) -> Any:
    return verified(
        tokens,
        usable_keys({"keys": PUBLIC if keys is None else keys}),
        agreed_algorithms(metadata or {}),
        **{"issuers": {ISSUER}, "client_ids": {CLIENT}, "nonces": {NONCE}} | changed,
    )


@pytest.mark.parametrize(
    ("key", "header"),
    [
        (RSA, {}),
        (RSA, {"alg": "PS256"}),
        (EC, {"alg": "ES256", "kid": "e"}),
        (ED, {"alg": "EdDSA", "kid": "o"}),
        (EC, {"alg": "ES256", "kid": None}),  # the only one of its kind
    ],
)
def test_a_token_that_holds(key: Any, header: dict[str, Any]) -> None:
    assert claims(token(key, header))["sub"] == "g"


NOW = int(time.time())


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"iss": ISSUER + "/"}, id="2: another issuer, by a slash"),
        pytest.param({"iss": ISSUER.upper()}, id="2: another issuer, by its case"),
        pytest.param({"iss": ...}, id="2: no issuer"),
        pytest.param({"iss": [ISSUER]}, id="2: an issuer that is a list"),
        pytest.param({"aud": "other"}, id="3: another audience"),
        pytest.param({"aud": ["other"]}, id="3: other audiences"),
        pytest.param({"aud": []}, id="3: an empty audience"),
        pytest.param({"aud": ...}, id="3: no audience"),
        pytest.param({"aud": [CLIENT, "other"]}, id="4: several, and no azp"),
        pytest.param({"aud": [CLIENT, "other"], "azp": "other"}, id="5: azp is another"),
        pytest.param({"azp": "other"}, id="5: azp is another, one audience"),
        pytest.param({"azp": [CLIENT]}, id="5: azp is a list"),
        pytest.param({"exp": NOW - LEEWAY_S - 5}, id="9: expired"),
        pytest.param({"exp": ...}, id="9: never expires"),
        pytest.param({"exp": "tomorrow"}, id="9: exp is no number"),
        pytest.param({"iat": NOW + 3_600}, id="10: issued in the future"),
        pytest.param({"iat": NOW - OLDEST_S - LEEWAY_S - 5}, id="10: issued long ago"),
        pytest.param({"iat": ...}, id="10: never issued"),
        pytest.param({"iat": "now"}, id="10: iat is no number"),
        pytest.param({"nbf": NOW + 3_600}, id="not yet"),
        pytest.param({"nonce": "another"}, id="11: another nonce"),
        pytest.param({"nonce": ...}, id="11: no nonce"),
        pytest.param({"sub": ...}, id="no subject"),
        pytest.param({"sub": ""}, id="an empty subject"),
        pytest.param({"sub": 7}, id="a subject that is a number"),
        pytest.param({"sub": "g" * 256}, id="a subject that is too long"),
        pytest.param({"at_hash": at_hash("another")}, id="at_hash of another token"),
        pytest.param({"at_hash": 7}, id="at_hash is a number"),
    ],
)
def test_a_token_that_does_not_hold(changed: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        claims(token(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": [CLIENT]},
        {"aud": [CLIENT, "other"], "azp": CLIENT},
        {"azp": CLIENT},
        {"at_hash": at_hash()},
    ],
)
def test_what_is_allowed(changed: dict[str, Any]) -> None:
    assert claims(token(**changed))["sub"] == "g"


def test_the_clocks_may_differ_by_the_leeway() -> None:
    now = int(time.time())  # not when this file was read, which may be minutes ago
    early, late = now - LEEWAY_S + 30, now + LEEWAY_S - 30
    claims(token(exp=early, iat=late, nbf=late))


def test_an_at_hash_needs_its_access_token() -> None:
    with pytest.raises(Invalid):
        claims({**token(at_hash=at_hash()), "access_token": None})


APPS: dict[str, Any] = {"client_ids": {CLIENT, "phone"}, "is_alone": True}


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "phone"},
        {"azp": "phone"},  # Google on Android: for the server, issued to the app
        {"aud": ["phone", "other"], "azp": "phone"},
        {"at_hash": at_hash("one that the app keeps")},
    ],
)
def test_what_an_app_of_ours_brings_by_itself(changed: dict[str, Any]) -> None:
    assert claims({"id_token": token(**changed)["id_token"]}, **APPS)["sub"] == "g"
    with pytest.raises(Invalid):  # and no other app
        claims({"id_token": token(**changed)["id_token"]}, **APPS | {"client_ids": {"third"}})


@pytest.mark.parametrize(
    "changed",
    [{"azp": "other"}, {"aud": ["phone", "other"]}, {"aud": [["phone"]]}, {"aud": {"phone": 1}}],
)
def test_what_an_app_of_others_brings(changed: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        claims({"id_token": token(**changed)["id_token"]}, **APPS)


def test_too_many_keys_and_too_large_ones_are_not_tried() -> None:
    huge = {**PUBLIC[0], "n": "A" * 100_000}
    assert len(usable_keys({"keys": [huge, PUBLIC[0]]})) == 1
    with pytest.raises(ValueError, match="JWK set"):
        usable_keys({"keys": [PUBLIC[0]] * 101})


def _unsigned() -> dict[str, Any]:
    head = urlsafe_b64encode(b'{"alg":"none","kid":"r"}').rstrip(b"=").decode()
    return {"id_token": f"{head}.{token()['id_token'].split('.')[1]}."}


@pytest.mark.parametrize(
    "tokens",
    [
        _unsigned(),
        token(OctKey.import_key({"kty": "oct", "k": PUBLIC[0]["n"]}), {"alg": "HS256"}),
        token(OTHER),
        token(EC, {"alg": "ES256", "kid": "r"}),
        {"id_token": "a.b.c"},
        {"id_token": "é.é.é"},
        {"id_token": ""},
        {},
    ],
    ids=["none", "HS256 with the public key", "another key", "a key of another kind",
         "no token", "no ASCII", "empty", "missing"],
)  # fmt: skip
def test_a_signature_that_does_not_hold(tokens: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        claims(tokens)


def test_only_what_the_provider_says_that_it_uses() -> None:
    only = {"id_token_signing_alg_values_supported": ["ES256", "none", "HS256"]}
    with pytest.raises(Invalid):
        claims(token(), metadata=only)
    assert claims(token(EC, {"alg": "ES256", "kid": "e"}), metadata=only)


@pytest.mark.parametrize("odd", ODD, ids=map(str, range(len(ODD))))
def test_a_key_that_cannot_be_used_is_passed_over(odd: Any) -> None:
    assert len(usable_keys({"keys": [odd, *PUBLIC]})) == len(PUBLIC)
    assert claims(token(), [odd, *PUBLIC])["sub"] == "g"
    assert usable_keys({"keys": [odd]}) == []


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}, {"keys": {}}])
def test_no_key_set(document: Any) -> None:
    with pytest.raises(ValueError, match="JWK set"):
        usable_keys(document)


def test_a_key_that_is_not_known_is_told_apart() -> None:
    with pytest.raises(UnknownKey):
        claims(token(header={"kid": "new"}))


def test_of_several_keys_the_token_must_name_one() -> None:
    another = {**OTHER.as_dict(private=False), "kid": "r2"}
    with pytest.raises(Invalid):
        claims(token(header={"kid": None}), [*PUBLIC, another])
