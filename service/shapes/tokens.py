"""The pair of tokens that every way of signing in ends with."""

from typing import Any

import marshmallow as ma

from cymba.accounts.tokens import TokenPair
from service.http.fields import Schema


class TokenPairSchema(Schema):
    access_token = ma.fields.String(required=True)
    token_type = ma.fields.String(required=True, validate=ma.validate.Equal("Bearer"))
    expires_in = ma.fields.Integer(required=True, metadata={"description": "Seconds"})
    refresh_token = ma.fields.String(
        required=True, metadata={"description": "Good for one use: each refresh gives the next."}
    )
    refresh_expires_at = ma.fields.DateTime(required=True)


TOKEN_EXAMPLE = {
    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl",
    "token_type": "Bearer",
    "expires_in": 900,
    "refresh_token": "Zq0rB2m8mK2y0dYpQm1w3xS5tV7uN9aL4cE6gI8kO0Q",
    "refresh_expires_at": "2026-12-01T08:00:00Z",
}


def pair_shown(pair: TokenPair) -> dict[str, Any]:
    return {
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "expires_in": pair.access_expires_in_s,
        "refresh_token": pair.refresh_token,
        "refresh_expires_at": pair.refresh_expires_at,
    }
