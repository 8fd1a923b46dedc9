"""Following a session while it runs, over a real server. Every event is held to the document."""

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread

import httpx
import pytest

from cymba.accounts.tokens import sign_out_elsewhere
from cymba.database import UnitOfWork, utc_now
from service.http.services import STREAMS_OF_ONE
from service.resources import live
from tests.end_to_end.parts import PATIENCE_S
from tests.stimulation.worker_steps import compact_due


@dataclass(frozen=True)
class Sent:
    name: str
    id: str
    data: dict


@pytest.fixture
def url(app, serve, monkeypatch):
    monkeypatch.setattr(live, "POLL_S", 0.02)
    yield serve(app)
    app.extensions["cymba"].closing.set()


@pytest.fixture
def seal(engine):
    def finished():
        with UnitOfWork(engine) as session, session.begin():
            assert compact_due(session) > 0

    return finished


@pytest.fixture
def follow(url, document):
    """Opens the view of a session; gives its events as they come, comments left out."""

    path = "/v1/sessions/{session_id}/live"
    answer = document.api["paths"][path]["get"]["responses"]["200"]
    stream = answer["content"]["text/event-stream"]["schema"]["contentSchema"]
    described = {
        one["properties"]["event"]["const"]: one["properties"]["data"]["contentSchema"]
        for one in stream["items"]["oneOf"]
    }

    def checked(sent):
        document.validate(sent.data, described[sent.name])
        return sent

    def begin(person, session_id, last_id=None):
        headers = dict(person.headers)
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        path = f"{url}/v1/sessions/{session_id}/live"
        with httpx.stream("GET", path, headers=headers, timeout=PATIENCE_S) as response:
            assert response.status_code == 200
            fields = {}
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                elif "event" in fields:
                    yield checked(Sent(fields["event"], fields["id"], json.loads(fields["data"])))
                    fields = {}

    return begin


def test_a_running_session_is_followed_to_its_end(follow, wear, person):
    worn = wear(person).samples(2).sum_up()
    events = follow(person, worn.id)
    start = next(events)
    assert (start.name, start.data["seq"]) == ("start", 1)
    assert start.data["programme"]["frequency_hz"] == 25.0
    first = next(events)
    assert first.name == "samples"
    assert first.data["columns"] == {"amplitude_ua": [2000, 2000], "heart_rate_bpm": [70, 70]}
    worn.samples(3, amplitude_ua=[1, None, 3])
    assert next(events).data["columns"] == {"amplitude_ua": [1, None, 3]}
    worn.event("lead_off")
    assert next(events).data["name"] == "lead_off"
    worn.end("lead_off").sum_up()
    assert (stop := next(events)).name == "stop"
    assert stop.data["end_reason"] == "lead_off"
    assert [(last.name, last.id) for last in events] == [("end", "end")]


def test_a_sealed_session_is_sent_whole(follow, wear, person, seal):
    worn = wear(person).samples().samples().end().sum_up()
    seal()
    names = [event.name for event in follow(person, worn.id)]
    assert names == ["start", "samples", "samples", "stop", "end"]


def test_a_view_that_was_cut_off_goes_on_where_it_was(follow, wear, person):
    worn = wear(person).samples().sum_up()
    events = follow(person, worn.id)
    last = [next(events) for _ in range(2)][-1]
    events.close()
    worn.samples().samples().end().sum_up()
    seqs = [event.data.get("seq") for event in follow(person, worn.id, last.id)]
    assert seqs == [3, 4, 5, None]


def test_late_frames_come_late_and_once(follow, wear, person):
    worn = wear(person)
    late = worn.samples_frame()
    worn.samples().sum_up()
    events = follow(person, worn.id)
    before = [next(events) for _ in range(2)]
    assert [event.data["seq"] for event in before] == [1, 3]
    events.close()
    worn.send(late).end().sum_up()
    after = [event.data.get("seq") for event in follow(person, worn.id, before[-1].id)]
    assert after == [2, 4, None]


def test_who_has_seen_the_end_is_told_to_stay_away(client, wear, person):
    worn = wear(person).end().sum_up()
    headers = {**person.headers, "Last-Event-ID": "end"}
    assert client.get(f"/v1/sessions/{worn.id}/live", headers=headers).status_code == 204


@pytest.mark.parametrize(
    "last_id", ["x", "1", "1:", "1:2", "1:5-3", "1:1-5,3-9", "1:1-2;", "99999999999:1-2", "1:0-3"]
)
def test_an_id_that_is_not_ours_is_refused(client, wear, person, last_id):
    worn = wear(person).sum_up()
    headers = {**person.headers, "Last-Event-ID": last_id}
    assert client.get(f"/v1/sessions/{worn.id}/live", headers=headers).status_code == 422


def test_a_session_of_somebody_else_cannot_be_followed(client, wear, make_person):
    worn = wear(make_person()).sum_up()
    headers = make_person().headers
    assert client.get(f"/v1/sessions/{worn.id}/live", headers=headers).status_code == 404


def test_a_view_ends_with_its_access_token(follow, wear, app, person, monkeypatch):
    worn = wear(person).sum_up()
    now = utc_now()
    edge_type = type(app.extensions["cymba"])
    events = follow(person, worn.id)
    assert next(events).name == "start"
    monkeypatch.setattr(edge_type, "now", staticmethod(lambda: now + timedelta(hours=1)))
    assert list(events) == []


def test_a_waiting_view_holds_no_connection(follow, wear, engine, person):
    worn = wear(person).sum_up()
    events = follow(person, worn.id)
    next(events)
    # The pool counts what is lent out. A view that waited inside a transaction would hold one for
    # ever, and the test would run into its time limit.
    while engine.pool.checkedout():
        time.sleep(0.001)


def test_those_who_share_a_device_share_its_views(app, url, wear, person):
    """Accounts cost nothing: without a bound by device its holders' would take all there are."""
    worn = wear(person).sum_up()
    streams = app.extensions["cymba"].streams
    for number in range(STREAMS_OF_ONE):
        assert streams.take(f"another holder {number}", worn.device_id)
    refused = httpx.get(f"{url}/v1/sessions/{worn.id}/live", headers=person.headers)
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:cymba:problem:too-many-streams"


def test_only_so_many_views_can_be_open(url, follow, wear, person, make_person):
    worn = wear(person).sum_up()
    views = [follow(person, worn.id) for _ in range(STREAMS_OF_ONE)]
    for view in views:
        next(view)
    path = f"{url}/v1/sessions/{worn.id}/live"
    refused = httpx.get(path, headers=person.headers)
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:cymba:problem:too-many-streams"
    assert refused.headers["Retry-After"]
    other = make_person()
    theirs = wear(other).sum_up()
    view = follow(other, theirs.id)
    assert next(view).name == "start"
    assert "cymba_api_live_streams 5.0" in httpx.get(f"{url}/metrics").text
    worn.end().sum_up()
    closing = [Thread(target=list, args=(view,)) for view in views]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()
    assert next(follow(person, worn.id)).name == "start"


def test_signing_out_elsewhere_does_not_break_the_stream_of_bytes(follow, wear, engine, person):
    worn = wear(person).sum_up()
    events = follow(person, worn.id)
    next(events)
    with UnitOfWork(engine) as session, session.begin():
        sign_out_elsewhere(session, person.id, worn.sid, utc_now())
    worn.end().sum_up()
    assert [event.name for event in events] == ["stop", "end"]
