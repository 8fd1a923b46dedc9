"""A client of the FHIR routes, which the OpenAPI document does not describe."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from cymba.database import utc_now

FHIR = "/fhir/R4/"
Ask = Callable[..., TestResponse]


@pytest.fixture
def ask(app, person) -> Ask:
    """Ask as a person, or by a share's token."""
    client = app.test_client()

    def get(path: str, by: Any = person, **headers: str) -> TestResponse:
        sent = {"Authorization": f"Bearer {by}"} if isinstance(by, str) else by and by.headers
        answer = client.get(FHIR + path, headers={**(sent or {}), **headers})
        assert answer.mimetype == "application/fhir+json" or answer.status_code == 304
        return answer

    return get


@pytest.fixture
def read_all(ask) -> Callable[..., Iterator[dict[str, Any]]]:
    """Every resource of a search, page after page."""

    def read(path: str, by: Any = None) -> Iterator[dict[str, Any]]:
        while path:
            given = {} if by is None else {"by": by}
            answer = ask(path, **given)
            assert answer.status_code == 200, answer.json
            for entry in answer.json.get("entry", ()):
                yield entry["resource"]
            links = {one["relation"]: one["url"] for one in answer.json["link"]}
            path = links.get("next", "").partition(FHIR)[2]

    return read


@pytest.fixture
def share(client) -> Callable[..., str]:
    """Gives the token of a share of a person's."""

    def make(person: Any, *scopes: str) -> str:
        given = {"label": "Dr. Weber", "scopes": list(scopes)}
        given["expires_at"] = (utc_now() + timedelta(days=30)).isoformat()
        answer = client.post("/v1/shares", json=given, headers=person.headers)
        assert answer.status_code == 201, answer.json
        token: str = answer.json["token"]
        return token

    return make
