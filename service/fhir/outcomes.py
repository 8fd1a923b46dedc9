"""Every error as an OperationOutcome: the API's problem in FHIR's form."""

from typing import Any, Final

import orjson
from flask import Response

from cymba.errors import DomainError
from service.http import problems

MEDIA_TYPE: Final = "application/fhir+json"
_ISSUE_BY_STATUS: Final = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    412: "conflict",
    413: "too-long",
    429: "throttled",
    500: "exception",
    503: "transient",
}


class NotSearchable(DomainError):
    """A search that would find other than what was asked for, if it were answered."""

    code = "bad-request"
    status = 400

    def __init__(self, detail: str, *, parameter: str) -> None:
        super().__init__(detail, errors=[{"parameter": parameter, "detail": detail}])


def as_outcome(response: Response) -> Response:
    """The answer, in FHIR's form if it is a problem. Its headers stay."""
    if response.mimetype != problems.MEDIA_TYPE:
        return response
    problem: dict[str, Any] = orjson.loads(response.get_data())
    # A search that breaks a rule is a bad request in FHIR, whatever it is elsewhere.
    status = 400 if problem["status"] == 422 else problem["status"]
    issues = [
        _issue(status, problem, f"{error.get('parameter', '')}: {error['detail']}".lstrip(": "))
        for error in problem["errors"]
    ]
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": issues or [_issue(status, problem, problem["detail"])],
    }
    response.status_code = status
    response.set_data(orjson.dumps(outcome))
    response.content_type = MEDIA_TYPE
    return response


def _issue(status: int, problem: dict[str, Any], diagnostics: str) -> dict[str, Any]:
    return {
        "severity": "error",
        "code": _ISSUE_BY_STATUS.get(status, "processing"),
        "details": {
            "coding": [
                {"system": problems.TYPE_PREFIX.rstrip(":"), "code": problem["type"].split(":")[-1]}
            ],
            "text": problem["title"],
        },
        "diagnostics": diagnostics,
    }
