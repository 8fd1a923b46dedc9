"""What a collector is told of requests: where they went and what was asked of the database, and
nothing of what was said."""

import pytest
from opentelemetry.trace import get_current_span
from sqlalchemy import literal_column, select, text
from sqlalchemy.exc import DataError

from cymba import spans
from cymba.accounts.tables import Account
from cymba.database import Prepared, make_engine, reading
from ops.otel import summary_of
from tests.collector import attributes, collecting_here
from tests.service.bodies import FAINTED, operation
from tests.service.conftest import app_with, sign_up

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FOLLOWED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}

EMAIL, PASSWORD = "grandma.moses@example.org", "correct horse battery"
NOTE = "tingling behind the left ear"
SAID = (
    EMAIL, "grandma", "example.org", PASSWORD, NOTE, "tingling", "EY77SERIAL77", "CLAIMCODE",
    "0b5c7d1e", "fainting", "severe", "2026-03-01", "nobody-knows-this-path", "limit=7",
    "said in tracestate", "said in baggage", "SaidByTheAgent", "said-as-request-id",
)  # fmt: skip
HEADERS = FOLLOWED | {
    "tracestate": "cymba=said in tracestate",
    "baggage": "note=said in baggage",
    "User-Agent": "SaidByTheAgent/1",
    "X-Request-Id": "said-as-request-id",
}


@pytest.fixture
def collector():
    with collecting_here() as collector:
        yield collector


@pytest.fixture
def traced_engine(collector, database_url):  # noqa: ARG001 - which has to be there first
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def traced(settings, traced_engine):
    return app_with(settings, traced_engine).test_client()


def test_a_request_is_told_with_its_statements_in_the_trace_of_its_caller(
    traced, person, collector
):
    assert traced.get("/v1/sessions", headers=person.headers | FOLLOWED).status_code == 200
    entry = operation("diary-entry", fields=FAINTED)
    traced.post("/v1/sync", json={"operations": [entry]}, headers=person.headers | FOLLOWED)
    read, written = map(collector.wait_for, ("GET /v1/sessions", "POST /v1/sync"))
    assert (read.trace_id.hex(), read.parent_span_id.hex()) == (TRACE, CALLER)
    assert attributes(read) == {
        "http.request.method": "GET",
        "http.route": "/v1/sessions",
        "http.response.status_code": 200,
    }
    (page,) = [one for one in collector.below(read) if "session" in one.name]
    assert attributes(page) == {
        "db.system.name": "postgresql",
        "db.operation.name": "SELECT",
        "db.query.summary": page.name,
    }
    below = [one.name for one in collector.below(written)]
    assert "INSERT diary_entry" in below
    assert below[-1] == "COMMIT"  # which is where a write waits for the disk


def test_nothing_that_was_said_is_told(traced, person, collector, monkeypatch):
    headers = person.headers | HEADERS
    push = {"operations": [operation("diary-entry", fields=FAINTED | {"note": NOTE})]}
    claim = {"serial": "EY77SERIAL77", "code": "CLAIMCODE"}
    traced.environ_base.update(
        {f"HTTP_{k.upper().replace('-', '_')}": v for k, v in HEADERS.items()}
    )
    assert sign_up(traced, {"email": EMAIL, "password": PASSWORD}).status_code == 201
    traced.post("/v1/auth/token", json={"email": EMAIL, "password": NOTE})
    pushed = traced.post("/v1/sync", json=push, headers=headers).json
    assert [one["status"] for one in pushed["answers"]] == ["applied"]
    assert traced.post("/v1/devices/claim", json=claim, headers=headers).status_code == 404
    traced.get("/v1/sessions/0b5c7d1e-0000-4000-8000-000000000000?limit=7", headers=headers)
    traced.get(f"/v1/nobody-knows-this-path/{EMAIL}", headers=headers)

    def broken(session):
        session.execute(text("SELECT CAST(:note AS integer)"), {"note": NOTE})

    monkeypatch.setattr("service.resources.accounts.current_account", broken)
    assert traced.get("/v1/account", headers=headers).status_code == 500
    failed = collector.wait_for("GET /v1/account")
    assert attributes(failed)["error.type"] == "500"
    (statement,) = collector.below(failed)
    assert attributes(statement)["error.type"] == "InvalidTextRepresentation 22P02"
    told = b"".join(collector.bodies).lower()
    assert [
        one for one in (*SAID, person.email, str(person.id)) if one.lower().encode() in told
    ] == []
    assert not any(one.events or one.status.message for one in collector.spans())


def test_neither_is_the_text_of_an_error_or_a_literal(collector, traced_engine):
    cast = Prepared(text("SELECT CAST(:note AS integer)"))
    with spans.span("work"), reading(traced_engine) as line:
        with pytest.raises(Exception, match=NOTE):
            cast.rows(line, note=NOTE)
        line.rollback()
        literal = literal_column(f"CAST('{NOTE}' AS integer)")
        with traced_engine.connect() as connection, pytest.raises(DataError, match=NOTE):
            connection.execute(select(Account.id).where(literal == 1))
    work = collector.wait_for("work")
    names = {one.name: attributes(one).get("error.type") for one in collector.below(work)}
    assert names["SELECT"] == names["SELECT account"] == "InvalidTextRepresentation 22P02"
    assert NOTE.encode() not in b"".join(collector.bodies)


@pytest.mark.parametrize(
    ("sql", "summary"),
    [
        (
            "SELECT account.id FROM account JOIN device_tenure ON true",
            "SELECT account device_tenure",
        ),
        ("WITH a AS (SELECT 1 FROM account) UPDATE device SET x = 1", "UPDATE device account"),
        ('DELETE FROM "change" WHERE id IN (SELECT 1)', "DELETE change"),
        ("SELECT 'grandma' FROM grandma", "SELECT"),
        ("grandma moses", "statement"),
        ("", "statement"),
    ],
)
def test_a_statement_is_named_by_what_it_does_alone(sql, summary):
    assert summary_of(sql) == summary


@pytest.mark.parametrize(
    "odd", ["", "grandma", f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE}-{CALLER}-01,x", "0" * 5_000]
)
def test_a_caller_without_a_trace_begins_one(traced, collector, odd):
    assert traced.get("/v1/version", headers={"traceparent": odd}).status_code == 200
    told = collector.wait_for("GET /v1/version")
    assert told.trace_id.hex() not in {TRACE, "0" * 32}
    assert not told.parent_span_id
    assert not get_current_span().is_recording()  # the next request of this thread is not below it


def test_what_machines_ask_for_every_few_seconds_is_not_told(traced, collector):
    for path in ("/healthz", "/readyz", "/metrics", "/v1/version"):
        traced.get(path)
    collector.wait_for("GET /v1/version")
    assert [one.name for one in collector.spans()] == ["GET /v1/version"]
