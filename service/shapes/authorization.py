"""OAuth 2 as apps of others speak it (RFC 6749, 7636, 7009, 9207), by authlib.

authlib knows the protocol: which parameters there must be, how a client proves who it is, and what
each error is called. What a code or a token is worth is decided in `cymba.accounts.app_grants`.

Only the authorization code with PKCE by S256 is taken. A redirect address is one of those that the
operator has registered, letter by letter, and no request leaves it out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import AuthorizationServer, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    UnsupportedResponseTypeError,
)
from authlib.oauth2.rfc6749 import OAuth2Payload as Payload
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from sqlalchemy.orm import Session
from werkzeug.datastructures import Headers, MultiDict

from cymba.accounts import app_clients, app_grants, app_scopes, quotas
from cymba.accounts.app_grants import AppSigner, AppTokenReused, AppTokens, HeldByRefresh
from cymba.accounts.app_tables import AppClient, AppGrant
from service.http.charges import charge
from service.http.own_address import fhir_address, own_address
from service.http.services import services
from service.shapes.tokens import SCHEME

AUTHORIZE: Final = "/oauth/authorize"
TOKEN: Final = "/oauth/token"  # noqa: S105 - a path
REVOKE: Final = "/oauth/revoke"
AUTH_METHODS: Final = ("none", "client_secret_basic", "client_secret_post")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes, in base64url
# authlib wants to see TLS in the request's address; the proxy in front sees to that.
_SOMEWHERE: Final = "https://localhost"


@dataclass(frozen=True)
class OAuthAnswer:
    """How to answer; `location` is where a browser is sent."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def location(self) -> str | None:
        return self.headers.get("Location")


@dataclass(frozen=True)
class AppRequest:
    """A good request of an app, as the person is asked about it."""

    client: AppClient
    name: str
    scopes: list[str]
    redirect_uri: str
    code_challenge: str
    state: str | None


class AppRequestRefused(Exception):
    """The request is not good. `location`: where to tell the app; None: the person is told, since
    nobody knows whose address it is."""

    def __init__(self, why: str, location: str | None) -> None:
        super().__init__(why)
        self.why = why
        self.location = location


class Authorization(AuthorizationServer):
    """Made for one request, in its transaction. Commit it whatever the answer is: a code or a
    refresh token that comes again ends what it was for."""

    def __init__(
        self, session: Session, signer: AppSigner, *, issuer: str, audience: str, now: datetime
    ) -> None:
        super().__init__()
        self.session, self.signer, self.now = session, signer, now
        self.issuer, self.audience = issuer, audience
        self.register_grant(_Code, [_Challenge()])
        self.register_grant(_Refresh)
        self.register_endpoint(_Revocation)

    def asked(self, query: str) -> AppRequest:
        """
        Raises:
            AppRequestRefused: it is not good, or asks for nothing that there is.
        """
        given = MultiDict(parse_qsl(query, keep_blank_values=True))
        request = _Request("GET", given)
        try:
            grant = self.get_consent_grant(request)
        except OAuth2Error as error:
            raise AppRequestRefused(
                error.description or error.error, self._told(error, request.payload.state)
            ) from None
        except ValueError:  # authlib puts no odd character into a description
            raise AppRequestRefused(
                "The request holds characters that it cannot hold.", None
            ) from None
        return AppRequest(
            client=request.client.row,
            name=request.client.row.name,
            scopes=app_scopes.grantable(request.payload.scope),
            redirect_uri=grant.redirect_uri,
            code_challenge=given["code_challenge"],
            state=request.payload.state,
        )

    def allowed(self, asked: AppRequest, code: str) -> str:
        """Where the browser goes with the code."""
        return self._to(asked.redirect_uri, [("code", code)], asked.state)

    def denied(self, asked: AppRequest) -> str:
        """Where the browser goes when the person does not want it."""
        error = AccessDeniedError()
        params = [("error", error.error), ("error_description", error.description)]
        return self._to(asked.redirect_uri, params, asked.state)

    def tokens(self, form: MultiDict[str, str], headers: Headers) -> OAuthAnswer:
        """The answer of the token endpoint."""
        return self._answered(self.create_token_response, form, headers)

    def revocation(self, form: MultiDict[str, str], headers: Headers) -> OAuthAnswer:
        """The answer of the revocation endpoint."""
        return self._answered(
            lambda request: self.create_endpoint_response(_Revocation.ENDPOINT_NAME, request),
            form,
            headers,
        )

    def _answered(self, make: Any, form: MultiDict[str, str], headers: Headers) -> OAuthAnswer:
        try:
            answer: OAuthAnswer = make(_Request("POST", form, headers))
        except ValueError:  # what cannot be decoded, for one in `Authorization`
            error = InvalidRequestError("The request holds characters that it cannot hold.")
            answer = self.handle_error_response(None, error)
        return answer

    def _told(self, error: OAuth2Error, state: str | None) -> str | None:
        if error.redirect_uri is None:
            return None
        params = [("error", error.error)]
        if error.description:
            params.append(("error_description", error.description))
        return self._to(error.redirect_uri, params, state)

    def _to(self, redirect_uri: str, params: list[tuple[str, str]], state: str | None) -> str:
        """With `state` as it came, and `iss` (RFC 9207): who answers."""
        if state is not None:
            params.append(("state", state))
        return str(add_params_to_uri(redirect_uri, [*params, ("iss", self.issuer)]))

    # What authlib asks for.

    def query_client(self, client_id: str) -> "_Client | None":
        row = app_clients.find(self.session, client_id)
        return None if row is None else _Client(row)

    def create_oauth2_request(self, request: "_Request") -> "_Request":
        return request

    def handle_response(
        self, status: int, body: Mapping[str, Any], headers: Sequence[tuple[str, str]]
    ) -> OAuthAnswer:
        return OAuthAnswer(status, body, dict(headers))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""


