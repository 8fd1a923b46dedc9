"""Versions on the wire: `ETag`, `If-None-Match` and `If-Match` (RFC 9110, section 13).

The tag of something that can be changed is `"<version>.<digest of the body>"`. A conditional read
compares all of it. A conditional change compares the version alone, because the precondition is
about what people edit: a device that comes online meanwhile must not make an edit of its name fail.
"""

import re
from hashlib import blake2b

from flask import Response, request

from cymba.errors import PreconditionFailed, PreconditionRequired

_TAG = re.compile(r"(0|[1-9][0-9]{0,9})(\..{0,64})?")


def set_etag(response: Response, body: bytes, version: int | None = None) -> Response:
    """Tag the answer; where the client of a read holds the same one, answer 304 without a body."""
    digest = blake2b(body, digest_size=12).hexdigest()
    response.set_etag(digest if version is None else f"{version}.{digest}")
    response.headers["Cache-Control"] = "private, no-cache"  # keep it, and ask before using it
    tag, _ = response.get_etag()
    is_read = request.method in {"GET", "HEAD"}
    if is_read and tag is not None and request.if_none_match.contains_weak(tag):
        response.status_code = 304
        response.set_data(b"")
        del response.headers["Content-Type"], response.headers["Content-Length"]
    return response


def check_if_match(version: int) -> None:
    """Let a change go on only if its client has seen the version that is stored now.

    Raises:
        PreconditionRequired: there is no `If-Match`.
        PreconditionFailed: it names other versions.
    """
    given = request.if_match
    if not given and not given.star_tag:
        raise PreconditionRequired("Send the ETag of what was read as If-Match.")
    if given.star_tag:
        return
    # A proxy that compresses an answer makes its tag weak; the version in it is the same.
    matches = (_TAG.fullmatch(tag or "") for tag in given.as_set(include_weak=True))
    if not any(match and int(match[1]) == version for match in matches):
        raise PreconditionFailed("It was changed since it was read. Read it again.")
