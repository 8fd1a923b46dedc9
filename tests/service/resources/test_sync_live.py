"""Being told of changes, over a real server: streams, tickets, and whoever abuses them."""

import json
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from threading import Thread
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from cymba.accounts.changes import announce
from cymba.accounts.tables import SingleUseToken
from cymba.accounts.tokens import sign_out_everywhere
from cymba.database import UnitOfWork, utc_now
from cymba.sync.feed import renew_epoch
from service.http.services import SYNC_STREAMS_OF_ONE
from service.resources import sync_live
from tests.end_to_end.parts import PATIENCE_S, wait_until

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def url(app, serve, monkeypatch):
    monkeypatch.setattr(sync_live, "POLL_S", 0.02)
    monkeypatch.setattr(app.extensions["cymba"].watching._latest, "_fresh_s", 0.02)
    yield serve(app)
    app.extensions["cymba"].closing.set()


@pytest.fixture
def change(engine):
    def make(person):
        with UnitOfWork(engine) as session, session.begin():
            announce(session, person.id, "diary-entry", uuid4())

    return make


@pytest.fixture
def listen(url, document):
    answer = document.api["paths"]["/v1/sync/live"]["get"]["responses"]["200"]
    stream = answer["content"]["text/event-stream"]["schema"]["contentSchema"]
    described = stream["items"]["properties"]["data"]["contentSchema"]

    @contextmanager
    def begin(headers=None, **query):
        """The ids of the events as they come."""
        path, sent = f"{url}/v1/sync/live", STREAM | (headers or {})
        with httpx.stream("GET", path, headers=sent, params=query, timeout=PATIENCE_S) as response:
            assert response.status_code == 200, response.read()
            yield read(response)

    def read(response):
        fields = {}
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "event" in fields:
                document.validate(json.loads(fields["data"]), described)
                assert fields["event"] == "changed"
                yield fields["id"]
                fields = {}

    return begin


def cursor_of(client, person):
    return client.get("/v1/sync", headers=person.headers).json["next_cursor"]


def test_each_change_after_the_last_pull_is_told_and_none_before(listen, client, person, change):
    change(person)
    with listen(person.headers, after=cursor_of(client, person)) as events:
        change(person)
        first = next(events)
        change(person)
        second = next(events)
    assert first != second
    # Cut off: whatever came meanwhile is told at once.
    change(person)
    with listen(person.headers | {"Last-Event-ID": second}) as events:
        third = next(events)
    with listen(person.headers, after=third) as events:
        change(person)
        assert next(events) not in {first, second, third}


def test_who_says_nothing_of_the_last_pull_is_told_at_once(listen, person):
    with listen(person.headers) as events:
        assert next(events)


def test_who_asks_for_no_stream_gets_an_answer_with_an_end(client, person, monkeypatch):
    monkeypatch.setattr(sync_live, "UNASKED_S", 1.5)
    answered = client.get("/v1/sync/live", headers=person.headers)
    assert b"event: changed" in answered.data


def test_a_change_of_somebody_else_is_not_told(listen, client, person, make_person, change):
    other = make_person()
    with listen(person.headers, after=cursor_of(client, person)) as events:
        change(other)
        with listen(other.headers, after=cursor_of(client, other)) as others:
            change(other)
            assert next(others)
        change(person)
        mine = next(events)
    refused = client.get("/v1/sync/live", query_string={"after": mine}, headers=other.headers)
    assert refused.status_code == 422
    headers = other.headers | {"Last-Event-ID": mine}
    assert client.get("/v1/sync/live", headers=headers).status_code == 422


def test_what_an_event_brings_is_no_cursor_for_a_pull(listen, client, person):
    """Whoever took it for one would never see what it tells of."""
    with listen(person.headers) as events:
        cursor = next(events)
    refused = client.get("/v1/sync", query_string={"cursor": cursor}, headers=person.headers)
    assert refused.status_code == 422


def test_a_restored_database_is_news(listen, client, engine, person):
    with listen(person.headers, after=cursor_of(client, person)) as events:
        with UnitOfWork(engine) as session, session.begin():
            renew_epoch(session)
        assert next(events)


def test_a_stream_ends_with_its_sign_in(listen, engine, person):
    with listen(person.headers) as events:
        next(events)
        with UnitOfWork(engine) as session, session.begin():
            sign_out_everywhere(session, person.id, utc_now())
        assert list(events) == []


def test_a_stream_ends_with_its_access_token(listen, app, person, monkeypatch):
    now = utc_now()
    with listen(person.headers) as events:
        next(events)
        late = now + timedelta(seconds=app.extensions["cymba"].settings.access_token_seconds + 1)
        monkeypatch.setattr("service.http.services.Services.now", staticmethod(lambda: late))
        assert list(events) == []


