"""The OpenID Connect providers that people can sign in with: what each says of itself, its keys,
and what it says of a person.

What a provider answers is read within a bounded size and time: it may be broken, or in other hands.
"""

import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any

import httpx
import orjson
from joserfc.jwk import Key

from cymba.accounts.id_tokens import Invalid, UnknownKey, agreed_algorithms, usable_keys, verified
from cymba.errors import Unauthenticated
from cymba.settings import OidcProvider

SCOPE = "openid email"
KEPT_S = 600.0  # how long a provider's metadata and keys are kept
FAILED_FOR_S = 5.0  # one that did not answer is left alone for so long: each try holds a thread
READ_AGAIN_S = 30.0  # the least time between two reads, whatever keys the tokens name
TIMEOUT_S = 10.0
MOST_BYTES = 256 * 1024  # of an answer
# Google writes itself in two ways (Google Identity, "Verify the Google ID token").
_ALSO = {"https://accounts.google.com": "accounts.google.com"}
_POST_ALONE = ["client_secret_post"]  # Apple; where nothing is said, it is Basic


class ProviderUnavailable(Exception):
    """The provider does not answer, or not as OpenID Connect demands."""


class Provider:
    """One provider; its metadata and keys are read when needed, and cached."""

    def __init__(self, name: str, known: OidcProvider) -> None:
        self.name = name
        self.issuer = known.issuer
        self._of = known
        self._lock = threading.Lock()
        self._read_s, self._failed_s = -KEPT_S, -FAILED_FOR_S
        self._metadata: Mapping[str, Any] = {}
        self._keys: list[Key] = []

    @property
    def by_browser(self) -> bool:
        """Whether people sign in at it in a browser; else on their phone alone."""
        return self._of.redirect_uri is not None

    def prepare(self) -> None:
        """Read the provider's metadata and keys, if they are not cached. Call it outside of any
        transaction: a slow provider would hold a database connection for each sign-in.

        Raises:
            ProviderUnavailable.
        """
        self._known()

    def authorization_url(self, *, state: str, nonce: str, code_verifier: str) -> str | None:
        """Where the person signs in; None: on their phone alone.

        Raises:
            ProviderUnavailable.
        """
        metadata, _ = self._known()
        if not self.by_browser:
            return None
        digest = sha256(code_verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._of.client_id,
            "redirect_uri": self._of.redirect_uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return str(httpx.URL(metadata["authorization_endpoint"]).copy_merge_params(asked))

    def claims(self, code: str, *, nonce: str, code_verifier: str) -> Mapping[str, Any]:
        """The verified claims of the ID token for the code.

        Raises:
            ProviderUnavailable.
            Unauthenticated: the provider refuses the code, or its ID token is not valid.
        """
        metadata, _ = self._known()
        tokens = self._redeem(metadata, code, code_verifier)
        return self._verified(tokens, {self._of.client_id}, {nonce})

    def claims_of(self, id_token: str, *, nonce: str) -> Mapping[str, Any]:
        """The verified claims of an ID token that the phone's own sign-in gave an app of ours.

        Some of those put the nonce into the token as it is, some its SHA-256.

        Raises:
            ProviderUnavailable.
            Unauthenticated: it is not valid.
        """
        clients = {self._of.client_id, *self._of.native_client_ids}
        nonces = {nonce, sha256(nonce.encode()).hexdigest()}
        return self._verified({"id_token": id_token}, clients, nonces, is_alone=True)

    def _verified(
        self,
        tokens: Mapping[str, Any],
        clients: Collection[str],
        nonces: Collection[str],
        *,
        is_alone: bool = False,
    ) -> Mapping[str, Any]:
        issuers = {self.issuer, _ALSO.get(self.issuer, self.issuer)}
        for is_last in (False, True):
            metadata, keys = self._known()
            try:
                return verified(
                    tokens,
                    keys,
                    agreed_algorithms(metadata),
                    issuers=issuers,
                    client_ids=clients,
                    nonces=nonces,
                    is_alone=is_alone,
                )
            except Invalid:
                break
            except UnknownKey:  # the provider may have new keys
                if not is_last:
                    self._read_again()
        raise refused()

    def _redeem(self, metadata: Mapping[str, Any], code: str, verifier: str) -> Mapping[str, Any]:
        """The tokens for the code, not verified (RFC 6749, section 4.1.3)."""
        client_id, secret = self._of.client_id, self._of.client_secret
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._of.redirect_uri,
            "code_verifier": verifier,
        }
        basic = None
        if secret and metadata.get("token_endpoint_auth_methods_supported") == _POST_ALONE:
            given |= {"client_id": client_id, "client_secret": secret}
        elif secret:
            basic = (client_id, secret)
        else:
            given["client_id"] = client_id
        status, tokens = _ask("POST", metadata["token_endpoint"], data=given, auth=basic)
        if status >= 500 or not isinstance(tokens, dict):
            raise ProviderUnavailable("the answer to a code is no object")
        id_token = tokens.get("id_token")
        if not 200 <= status < 300 or "error" in tokens or not isinstance(id_token, str):
            raise refused()
        return tokens

    def _known(self) -> tuple[Mapping[str, Any], Sequence[Key]]:
        # While one reads anew, the others go on with what is known, if anything is.
        if not self._lock.acquire(blocking=not self._keys):
            return self._metadata, self._keys
        try:
            if not self._keys or time.monotonic() - self._read_s > KEPT_S:
                self._read()
            return self._metadata, self._keys
        finally:
            self._lock.release()

    def _read_again(self) -> None:
        with self._lock:
            if time.monotonic() - self._read_s > READ_AGAIN_S:
                self._read()

    def _read(self) -> None:
        if time.monotonic() - self._failed_s < FAILED_FOR_S:
            raise ProviderUnavailable("it did not answer just now")
        try:
            self._metadata, self._keys = self._asked()
        except ProviderUnavailable:
            self._failed_s = time.monotonic()
            raise
        self._read_s = time.monotonic()

    def _asked(self) -> tuple[Mapping[str, Any], list[Key]]:
        try:
            metadata = _document(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
            if metadata["issuer"] != self.issuer:
                raise ProviderUnavailable("the metadata are another issuer's")
            if self.by_browser:
                for name in ("authorization_endpoint", "token_endpoint"):
                    if not httpx.URL(metadata[name]).scheme.startswith("http"):
                        raise ProviderUnavailable(f"its {name} leads nowhere")
            usable = usable_keys(_document(metadata["jwks_uri"]))
        except (httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise ProviderUnavailable(type(error).__name__) from None
        if not usable:
            raise ProviderUnavailable("none of its keys can be used")
        return metadata, usable


def refused() -> Unauthenticated:
    return Unauthenticated("The sign-in at the provider did not succeed.", code="oidc-refused")


def _document(url: str) -> Any:
    status, document = _ask("GET", url)
    if status != 200:
        raise ProviderUnavailable(f"it answers {status}")
    return document


def _ask(method: str, url: str, **given: Any) -> tuple[int, Any]:
    """The status and the JSON of an answer. It is not unpacked: little may stand for much."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    end_s, body = time.monotonic() + TIMEOUT_S, b""
    try:
        with httpx.stream(method, url, headers=headers, timeout=TIMEOUT_S, **given) as response:
            for piece in response.iter_raw():
                body += piece
                if len(body) > MOST_BYTES or time.monotonic() > end_s:
                    raise ProviderUnavailable("its answer is too large, or too slow")
        return response.status_code, orjson.loads(body)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError) as error:
        raise ProviderUnavailable(type(error).__name__) from None