def authorization(session: Session) -> Authorization:
    """For the request that is answered."""
    at = services()
    return Authorization(
        session, at.app_signer, issuer=own_address(), audience=fhir_address(), now=at.now()
    )


class _Payload(Payload):
    def __init__(self, given: MultiDict[str, str]) -> None:
        self._given = given

    @property
    def data(self) -> MultiDict[str, str]:
        return self._given

    @property
    def datalist(self) -> dict[str, list[str]]:
        return dict(self._given.lists())


class _Request(OAuth2Request):
    def __init__(
        self, method: str, given: MultiDict[str, str], headers: Headers | None = None
    ) -> None:
        super().__init__(method, _SOMEWHERE, headers=headers)
        self.payload = _Payload(given)

    @property
    def form(self) -> MultiDict[str, str]:
        form: MultiDict[str, str] = self.payload.data
        return form


class _Client:
    """A registered app, as authlib asks about it (`ClientMixin`)."""

    def __init__(self, row: AppClient) -> None:
        self.row = row

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, asked: str | None) -> str | None:
        given = app_scopes.grantable(asked or "")
        return " ".join(given) if any(map(app_scopes.opens_data, given)) else None

    def check_redirect_uri(self, uri: str) -> bool:
        return uri in self.row.redirect_uris

    def check_client_secret(self, secret: str) -> bool:
        return app_clients.is_secret_of(self.row, secret)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return (method == "none") == (self.row.secret_hash is None)

    def check_response_type(self, _response_type: str) -> bool:
        return True

    def check_grant_type(self, _grant_type: str) -> bool:
        return True


