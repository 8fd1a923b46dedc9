"""An app of others' that asks to be let in, and what the person answers."""

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from flask import Flask
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from cymba.accounts import app_clients
from cymba.database import UnitOfWork, utc_now

BACK = "https://app.example.org/back"
AUDIENCE = "http://localhost/fhir/R4"
SCOPE = "launch/patient patient/Observation.rs patient/Patient.read offline_access"
VERIFIER = "dBjftJeZ4CVP-mBulrxe3Y6XKnEJ3oMPdqvkTTSGFQg"


def challenge(verifier: str = VERIFIER) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def register(
    engine: Engine,
    name: str = "Heart Diary",
    *,
    redirect_uri: str = BACK,
    confidential: bool = False,
) -> tuple[str, str | None]:
    with UnitOfWork(engine) as session, session.begin():
        client, secret = app_clients.register(
            session, name=name, redirect_uris=[redirect_uri], confidential=confidential
        )
        return str(client.id), secret


def query_of(client_id: str, /, **changes: str | None) -> str:
    """What an app asks; None leaves a parameter out."""
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": BACK,
        "scope": SCOPE,
        "state": "8Xq0",
        "aud": AUDIENCE,
        "code_challenge": challenge(),
        "code_challenge_method": "S256",
    } | changes
    return urlencode({name: value for name, value in asked.items() if value is not None})


@dataclass
class SmartApp:
    app: Flask
    client_id: str
    secret: str | None = None
    scope: str = SCOPE

    def __post_init__(self) -> None:
        self.http = self.app.test_client()

    def query(self, **changes: str | None) -> str:
        return query_of(self.client_id, **{"scope": self.scope} | changes)

    def ask(self, **changes: str | None) -> TestResponse:
        return self.http.get(f"/oauth/authorize?{self.query(**changes)}")

    def let_in(self, person: Any, *, scopes: list[str] | None = None, **changes: str) -> str:
        """The code that the person's yes gives."""
        query = self.query(**changes)
        if scopes is None:
            asked = self.http.post(
                "/v1/apps/requests", json={"query": query}, headers=person.headers
            )
            scopes = asked.json["scopes"]
        until = (utc_now() + timedelta(days=30)).isoformat()
        answered = self.http.post(
            "/v1/apps/allowances",
            json={"query": query, "scopes": scopes, "expires_at": until},
            headers=person.headers,
        )
        assert answered.status_code == 201, answered.json
        return params_of(answered.json["redirect_to"])["code"]

    def trade(self, code: str, **changes: str) -> TestResponse:
        return self._token(
            grant_type="authorization_code",
            code=code,
            redirect_uri=BACK,
            code_verifier=VERIFIER,
            **changes,
        )

    def refresh(self, token: str, **changes: str) -> TestResponse:
        return self._token(grant_type="refresh_token", refresh_token=token, **changes)

    def revoke(self, token: str, **more: str) -> TestResponse:
        return self.http.post("/oauth/revoke", data=self._named() | {"token": token} | more)

    def tokens(self, person: Any, **more: Any) -> dict[str, Any]:
        traded = self.trade(self.let_in(person, **more))
        assert traded.status_code == 200, traded.json
        given: dict[str, Any] = traded.get_json()
        return given

    def _token(self, **given: str) -> TestResponse:
        return self.http.post("/oauth/token", data=self._named() | given)

    def _named(self) -> dict[str, str]:
        named = {"client_id": self.client_id}
        return named if self.secret is None else named | {"client_secret": self.secret}


def params_of(location: str) -> dict[str, str]:
    """Each of them there once."""
    given = parse_qs(urlsplit(location).query, keep_blank_values=True, strict_parsing=True)
    return {name: value for name, (value,) in given.items()}