def test_a_stream_outlives_a_database_that_is_away(listen, client, engine, person, change):
    asked = []

    def away(*args):
        if "unnest" in args[2] and len(asked) < 3:
            asked.append(args[2])
            raise OperationalError("away", None, Exception("terminating connection"), True)

    with listen(person.headers, after=cursor_of(client, person)) as events:
        event.listen(engine, "before_cursor_execute", away)
        try:
            wait_until(lambda: len(asked) == 3, what="the streams have asked in vain")
            change(person)
            assert next(events)
        finally:
            event.remove(engine, "before_cursor_execute", away)


def test_all_streams_ask_together_and_nobody_when_there_is_none(
    listen, engine, app, person, make_person
):
    asked = []
    event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[3]))
    people = [person, make_person(), make_person()]
    at = app.extensions["cymba"]
    with ExitStack() as open_streams:
        streams = [open_streams.enter_context(listen(one.headers)) for one in people]
        assert all(next(events) for events in streams)
        wait_until(
            lambda: any(len(values.get("families", ())) == 3 for values in asked if values),
            what="one statement asks for all of them",
        )
    at.closing.set()
    wait_until(lambda: at.sync_streams.count() == 0, what="nobody listens")
    assert not at.watching._watchers


def test_who_never_closes_streams_keeps_out_themselves_alone(url, person, make_person):
    opened = []

    def open_one(headers):
        stream = httpx.Client(timeout=PATIENCE_S)
        response = stream.send(
            stream.build_request("GET", f"{url}/v1/sync/live", headers=headers | STREAM),
            stream=True,
        )
        opened.append((stream, response))
        return response

    try:
        for _ in range(SYNC_STREAMS_OF_ONE):
            assert open_one(person.headers).status_code == 200
        refused = open_one(person.headers)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert refused.read().find(b"too-many-streams") > 0
        assert open_one(make_person().headers).status_code == 200
    finally:
        for stream, response in opened:
            response.close()
            stream.close()


def test_a_ticket_opens_one_stream_once(listen, client, engine, person, change):
    made = client.post("/v1/sync/live-ticket", headers=person.headers)
    assert made.status_code == 201
    ticket = made.json["ticket"]
    with listen(ticket=ticket, after=cursor_of(client, person)) as events:
        change(person)
        assert next(events)
    again = client.get("/v1/sync/live", query_string={"ticket": ticket})
    assert again.status_code == 401
    with UnitOfWork(engine) as session:
        kept = session.scalars(select(SingleUseToken)).all()
    assert all(ticket.encode() not in one.token_hash for one in kept)


@pytest.mark.parametrize("ticket", ["", "x", "A" * 43, "é" * 43, "A" * 64])
def test_a_guessed_ticket_opens_nothing(client, ticket):
    refused = client.get("/v1/sync/live", query_string={"ticket": ticket})
    assert refused.status_code == 401


def test_a_ticket_opens_nothing_else_and_not_for_long(client, engine, person, monkeypatch):
    ticket = client.post("/v1/sync/live-ticket", headers=person.headers).json["ticket"]
    assert client.get("/v1/sync", query_string={"ticket": ticket}).status_code == 401
    as_bearer = {"Authorization": f"Bearer {ticket}"}
    assert client.get("/v1/sync", headers=as_bearer).status_code == 401
    late = utc_now() + sync_live.TICKET_LIFETIME
    monkeypatch.setattr("service.http.services.Services.now", staticmethod(lambda: late))
    assert client.get("/v1/sync/live", query_string={"ticket": ticket}).status_code == 401
    monkeypatch.undo()
    with UnitOfWork(engine) as session, session.begin():
        other = client.post("/v1/sync/live-ticket", headers=person.headers).json["ticket"]
        sign_out_everywhere(session, person.id, utc_now())
    assert client.get("/v1/sync/live", query_string={"ticket": other}).status_code == 401


def test_a_ticket_used_by_two_at_once_opens_one_stream(url, client, person):
    ticket = client.post("/v1/sync/live-ticket", headers=person.headers).json["ticket"]
    statuses = []

    def use():
        path = f"{url}/v1/sync/live"
        with httpx.stream("GET", path, params={"ticket": ticket}, timeout=PATIENCE_S) as response:
            statuses.append(response.status_code)

    both = [Thread(target=use) for _ in range(4)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(statuses) == [200, 401, 401, 401]


def test_no_ticket_is_logged(client, person):
    ticket = client.post("/v1/sync/live-ticket", headers=person.headers).json["ticket"]
    with capture_logs() as logs:
        client.get("/v1/sync/live", query_string={"ticket": ticket[::-1]})
    assert "/v1/sync/live" in str(logs)
    assert ticket[::-1] not in str(logs)
