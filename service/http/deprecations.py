"""Operations that will go: one table, from which the document and the answers say so.

docs/api-compatibility.md says how long each stays. The headers are `Deprecation` (RFC 9745),
`Sunset` (RFC 8594) and `Link` to what to use in its place.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from flask import Flask, Response, request
from werkzeug.http import http_date

STAYS: Final = timedelta(days=365)  # at least, from the day on which it is said


@dataclass(frozen=True, slots=True)
class Deprecated:
    since: date
    until: date  # it is there until then
    instead: str  # the path that does it better

    def __post_init__(self) -> None:
        if self.until < self.since + STAYS:
            raise ValueError(f"what is deprecated stays for {STAYS.days} days at least")


OPERATIONS: Final[dict[str, Deprecated]] = {}  # by the operation's id


def register(app: Flask) -> None:
    app.after_request(_tell)


def describe(operation: dict[str, Any]) -> None:
    """Mark an operation of the document."""
    if (entry := OPERATIONS.get(operation["operationId"])) is not None:
        operation["deprecated"] = True
        operation["description"] += (
            f"\n\nDeprecated since {entry.since}; there until {entry.until}. "
            f"Use `{entry.instead}` in its place."
        )


def _tell(response: Response) -> Response:
    entry = OPERATIONS.get((request.endpoint or "").rpartition(".")[2])
    if entry is not None:
        response.headers["Deprecation"] = f"@{int(_midnight(entry.since).timestamp())}"
        response.headers["Sunset"] = http_date(_midnight(entry.until))
        response.headers.add("Link", f'<{entry.instead}>; rel="successor-version"')
    return response


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
