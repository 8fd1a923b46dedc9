"""Problem details (RFC 9457): the form of every error, and the list of all kinds.

The `type` is `urn:cymba:problem:<code>`; codes are part of the API's contract and never change
their meaning. A domain error brings its own code; the rest is listed here.
"""

import http
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg
import structlog
from flask import Flask, Response, g
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from cymba.errors import DomainError, TooManyRequests, Unauthenticated
from cymba.failures import is_passing, name_of, place_of
from cymba.voice import Voice, add_catalogues
from service.http import rate_headers
from service.http.language import look_up, spoken

TYPE_PREFIX: Final = "urn:cymba:problem:"
MEDIA_TYPE: Final = "application/problem+json"
RETRY_UNAVAILABLE_S: Final = 5

# code -> (status, title). The title is the same for every occurrence; `detail` describes this one.
PROBLEMS: Final[dict[str, tuple[int, str]]] = {
    "invalid-json": (400, "The body is not JSON"),
    "bad-request": (400, "The request cannot be understood"),
    "unauthenticated": (401, "Sign in first"),
    "wrong-credentials": (401, "The e-mail address or the password is not right"),
    "oidc-refused": (401, "The sign-in at the provider did not succeed"),
    "refresh-invalid": (401, "The refresh token is not good any more"),
    "refresh-reused": (401, "The refresh token was used twice, so its sign-in was ended"),
    "forbidden": (403, "Not allowed"),
    "reauthentication-required": (403, "This needs fresh proof of who you are"),
    "share-scope": (403, "A share does not reach as far as this"),
    "consent-required": (403, "This needs the person's consent"),
    "not-found": (404, "There is no such thing here"),
    "oidc-not-set-up": (404, "No such provider is set up here"),
    "claim-mismatch": (404, "No device has this serial and this code"),
    "method-not-allowed": (405, "The resource does not know this method"),
    "not-acceptable": (406, "None of the wanted formats can be made"),
    "conflict": (409, "In conflict with what is stored"),
    "request-under-way": (409, "The same request is under way"),
    "experiment-running": (409, "A trial is running already"),
    "experiment-ended": (409, "The trial has ended"),
    "programme-ends": (422, "The programme has an end date, which a trial cannot keep"),
    "no-contrast": (422, "The two programmes of the trial would not differ"),
    "nothing-to-set-back": (409, "There is nothing of a trial to set back"),
    "identity-taken": (409, "The provider's sign-in opens another account"),
    "last-sign-in": (409, "It is the only way to sign in to the account"),
    "email-taken": (409, "The e-mail address has an account already"),
    "gone": (410, "It was here, and is gone for good"),
    "cursor-expired": (410, "The cursor has expired: read everything again"),
    "restored": (410, "A backup was restored: read everything again"),
    "stale": (412, "Somebody changed it since it was read"),
    "too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The body is in a format that is not taken here"),
    "limits-widened": (422, "Limits may narrow the model's, never widen them"),
    "app-refused": (422, "The app's request is not good"),
    "beyond-limits": (422, "The programme goes beyond the device's limits"),
    "expired": (422, "The programme would have expired already"),
    "questions-changed": (422, "The questions have changed: read and answer them anew"),
    "screening-incomplete": (422, "The answers to the questions are not complete"),
    "no-red-flag": (409, "Nothing is locked by a red flag"),
    "validation": (422, "Fields or parameters are not as they must be"),
    "import-open": (409, "Another import is not finished"),
    "import-step": (409, "The import is not at the step for this"),
    "import-has-questions": (409, "The import has questions that are not answered"),
    "import-too-large": (422, "The file is larger than may be brought"),
    "piece-length": (422, "The piece of the file has another length"),
    "rejected": (422, "A rule does not allow this"),
    "no-programme-taken": (422, "The device's model takes no programme"),
    "no-programme": (422, "The device has no programme yet"),
    "not-this-blocks-time": (422, "It is not this block's time"),
    "email-not-verified": (422, "The provider vouches for no e-mail address"),
    "code-not-good": (422, "The code is not good (any more)"),
    "key-reused": (422, "The Idempotency-Key was used for another request"),
    "other-kinds": (422, "The cursor was made for other kinds"),
    "operation-reused": (422, "The operation's id was used before, for something else"),
    "recorded-session": (422, "The id is of a session that a device recorded"),
    "unstorable": (422, "The database cannot hold this"),
    "wrong-password": (422, "The current password is not right"),
    "locked": (423, "A safety rule holds this back"),
    "red-flag": (423, "Locked by a serious symptom: seek medical care"),
    "screening-required": (423, "The safety questions must be answered first"),
    "screening-outdated": (423, "The safety questions must be answered again"),
    "screening-expired": (423, "The answers to the safety questions are too old"),
    "contraindicated": (423, "An answer rules this device out: talk to your clinician"),
    "clearance-needed": (423, "An answer needs a clinician's clearance first"),
    "if-match-required": (428, "Say which version is meant, with If-Match"),
    "rate": (429, "Too many requests"),
    "busy": (429, "Too much is under way at once"),
    "server": (500, "Something is broken on our side"),
    "unavailable": (503, "Not possible at the moment; try again"),
    "not-ready": (503, "Not ready to serve"),
    "too-many-streams": (503, "No more live views can be opened at the moment"),
    "too-many-exports": (503, "No more archives can be made at the moment"),
    "report-not-made": (503, "The report could not be made"),
}