class _Code(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    server: Authorization

    @classmethod
    def check_authorization_endpoint(cls, _request: _Request) -> bool:
        """Also what asks for another response: its error is told to a known app only."""
        return True

    @staticmethod
    def validate_authorization_redirect_uri(request: _Request, client: _Client) -> str:
        uri: str | None = request.payload.redirect_uri
        if uri is None or not client.check_redirect_uri(uri):
            raise InvalidRequestError("The redirect_uri is not one that the app is known by.")
        return uri

    def validate_requested_scope(self) -> None:
        """Called where the app and its address are known already."""
        if self.request.payload.response_type != "code":
            raise UnsupportedResponseTypeError("", "The only response_type is code.")
        if (self.request.payload.data.get("aud") or "").rstrip("/") != self.server.audience:
            raise InvalidRequestError(f"The aud must be {self.server.audience}")

    def query_authorization_code(self, code: str, client: _Client) -> "_Granted | None":
        at = self.server
        found = app_grants.find_by_code(at.session, code, client.row, now=at.now)
        return None if found is None else _Granted(found)

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        at, granted = self.server, self.request.authorization_code
        tokens = app_grants.redeem(at.session, at.signer, granted.row, now=at.now)
        return 200, _shown(tokens), self.TOKEN_RESPONSE_HEADER


class _Granted:
    """What a code stands for (`AuthorizationCodeMixin`)."""

    code_challenge_method = "S256"

    def __init__(self, row: AppGrant) -> None:
        self.row = row
        self.code_challenge = row.code_challenge

    def get_redirect_uri(self) -> str:
        return self.row.redirect_uri


class _Challenge(CodeChallenge):
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: _Code, redirect_uri: str) -> None:
        super().validate_code_challenge(grant, redirect_uri)
        given = grant.request.payload.data
        challenge = given.get("code_challenge") or ""
        if given.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
            raise InvalidRequestError("A code_challenge by S256 is needed (RFC 7636).")


class _Spent:
    """A refresh token (`TokenMixin`)."""

    def __init__(self, row: HeldByRefresh) -> None:
        self.row = row

    def check_client(self, client: _Client) -> bool:
        return self.row.held.grant.client_id == client.row.id

    def get_scope(self) -> str:
        return " ".join(self.row.held.grant.scopes)


class _Refresh(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    server: Authorization

    def authenticate_token_endpoint_client(self) -> _Client:
        """SMART lets an app that has no secret leave its id out: the token says whose it is."""
        given = self.request.payload.data
        if "client_id" not in given and "Authorization" not in self.request.headers:
            spent = self.authenticate_refresh_token(given.get("refresh_token", ""))
            named = None if spent is None else str(spent.row.held.grant.client_id)
            client = self.server.query_client(named or "")
            if client is not None and client.check_endpoint_auth_method("none", "token"):
                return client
        found: _Client = super().authenticate_token_endpoint_client()
        return found

    def authenticate_refresh_token(self, token: str) -> _Spent | None:
        at = self.server
        found = app_grants.find_by_refresh_token(at.session, at.signer, token, now=at.now)
        return None if found is None else _Spent(found)

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        at, spent = self.server, self.request.refresh_token
        share = spent.row.held.share
        charge(quotas.share_look(share.account_id, share.id))
        scopes = (self.request.payload.scope or spent.get_scope()).split()
        if not any(map(app_scopes.opens_data, scopes)):
            raise InvalidScopeError
        given = app_grants.refresh(at.session, at.signer, spent.row, scopes=scopes, now=at.now)
        if isinstance(given, AppTokenReused):
            raise InvalidGrantError("The refresh token was used before: all of it has ended.")
        return 200, _shown(given), self.TOKEN_RESPONSE_HEADER


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = AUTH_METHODS
    server: Authorization

    def authenticate_token(self, request: _Request, client: _Client) -> None:
        """An unknown token is answered as one that was revoked (RFC 7009, section 2.2)."""
        at, token = self.server, request.form.get("token")
        if not token:
            raise InvalidRequestError("A token is needed.")
        if not app_grants.give_back(at.session, at.signer, token, client.row, now=at.now):
            raise InvalidGrantError("The token is of another app.")


def _shown(tokens: AppTokens) -> dict[str, Any]:
    """The token response, with what SMART adds: the patient."""
    shown = {
        "access_token": tokens.access_token,
        "token_type": SCHEME,
        "expires_in": tokens.access_expires_in_s,
        "scope": " ".join(tokens.scopes),
        "patient": str(tokens.account_id),
    }
    if tokens.refresh_token is not None:
        shown["refresh_token"] = tokens.refresh_token
    return shown
