"""What an app asks, what the person answers, and where the browser goes from there."""

from base64 import b64encode
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from cymba.accounts.tables import RefreshToken
from cymba.database import UnitOfWork, utc_now
from tests.service.smart_app import BACK, VERIFIER, SmartApp, params_of, register

NAMES = [
    "client_id", "redirect_uri", "response_type", "scope", "state", "aud", "code_challenge",
    "code_challenge_method", "code", "code_verifier", "grant_type", "refresh_token", "token",
]  # fmt: skip


@pytest.fixture
def smart(app, engine):
    client_id, _ = register(engine)
    return SmartApp(app, client_id)


@pytest.mark.parametrize(
    "scopes",
    [
        ["patient/Condition.rs"],  # it was not asked for
        ["patient/Observation.rs", "openid"],
        ["launch/patient", "offline_access"],  # it opens nothing
    ],
)
def test_and_never_more(smart, person, client, scopes):
    until = (utc_now() + timedelta(days=1)).isoformat()
    wanted = {"query": smart.query(), "scopes": scopes, "expires_at": until}
    refused = client.post("/v1/apps/allowances", json=wanted, headers=person.headers)
    assert refused.json["errors"][0]["pointer"] == "/scopes"


@pytest.mark.parametrize("days", [None, -1, 400])
def test_an_app_that_reads_on_needs_an_end(smart, person, client, days):
    until = None if days is None else (utc_now() + timedelta(days=days)).isoformat()
    wanted = {"query": smart.query(), "scopes": smart.scope.split(), "expires_at": until}
    refused = client.post("/v1/apps/allowances", json=wanted, headers=person.headers)
    assert refused.json["errors"][0]["pointer"] == "/expires_at"


def test_the_persons_no_is_told_and_makes_nothing(smart, person, client):
    body = {"query": smart.query()}
    answered = client.post("/v1/apps/refusals", json=body, headers=person.headers).json
    told = params_of(answered["redirect_to"])
    assert (told["error"], told["state"], told["iss"]) == (
        "access_denied",
        "8Xq0",
        "http://localhost",
    )
    assert client.get("/v1/shares", headers=person.headers).json["items"] == []


def test_a_yes_needs_fresh_proof(smart, person, client, engine):
    with UnitOfWork(engine) as session, session.begin():
        long_ago = utc_now() - timedelta(hours=1)
        session.execute(update(RefreshToken).values(proved_at=long_ago))
    wanted = {"query": smart.query(), "scopes": ["patient/Observation.rs"]}
    refused = client.post("/v1/apps/allowances", json=wanted, headers=person.headers)
    assert refused.json["type"] == "urn:cymba:problem:reauthentication-required"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "0d9c1d1e-4f3b-4a5c-9d0e-7f6a5b4c3d2e"},
        {"client_id": "'; DROP TABLE share; --"},
        {"client_id": "\0"},
        {"redirect_uri": None},
        {"redirect_uri": BACK + "/"},
        {"redirect_uri": BACK + "?x=1"},
        {"redirect_uri": "https://app.example.org.evil.example/back"},
        {"redirect_uri": 'https://evil.example/"><script>alert(1)</script>'},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
def test_nobody_is_sent_to_an_address_that_is_not_registered(smart, changes):
    refused = smart.ask(**changes)
    assert refused.status_code == 400
    assert "Location" not in refused.headers
    assert refused.mimetype == "text/plain"
    assert "script" not in refused.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": '"ü\0'}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": VERIFIER[:-1]}, "invalid_request"),
        ({"code_challenge": VERIFIER + "\n"}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"aud": "https://evil.example/fhir/R4"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "openid fhirUser offline_access"}, "invalid_scope"),
        ({"scope": "user/*.read patient/Observation.cud system/*.rs"}, "invalid_scope"),
        ({"scope": "patient/Observation.rs?category=vital-signs"}, "invalid_scope"),
        ({"scope": "patient/\0.rs <b>"}, "invalid_scope"),
    ],
)
def test_what_a_known_app_does_wrong_is_told_to_it(smart, changes, error):
    told = smart.ask(**changes)
    assert told.status_code == 302
    assert told.headers["Location"].startswith(BACK + "?")
    given = params_of(told.headers["Location"])
    assert (given["error"], given["state"]) == (error, "8Xq0")
    assert given["iss"] == "http://localhost"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "scope", "code_challenge"])
def test_no_parameter_counts_twice(smart, name):
    value = parse_qs(smart.query())[name][0]
    twice = smart.http.get(f"/oauth/authorize?{smart.query()}&{name}={value}")
    assert twice.status_code == 400 or "error=invalid_request" in twice.headers["Location"]


@pytest.mark.parametrize(
    "state", ["", "x" * 10_000, '<b>"&=#?%00+ ü 🫀', "a+b c%20d", "\r\nSet-Cookie: a=b"]
)
def test_the_state_comes_back_as_it_was(smart, person, client, state):
    asked = smart.ask(state=state)
    query = asked.headers["Location"].partition("#")[2]
    body = {"query": query, "scopes": ["patient/Observation.rs"]}
    answered = client.post("/v1/apps/allowances", json=body, headers=person.headers).json
    assert params_of(answered["redirect_to"])["state"] == state


# Some that a query, a form or a header may hold, and some that they may not.
BYTES = st.binary(max_size=40) | st.sampled_from([b"%", b"%zz", b"%ff", b"%00", b"&&==", b"\xff;"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(NAMES), BYTES, max_size=4), BYTES)
def test_nothing_that_is_asked_breaks_the_server(smart, changes, secret):
    own = {name: values[0].encode() for name, values in parse_qs(smart.query()).items()}
    asked = smart.http.get("/oauth/authorize", query_string=joined(own | changes).decode("latin-1"))
    assert asked.status_code in {302, 400}
    form = {"client_id": own["client_id"], "grant_type": b"authorization_code"} | changes
    plain = {"Content-Type": "application/x-www-form-urlencoded"}
    basic = plain | {"Authorization": f"Basic {b64encode(secret).decode()}"}
    for path in ("/oauth/token", "/oauth/revoke"):
        for headers in (plain, basic):
            answered = smart.http.post(path, data=joined(form), headers=headers)
            assert answered.status_code in {200, 400, 401}
            assert answered.status_code == 200 or answered.json["error"]


def joined(given):
    return b"&".join(name.encode() + b"=" + value for name, value in given.items())
