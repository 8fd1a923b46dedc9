"""The pair of tokens that every way of signing in ends with."""

from typing import Any

from cymba.accounts.tokens import TokenPair
from service.http import out
from service.http.fields import Schema
from service.http.writing import writer

SCHEME = "Bearer"


class TokenPairSchema(Schema):
    access_token = out.text("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl")
    token_type = out.text(SCHEME, one_of=[SCHEME], source=out.GIVEN)
    expires_in = out.whole(900, "Seconds", source="access_expires_in_s")
    refresh_token = out.text(
        "Zq0rB2m8mK2y0dYpQm1w3xS5tV7uN9aL4cE6gI8kO0Q",
        "Good for one use: each refresh gives the next.",
    )
    refresh_expires_at = out.instant("2026-12-01T08:00:00.000000Z")


_pair_shown = writer(TokenPairSchema)


def pair_shown(pair: TokenPair) -> dict[str, Any]:
    return _pair_shown(pair, token_type=SCHEME)
