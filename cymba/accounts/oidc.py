"""Signing in with an OpenID Connect provider: authorization code with PKCE (RFC 7636).

A provider that names the e-mail address of an existing account never opens it: only its owner, who
is signed in, can link the provider.
"""

import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx
from joserfc.jwk import Key
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from cymba.accounts.addresses import key
from cymba.accounts.id_tokens import Invalid, UnknownKey, agreed_algorithms, usable_keys, verified
from cymba.accounts.profile import find_by_email, parse_email, verify_email
from cymba.accounts.tables import Account, OidcFlow, ProviderIdentity
from cymba.database import utc_now
from cymba.errors import Conflict, Rejected, Unauthenticated
from cymba.settings import Settings

SCOPE = "openid email"
FLOW_LIFETIME = timedelta(minutes=10)
KEPT_S = 600.0  # how long a provider's metadata and keys are kept
READ_AGAIN_S = 30.0  # the least time between two reads, whatever keys the tokens name
TIMEOUT_S = 10.0


class ProviderUnavailable(Exception):
    """The provider does not answer, or not as OpenID Connect demands."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the person, and the state that the app must see come back."""

    authorization_url: str
    state: str


class Provider:
    """One provider; its metadata and keys are read when needed, and cached."""

    def __init__(
        self, issuer: str, client_id: str, client_secret: str | None, redirect_uri: str
    ) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._lock = threading.Lock()
        self._read_s = -KEPT_S
        self._metadata: Mapping[str, Any] = {}
        self._keys: list[Key] = []

    @classmethod
    def of(cls, settings: Settings) -> "Provider | None":
        """The provider of the settings, if they name all of it."""
        issuer, client_id = settings.oidc_issuer, settings.oidc_client_id
        redirect_uri = settings.oidc_redirect_uri
        if issuer is None or client_id is None or redirect_uri is None:
            return None
        return cls(issuer, client_id, settings.oidc_client_secret, redirect_uri)

    def prepare(self) -> None:
        """Read the provider's metadata and keys, if they are not cached. Call it outside of any
        transaction: a slow provider would hold a database connection for each sign-in.

        Raises:
            ProviderUnavailable.
        """
        self._known()

    def authorization_url(self, *, state: str, nonce: str, code_verifier: str) -> str:
        """Where the person signs in.

        Raises:
            ProviderUnavailable.
        """
        metadata, _ = self._known()
        digest = sha256(code_verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self._redirect_uri,
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
        tokens = self._redeem(metadata["token_endpoint"], code, code_verifier)
        try:
            try:
                return self._verified(tokens, nonce)
            except UnknownKey:  # the provider may have new keys
                self._read_again()
                return self._verified(tokens, nonce)
        except (Invalid, UnknownKey):
            raise _refused() from None

    def _verified(self, tokens: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        metadata, keys = self._known()
        algorithms = agreed_algorithms(metadata)
        return verified(
            tokens, keys, algorithms, issuer=self.issuer, client_id=self.client_id, nonce=nonce
        )

    def _redeem(self, endpoint: str, code: str, code_verifier: str) -> Mapping[str, Any]:
        """The tokens for the code, not verified (RFC 6749, section 4.1.3)."""
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": code_verifier,
        }
        secret = self._client_secret
        if not secret:
            given["client_id"] = self.client_id
        try:
            response = httpx.post(
                endpoint,
                data=given,
                auth=(self.client_id, secret) if secret else None,
                headers={"Accept": "application/json"},
                timeout=TIMEOUT_S,
            )
            if response.status_code >= 500:
                response.raise_for_status()
            tokens = response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ProviderUnavailable(type(error).__name__) from None
        if not isinstance(tokens, dict):
            raise ProviderUnavailable("the answer to a code is no object")
        id_token = tokens.get("id_token")
        if not response.is_success or "error" in tokens or not isinstance(id_token, str):
            raise _refused()
        return tokens

    def _known(self) -> tuple[Mapping[str, Any], Sequence[Key]]:
        with self._lock:
            if not self._keys or time.monotonic() - self._read_s > KEPT_S:
                self._read()
            return self._metadata, self._keys

    def _read_again(self) -> None:
        with self._lock:
            if time.monotonic() - self._read_s > READ_AGAIN_S:
                self._read()

    def _read(self) -> None:
        try:
            with httpx.Client(timeout=TIMEOUT_S) as client:
                where = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
                metadata = client.get(where).raise_for_status().json()
                if metadata["issuer"] != self.issuer:
                    raise ProviderUnavailable("the metadata are another issuer's")
                keys = client.get(metadata["jwks_uri"]).raise_for_status().json()
            usable = usable_keys(keys)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise ProviderUnavailable(type(error).__name__) from None
        if not usable:
            raise ProviderUnavailable("none of its keys can be used")
        self._metadata, self._keys = metadata, usable
        self._read_s = time.monotonic()


def begin(session: Session, provider: Provider, *, account_id: UUID | None, now: datetime) -> Begun:
    """Begin a sign-in; with an account, the linking of the provider to it.

    Raises:
        ProviderUnavailable.
    """
    session.execute(delete(OidcFlow).where(OidcFlow.expires_at < now))
    state, nonce, verifier = (secrets.token_urlsafe(size) for size in (32, 24, 64))
    url = provider.authorization_url(state=state, nonce=nonce, code_verifier=verifier)
    session.add(
        OidcFlow(
            state_hash=_hash(state),
            nonce=nonce,
            code_verifier=verifier,
            account_id=account_id,
            expires_at=now + FLOW_LIFETIME,
        )
    )
    session.flush()
    return Begun(url, state)


def take_flow(session: Session, state: str, *, now: datetime) -> OidcFlow:
    """The flow of the state, which does not come back again. Commit before the code is redeemed,
    and then `end_flow`.

    Raises:
        Unauthenticated: there is none, it came back before, or it took too long.
    """
    flow = session.scalars(
        update(OidcFlow)
        .where(OidcFlow.state_hash == _hash(state))
        .values(state_hash=_taken(state))
        .returning(OidcFlow)
    ).one_or_none()
    if flow is None or flow.expires_at <= now:
        raise _refused()
    return flow


def end_flow(session: Session, state: str, *, account_id: UUID | None) -> None:
    """Remove a flow that was taken, in the transaction that signs in or links.

    Raises:
        Unauthenticated: what the account had begun was ended while the code was redeemed: by a new
            password, say.
    """
    if account_id is not None:  # the account first, as whoever abandons its links
        _hold(session, account_id)
    gone = delete(OidcFlow).where(OidcFlow.state_hash == _taken(state))
    if session.execute(gone.returning(OidcFlow.expires_at)).one_or_none() is None:
        raise _refused()


def abandon_links(session: Session, account_id: UUID) -> None:
    """End all linkings of the account that were begun."""
    session.execute(delete(OidcFlow).where(OidcFlow.account_id == account_id))


def account_for(
    session: Session, provider: Provider, claims: Mapping[str, Any], *, link_to: UUID | None
) -> UUID:
    """The account of the provider's person: known, linked now, or new.

    Raises:
        Conflict: the provider's person has another account, or their e-mail address has one that
            is not linked.
        Rejected: the provider vouches for no e-mail address; or the account's own was never
            confirmed.
    """
    known_as = (provider.issuer, str(claims["sub"]))
    identity = session.get(ProviderIdentity, known_as)
    if identity is not None:
        # Unlinking locks the account. Read the identity again after it, or it would still open.
        _hold(session, identity.account_id)
        session.expunge(identity)
        identity = session.get(ProviderIdentity, known_as)
    if identity is not None:
        if link_to is not None and identity.account_id != link_to:
            raise Conflict("This sign-in opens another account.", code="identity-taken")
        return identity.account_id
    if link_to is not None:
        _require_verified(session, link_to, claims)
    account_id = link_to or _new_account(session, claims)
    session.add(ProviderIdentity(issuer=known_as[0], subject=known_as[1], account_id=account_id))
    session.flush()
    return account_id


def _hold(session: Session, account_id: UUID) -> None:
    """Keep others from changing how the account is opened, and wait for those who do."""
    account = select(Account.id).where(Account.id == account_id)
    session.execute(account.with_for_update(read=True, key_share=True))


def _new_account(session: Session, claims: Mapping[str, Any]) -> UUID:
    email = _vouched_email(claims)
    if email is None:
        raise Rejected("The provider vouches for no e-mail address.", code="email-not-verified")
    email = parse_email(email, pointer="")
    if find_by_email(session, email) is not None:
        raise Conflict(
            "This e-mail address has an account: sign in to it, and link the provider there.",
            code="email-taken",
        )
    account = Account(email=email, email_verified_at=utc_now())
    session.add(account)
    session.flush()
    return account.id


def _require_verified(session: Session, account_id: UUID, claims: Mapping[str, Any]) -> None:
    """Nobody may make an account with another's address and keep a way in by a provider."""
    account, email = session.get_one(Account, account_id), _vouched_email(claims)
    if email is not None and account.email_key == key(email):
        verify_email(account, utc_now())
    if account.email_verified_at is None:
        raise Rejected(
            "Confirm the account's own e-mail address first: ask for a code with "
            "`POST /v1/account/email`, and enter it.",
            code="email-not-verified",
        )


def _vouched_email(claims: Mapping[str, Any]) -> str | None:
    """The person's address, if the provider says that it is theirs."""
    email = claims.get("email")
    return email if isinstance(email, str) and claims.get("email_verified") is True else None


def _refused() -> Unauthenticated:
    return Unauthenticated("The sign-in at the provider did not succeed.", code="oidc-refused")


def _hash(state: str) -> bytes:
    return sha256(state.encode()).digest()


def _taken(state: str) -> bytes:
    return sha256(_hash(state)).digest()
