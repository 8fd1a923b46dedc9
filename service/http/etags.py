"""Versions on the wire: `ETag`, `If-None-Match` and `If-Match` (RFC 9110, section 13).

The tag of something that can be changed is `"<version>.<digest of the body>"`. A conditional read
compares all of it. A conditional change compares the version alone, because the precondition is
about what people edit: a device that comes online meanwhile must not make an edit of its name fail.

Nothing here has a `Last-Modified`, so headers that compare dates are ignored, as the RFC asks.
"""

import re
from hashlib import blake2b

from flask import Response, request
from werkzeug.datastructures import ETags

from cymba.errors import PreconditionFailed, PreconditionRequired

_TAG = re.compile(r"(0|[1-9][0-9]{0,9})(\..{0,64})?")


def set_etag(response: Response, body: bytes, version: int | None = None) -> Response:
    """Tag the answer; where the client of a read holds the same one, answer 304 without a body.

    Raises:
        PreconditionFailed: a read asks by `If-Match` for another version than there is.
    """
    digest = digest_of(body)
    response.set_etag(digest if version is None else f"{version}.{digest}")
    response.headers["Cache-Control"] = "private, no-cache"  # keep it, and ask before using it
    tag, _ = response.get_etag()
    is_read = request.method in {"GET", "HEAD"}
    wanted = request.if_match
    if is_read and wanted and not wanted.contains_weak(tag or ""):
        raise PreconditionFailed("What is there now is another version than was asked for.")
    if is_read and tag is not None and request.if_none_match.contains_weak(tag):
        response.status_code = 304
        response.set_data(b"")
        if request.if_none_match.is_weak(tag):  # as it was given with a packed answer
            response.set_etag(tag, weak=True)
        for name in ("Content-Type", "Content-Length", "Content-Encoding"):
            response.headers.pop(name, None)
    return response


def digest_of(body: bytes) -> str:
    return blake2b(body, digest_size=12).hexdigest()


def check_preconditions(version: int | None) -> None:
    """Optimistic concurrency: let a change go on only if its client has seen the stored version.

    `version` None: nothing is stored. Then `If-Match` never matches, and creating needs none.
    `If-None-Match: *` is the opposite: it asks that nothing is stored.

    Raises:
        PreconditionRequired: something is stored, and there is no `If-Match`.
        PreconditionFailed: a header does not match what is stored.
    """
    wanted, unwanted = request.if_match, request.if_none_match
    if wanted and (version is None or not _names(wanted, version)):
        if version is None:
            raise PreconditionFailed("There is nothing here that could match.")
        raise PreconditionFailed("It was changed since it was read. Read it again.")
    if unwanted and version is not None and _names(unwanted, version):
        raise PreconditionFailed("It is there already.")
    if not wanted and version is not None:
        raise PreconditionRequired("Send the ETag of what was read as If-Match.")


def _names(given: ETags, version: int) -> bool:
    # The tag of a packed answer is weak; the version in it is the same.
    matches = (_TAG.fullmatch(tag or "") for tag in given.as_set(include_weak=True))
    return given.star_tag or any(match and int(match[1]) == version for match in matches)
