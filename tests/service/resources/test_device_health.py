"""How a device is doing: above all, whether "no session" means that there was none."""

from datetime import datetime, timedelta

import pytest

from cymba.database import UnitOfWork, utc_now
from cymba.devices.messages import Presence
from cymba.devices.presence import record_presence
from cymba.devices.suspension import end_suspensions, suspend
from tests.stimulation.conftest import Tape, deliver_frames


@pytest.fixture
def device_id(hold, person):
    return hold(person)


@pytest.fixture
def health(client, device_id, person):
    return lambda: client.get(f"/v1/devices/{device_id}/health", headers=person.headers).json


@pytest.fixture
def say(engine, device_id):
    """The device says something of itself."""

    def record(at, **told):
        with UnitOfWork(engine) as session, session.begin():
            presence = Presence(**{"online": True, "store": 7, "boot": 1, "sent": 5_000} | told)
            record_presence(session, device_id, presence, at)

    return record


def test_of_a_device_that_never_came_online_nothing_is_known(health):
    told = health()
    assert told["last_seen_at"] is None
    assert told["unsynced"] == "unknown"
    assert told["complete_until"] is None
    assert told["clock"] is None
    assert told["completeness"]["sessions"] == 0
    assert told["completeness"]["share"] is None


def test_none_waiting_and_unknown_differ(health, say):
    now = utc_now()
    say(now, queued=12, firmware="2.4.1", battery_pct=83)
    told = health()
    assert told["unsynced"] == "waiting"
    assert told["backlog_frames"] == 12
    assert told["complete_until"] is None
    assert (told["firmware"], told["battery_pct"]) == ("2.4.1", 83)
    say(now + timedelta(seconds=1), sent=6_000, queued=0)
    told = health()
    assert told["unsynced"] == "none"
    assert told["complete_until"] is not None
    say(now + timedelta(seconds=2), sent=6_000, online=False)
    told = health()
    assert not told["online"]
    assert told["unsynced"] == "unknown"  # it may have recorded since
    assert told["complete_until"] is not None


def test_missing_frames_are_counted(health, wear, person, device_id):
    at = utc_now() - timedelta(days=1)
    whole = wear(person, device_id=device_id, at=at)
    whole.samples().samples().end().sum_up()
    broken = wear(person, device_id=device_id, at=at + timedelta(hours=2))
    broken.samples_frame()  # it never arrives
    broken.samples().end().sum_up()
    told = health()["completeness"]
    assert told["sessions"] == 2
    assert told["incomplete_sessions"] == 1
    assert told["open_sessions"] == 0
    assert told["share"] == pytest.approx(7 / 8)
    long_ago = wear(person, device_id=device_id, at=at - timedelta(days=60))
    long_ago.samples().sum_up()
    assert health()["completeness"]["sessions"] == 2


def test_refused_frames_are_counted(health, device_id, wear, person):
    worn = wear(person, device_id=device_id, at=utc_now())
    worn.send(worn.frame("samples", dt=1000, n=1, c={"heart_rate_bpm": [9000]}))
    assert health()["completeness"]["refused_frames"] == 1


def test_only_its_holder_is_told(client, device_id, make_person):
    response = client.get(f"/v1/devices/{device_id}/health", headers=make_person().headers)
    assert response.status_code == 404


def test_the_sessions_say_what_may_be_missing(client, person, say, device_id, wear):
    listed = client.get("/v1/sessions", headers=person.headers).json
    assert listed["items"] == []
    assert listed["unsynced"] == [
        {
            "device_id": device_id,
            "unsynced": "unknown",
            "backlog_frames": None,
            "complete_until": None,
        }
    ]
    say(utc_now(), queued=3)
    (waiting,) = client.get("/v1/sessions", headers=person.headers).json["unsynced"]
    assert (waiting["unsynced"], waiting["backlog_frames"]) == ("waiting", 3)
    say(utc_now(), sent=6_000, queued=0)
    assert client.get("/v1/sessions", headers=person.headers).json["unsynced"] == []
    other = wear(person).device_id
    query = {"device_id": device_id}
    listed = client.get("/v1/sessions", query_string=query, headers=person.headers).json
    assert listed["unsynced"] == []
    listed = client.get("/v1/sessions", headers=person.headers).json
    assert [one["device_id"] for one in listed["unsynced"]] == [other]


def test_a_device_that_is_kept_out_says_so(client, engine, health, device_id, person):
    path = f"/v1/devices/{device_id}"

    def shown():
        device = client.get(path, headers=person.headers).json["suspension"]
        assert health()["suspension"] == device
        listed = client.get("/v1/devices", headers=person.headers).json["items"]
        assert [one["suspension"] for one in listed] == [device]
        return device

    assert shown() is None
    now = utc_now()
    with UnitOfWork(engine) as session, session.begin():
        assert suspend(session, device_id, now)
    told = shown()
    assert told["reason"] == "flood"
    assert datetime.fromisoformat(told["suspended_at"]) == now
    assert datetime.fromisoformat(told["until"]) > now
    with UnitOfWork(engine) as session, session.begin():
        end_suspensions(session, now + timedelta(hours=1))
    assert shown() is None


def test_a_device_that_is_online_and_sends_nothing_is_hinted_at(health, say, engine, device_id):
    now = utc_now()
    say(now - timedelta(minutes=1), queued=12)
    assert health()["hint"] is None
    say(now - timedelta(minutes=5), sent=6_000, queued=12)
    assert health()["hint"] == "no-frames-arrive"
    frames = Tape(store=7).start().frames
    with UnitOfWork(engine) as session, session.begin():
        deliver_frames(session, frames, now, device_id)
    assert health()["hint"] is None
    say(now - timedelta(minutes=3), sent=7_000, queued=0)
    assert health()["hint"] is None


def test_a_device_that_is_put_out_again_and_again_is_told_of(health, say, engine, device_id):
    """A broker ends the connection of whoever sends more than it takes, and says nothing."""
    now = utc_now()
    for times in (1, 2, 3):
        assert health()["hint"] is None
        at = now - timedelta(minutes=9 - times)
        say(at, sent=times, queued=4)
        say(at + timedelta(seconds=2), sent=times, online=False)
    assert health()["hint"] == "cut-off"
    with UnitOfWork(engine) as session, session.begin():
        deliver_frames(session, Tape().start().frames, now, device_id)
    assert health()["hint"] is None
