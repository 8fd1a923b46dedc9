"""Verifies ID tokens: OpenID Connect Core 1.0, section 3.1.3.7, point by point.

`docs/security.md` says which test shows which point.
"""

import time
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256, sha384, sha512
from hmac import compare_digest
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

# Asymmetric algorithms only: the client secret must not be able to make an ID token. Each with its
# kind of key, its curves, and the hash for `at_hash`.
_KINDS: dict[str, tuple[str, tuple[str, ...], Any]] = {
    "RS256": ("RSA", (), sha256),
    "RS384": ("RSA", (), sha384),
    "RS512": ("RSA", (), sha512),
    "PS256": ("RSA", (), sha256),
    "ES256": ("EC", ("P-256",), sha256),
    "ES384": ("EC", ("P-384",), sha384),
    "EdDSA": ("OKP", ("Ed25519",), sha512),
}
MOST_KEYS = 100
MOST_MODULUS_CHARACTERS = 1_400  # 8192 bits; larger ones take long
LEEWAY_S = 60
OLDEST_S = 600  # since it was issued, which is right after the sign-in


class UnknownKey(Exception):
    """The token names a key that the provider is not known to have."""


class Invalid(Exception):
    """The token is not valid."""


def usable_keys(document: Any) -> list[Key]:
    """The keys of a provider's JWK set that can verify a signature here.

    Others are ignored: a provider may have keys for other uses.

    Raises:
        ValueError: it is no JWK set.
    """
    given = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(given, list) or len(given) > MOST_KEYS:
        raise ValueError("not a JWK set")
    keys = []
    for one in given:
        try:
            if len(str(one.get("n"))) > MOST_MODULUS_CHARACTERS:
                continue
            key = JWKRegistry.import_key(one)
            key.raw_value  # noqa: B018 - read now, so that a bad key fails here
        except Exception:  # noqa: BLE001, S112 - whatever it is, it is this key's
            continue
        is_for_it = one.get("use", "sig") == "sig" and "verify" in one.get("key_ops", ["verify"])
        if is_for_it and any(_fits(key, algorithm) for algorithm in _KINDS):
            keys.append(key)
    return keys


def agreed_algorithms(metadata: Mapping[str, Any]) -> Collection[str]:
    """The signature algorithms that this server and the provider's metadata share."""
    offered = metadata.get("id_token_signing_alg_values_supported")
    if not isinstance(offered, list):
        return _KINDS.keys()
    return [algorithm for algorithm in _KINDS if algorithm in offered]


def verified(
    tokens: Mapping[str, Any],
    keys: Sequence[Key],
    algorithms: Collection[str],
    *,
    issuers: Collection[str],
    client_ids: Collection[str],
    nonces: Collection[str],
    is_alone: bool = False,
) -> Mapping[str, Any]:
    """The claims of the `id_token` among `tokens`.

    Args:
        issuers: the names of the one issuer, in all the ways in which it writes them.
        client_ids: of the audience, each of which is a client of ours.
        nonces: of this sign-in, in all the forms in which it may be written.
        is_alone: no access token comes beside it, as from a sign-in on the phone itself.

    Raises:
        UnknownKey: ask the provider for its keys again, and try once more.
        Invalid.
    """
    id_token = str(tokens.get("id_token"))
    try:
        header = jws.extract_compact(id_token.encode()).headers()
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in algorithms:
            raise Invalid("signed in a way that was not agreed on")
        key = _key(keys, algorithm, header.get("kid"))
        claims = jwt.decode(id_token, key, algorithms=[algorithm]).claims
        now = int(time.time())
        jwt.JWTClaimsRegistry(
            now=now,
            leeway=LEEWAY_S,
            iss={"essential": True},
            aud={"essential": True},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True},
        ).validate(claims)
    except (JoseError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise Invalid(type(error).__name__) from None
    for name, known in (("iss", issuers), ("nonce", nonces)):
        if not isinstance(claims[name], str) or claims[name] not in known:
            raise Invalid(f"another {name}")
    _check_parties(claims, client_ids)
    if claims["iat"] < now - OLDEST_S - LEEWAY_S:
        raise Invalid("issued long ago")
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isascii():
        raise Invalid("a subject that is none")
    at_hash = claims.get("at_hash")
    is_checked = at_hash is not None and not is_alone
    if is_checked and not _is_hash_of(at_hash, tokens.get("access_token"), algorithm):
        raise Invalid("made for another access token")
    return claims


def _key(keys: Sequence[Key], algorithm: str, kid: Any) -> Key:
    fitting = [key for key in keys if _fits(key, algorithm) and (kid is None or key.kid == kid)]
    if not fitting and not (kid is not None and any(key.kid == kid for key in keys)):
        raise UnknownKey
    if len(fitting) != 1:
        raise Invalid("it does not say which of the keys it is signed by")
    return fitting[0]


def _fits(key: Key, algorithm: str) -> bool:
    kind, curves, _ = _KINDS[algorithm]
    is_kind = key.key_type == kind and (not curves or key.get("crv") in curves)
    return is_kind and key.get("alg") in {None, algorithm}


def _check_parties(claims: Mapping[str, Any], client_ids: Collection[str]) -> None:
    audience, party = claims["aud"], claims.get("azp")
    named = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(one, str) and one in client_ids for one in named):
        raise Invalid("for another audience")
    if len(named) > 1 and party is None:
        raise Invalid("for several audiences, and for none of them in the first place")
    if party is not None and not (isinstance(party, str) and party in client_ids):
        raise Invalid("issued to another client")


def _is_hash_of(given: Any, access_token: Any, algorithm: str) -> bool:
    if not isinstance(given, str) or not isinstance(access_token, str):
        return False
    digest = _KINDS[algorithm][2](access_token.encode()).digest()
    half = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    return compare_digest(half, given.encode())
