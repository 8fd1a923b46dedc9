"""Answers packed on their way out, in what the client says it unpacks (RFC 9110, section 12.5.3).

Only what a read answers is packed. An attacker who can put text beside a secret learns the secret
from the packed length (BREACH): answers that hold a token or a code come from a POST, and go as
they are. And no other page can make a browser ask in a person's name, because it has no token.

Events must not wait for more, and ZIP is packed as it is. The tag of a packed answer
is weak, because its bytes depend on the encoding; the version in it is the same.
"""

from typing import Final

import pyarrow as pa
from flask import Flask, Response, request

LEAST_BYTES: Final = 1024  # below it fits one packet anyway
LEVELS: Final = {"zstd": 3, "gzip": 5}
TYPES: Final = frozenset(
    {
        "application/json",
        "application/fhir+json",
        "application/vnd.apache.arrow.stream",
        "text/csv",
        "text/html",
        "text/css",
        "text/javascript",
        "image/svg+xml",
    }
)


def register(app: Flask) -> None:
    app.after_request(_finish)


def packed(body: bytes, response: Response) -> bytes:
    """`body` as it is to leave, and what the headers must say of that."""
    if (
        request.method not in {"GET", "HEAD"}
        or response.mimetype not in TYPES
        or len(body) < LEAST_BYTES
        or "Content-Encoding" in response.headers
    ):
        return body
    response.vary.add("Accept-Encoding")
    encoding = _wanted()
    if encoding is None:
        return body
    response.headers["Content-Encoding"] = encoding
    return bytes(pa.Codec(encoding, LEVELS[encoding]).compress(body, asbytes=True))


def _wanted() -> str | None:
    accepted = request.accept_encodings
    best = max(LEVELS, key=accepted.quality)  # of those it likes as much, the first
    quality = accepted.quality(best)
    return best if quality > 0 and quality >= accepted.quality("identity") else None


def _finish(response: Response) -> Response:
    if not response.is_streamed and not response.direct_passthrough:
        body = response.get_data()
        if (small := packed(body, response)) is not body:
            response.set_data(small)
    tag, is_weak = response.get_etag()
    if tag is not None and not is_weak and "Content-Encoding" in response.headers:
        response.set_etag(tag, weak=True)
    return response