_BY_STATUS: Final = {
    400: "bad-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "too-large",
    415: "unsupported-media-type",
    503: "unavailable",
}

add_catalogues(Path(__file__).parents[1])
_log = structlog.get_logger(__name__)


class Unavailable(DomainError):
    """Nothing is wrong with the request; what it needs is not there right now."""

    code = "unavailable"
    status = 503


def problem(
    code: str,
    detail: str,
    *,
    status: int | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    **extensions: Any,
) -> Response:
    """The response for a problem; `extensions` are further members of its body."""
    body = _body(code, detail, status, errors) | extensions
    response = Response(orjson.dumps(body), status=body["status"], content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers or {})
    return response


def example_body(code: str) -> dict[str, Any]:
    """What the document shows of a problem."""
    status, title = PROBLEMS[code]
    errors = []
    if code == "validation":
        errors = [{"parameter": "limit", "detail": "Unknown field."}]
    return {
        "type": TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": http.HTTPStatus(status).phrase,
        "errors": errors,
        "request_id": "b1d5b0c2f39a4c1e8a53a1c0a2f8c6de",
    }


def as_body(error: DomainError) -> dict[str, Any]:
    """A problem as part of an answer that holds the outcomes of several operations."""
    return _body(error.code, error.detail, error.status, error.errors)


def title_in(voice: Voice, code: str) -> str:
    """What a code means, in a language."""
    return voice.translate(PROBLEMS[code][1]) if code in PROBLEMS else code


def errors_in(voice: Voice, errors: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Field-level errors, their details in a language."""
    return [dict(one) | {"detail": voice.translate(one["detail"])} for one in errors]


def _body(
    code: str, detail: str, status: int | None, errors: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    known_status, title = PROBLEMS.get(code, (status or 400, ""))
    status, voice = status or known_status, spoken()
    return {
        "type": TYPE_PREFIX + code,
        "title": voice.translate(title) if title else http.HTTPStatus(status).phrase,
        "status": status,
        "detail": voice.translate(detail),
        "errors": errors_in(voice, errors),
        "request_id": g.get("request_id", ""),
    }


def register(app: Flask) -> None:
    """Let every error, also Flask's own, leave as a problem."""
    app.register_error_handler(DomainError, _from_domain)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(DBAPIError, _from_database)
    app.register_error_handler(psycopg.Error, _from_database)
    app.register_error_handler(PoolTimeout, _from_database)
    app.register_error_handler(Exception, _from_defect)


def _from_domain(error: DomainError) -> Response:
    if not isinstance(error, Unavailable | TooManyRequests):
        look_up()
    headers: dict[str, str] = {}
    if isinstance(error, TooManyRequests):
        headers |= rate_headers.refused(error)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="cymba"'
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(RETRY_UNAVAILABLE_S)
    return problem(
        error.code, error.detail, status=error.status, errors=error.errors, headers=headers
    )


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status >= 500 and status != 503:
        return _from_defect(error)
    kept = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}
    code = _BY_STATUS.get(status, "bad-request" if status < 500 else "server")
    return problem(code, PROBLEMS[code][1], status=status, headers=kept)


def _from_database(error: Exception) -> Response:
    """Gone, restarting, or too slow: the transaction was rolled back, so a retry is harmless."""
    if not is_passing(error):
        return _from_defect(error)
    _log.warning("database unavailable", error=name_of(error))
    return problem(
        "unavailable",
        "The database does not answer. Nothing was changed.",
        headers={"Retry-After": str(RETRY_UNAVAILABLE_S)},
    )


def _from_defect(error: Exception) -> Response:
    # No message is logged: it could hold what a person typed. The class and the place are enough.
    _log.error("request failed", error=name_of(error), at=place_of(error))
    return problem("server", "The request was fine; the server has a defect. It was noted.")
