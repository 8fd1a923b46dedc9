"""An OpenID Connect provider that is made here: keys, tokens and faults of its own."""

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from flask import Flask, request
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from cymba.settings import OidcProvider

KEY = RSAKey.generate_key(2048, {"kid": "1"})  # slow to make


def of(provider):
    """Cymba as its client."""
    return OidcProvider(
        issuer=provider.issuer,
        client_id="cymba",
        client_secret="client secret",
        redirect_uri="app://cymba/signed-in",
        native_client_ids=("org.example.cymba",),
    )


@dataclass
class FakeProvider:
    """An authorization server of one client; `faults` spoil what it says."""

    key: RSAKey = field(default_factory=lambda: KEY)
    issuer: str = ""
    codes: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)
    signing_key: RSAKey | None = None
    odd_keys: list = field(default_factory=list)
    reads: int = 0

    @classmethod
    def served(cls, serve):
        """One that listens, by the fixture `serve`; its address is who it says it is."""
        made = cls()
        made.issuer = serve(made.app())
        return made

    def app(self):
        app = Flask("provider")

        @app.get("/.well-known/openid-configuration")
        def metadata():
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }

        @app.get("/keys")
        def keys():
            self.reads += 1
            return {"keys": [*self.odd_keys, *KeySet([self.key]).as_dict(private=False)["keys"]]}

        @app.post("/token")
        def token():
            basic = base64.b64encode(b"cymba:client secret").decode()
            if request.headers.get("Authorization") != f"Basic {basic}":
                return {"error": "invalid_client"}, 401
            begun = self.codes.pop(request.form["code"], None)
            digest = hashlib.sha256(request.form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if begun is None or begun["code_challenge"] != challenge:
                return {"error": "invalid_grant"}, 400
            who = {"sub": begun["sub"], "email": begun["email"]}
            signed = self.id_token(begun["nonce"], **who | self.faults)
            return {"access_token": "a", "token_type": "Bearer", "id_token": signed}

        return app

    def id_token(self, nonce, /, **changed):
        """What the phone's own sign-in gives an app, too."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": "cymba",
            "sub": "grace-1",
            "email": "grace@example.org",
            "email_verified": True,
            "nonce": nonce,
            "iat": now,
            "exp": now + 300,
        } | changed
        key = self.signing_key or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)

    def sign_in_at(self, url, *, sub="grace-1", email="grace@example.org"):
        """What a person does in the browser: gives the code that comes back."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["code_challenge_method"] == "S256"
        assert query["redirect_uri"] == "app://cymba/signed-in"
        code = secrets.token_urlsafe(8)
        self.codes[code] = query | {"sub": sub, "email": email}
        return code
