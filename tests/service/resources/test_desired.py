"""A device without a broker: it reads what is desired of it, and reports what became of that."""

from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import select

from cymba.database import UnitOfWork, utc_now
from cymba.devices import claiming
from cymba.devices.issuing import issue
from cymba.devices.messages import Desired, Programme
from cymba.devices.programme import REFUSAL_CODES
from cymba.devices.provisioning import provision, reissue_secret, revoke
from cymba.devices.publication import unpublished
from cymba.devices.rate_limits import Rate, RateLimits
from cymba.devices.signing import verify
from cymba.devices.tables import Device, UnknownVersion
from cymba.devices.unknown_versions import answer_unknown, unanswered
from cymba.settings import FIRST_CELL
from cymba.stimulation.wire.messages import to_json
from tests.service.bodies import FAINTED

pytestmark = pytest.mark.usefixtures("versions_from_one")


@pytest.fixture
def device_id(hold, person):
    return hold(person, model="neck_band")


@pytest.fixture
def secret(engine, device_id):
    with UnitOfWork(engine) as session, session.begin():
        return reissue_secret(session, device_id)


@pytest.fixture
def key(app):
    return app.extensions["cymba"].programme_key


@pytest.fixture
def set_limits(engine, device_id, person, key):
    """The person's next version, as if they were screened."""

    def narrow(**limits):
        programme = Programme(site="neck", native_level=0, duration_s=240)
        with UnitOfWork(engine) as session, session.begin():
            device = session.get_one(Device, device_id)
            wanted = (programme, limits, None)
            issue(session, key, device, wanted, account_id=person.id, set_by="person",
                  now=utc_now())  # fmt: skip

    return narrow


@pytest.fixture
def read(client, device_id, secret):
    def get(tag=None):
        path = f"/v1/devices/{device_id}/desired"
        headers = {} if tag is None else {"If-None-Match": tag}
        return client.get(path, auth=(device_id, secret), headers=headers)

    return get


@pytest.fixture
def report(client, device_id, secret):
    def put(**state):
        path = f"/v1/devices/{device_id}/reported"
        return client.put(path, json=state, auth=(device_id, secret))

    return put


@pytest.fixture
def shown(client, device_id, person):
    def get():
        return client.get(f"/v1/devices/{device_id}/programme", headers=person.headers).json

    return get


def test_it_is_the_very_message_of_the_broker(engine, read, set_limits, device_id, key):
    set_limits(native_level=5)
    set_limits(native_level=3)
    answered = read()
    with UnitOfWork(engine) as session:
        (waiting,) = unpublished(session, FIRST_CELL)
    assert answered.data == to_json(waiting.desired)
    desired = msgspec.json.decode(answered.data, type=Desired)
    assert (desired.ver, desired.limits) == (2, {"native_level": 3})
    assert verify(key.public_key(), device_id, desired)


def test_it_is_sent_again_once_it_is_another(read, set_limits):
    none = read()
    assert (none.status_code, none.data) == (204, b"")
    assert read(tag=none.headers["ETag"]).status_code == 304
    set_limits(native_level=5)
    first = read(tag=none.headers["ETag"])
    assert (first.status_code, first.json["ver"]) == (200, 1)
    assert read(tag=first.headers["ETag"]).status_code == 304
    set_limits(native_level=3)
    assert read(tag=first.headers["ETag"]).json["limits"] == {"native_level": 3}


def test_a_red_flag_and_a_release_come_as_a_limit_of_no_output(
    client, engine, read, report, person, device_id, key
):
    flagged = client.put(f"/v1/diary/{uuid4()}", json=FAINTED, headers=person.headers)
    assert flagged.status_code == 201
    locked = read().json
    assert locked["limits"] == {"native_level": 0}
    assert report(ver=locked["ver"], applied=True).status_code == 204
    with UnitOfWork(engine) as session, session.begin():
        claiming.release(session, person.id, device_id, utc_now(), key=key)
    released = read().json
    assert released["ver"] > locked["ver"]
    assert released["limits"] == {"native_level": 0}


def test_what_it_reports_is_shown_to_its_person(read, report, set_limits, shown):
    set_limits(native_level=5)
    assert not shown()["in_step"]
    assert report(ver=read().json["ver"], applied=True).status_code == 204
    assert shown()["in_step"]
    set_limits(native_level=3)
    assert report(ver=2, applied=False, code="bad-signature").status_code == 204
    state = shown()
    assert state["desired"]["refusal"] == REFUSAL_CODES["bad-signature"]
    assert state["held"]["version"] == 1


def test_a_version_that_was_never_set_is_answered_by_a_newer_one(
    client, engine, read, report, set_limits, key, device_id, person
):
    set_limits(native_level=3)
    assert report(ver=70, applied=True).status_code == 204
    told = client.get(f"/v1/devices/{device_id}", headers=person.headers).json
    assert told["unknown_programme"]["version"] == 70
    with UnitOfWork(engine) as session, session.begin():
        assert list(unanswered(session, utc_now())) == [device_id]
        answer_unknown(session, key, device_id, utc_now())
    newer = read().json
    assert (newer["ver"], newer["limits"]) == (71, {"native_level": 3})
    report(ver=71, applied=True)
    with UnitOfWork(engine) as session:
        assert session.scalars(select(UnknownVersion.settled_at)).one() is not None


def test_a_device_that_nobody_claimed_has_no_version_and_may_ask(client, engine):
    with UnitOfWork(engine) as session, session.begin():
        made = next(provision(session, "neck_band"))
    path = f"/v1/devices/{made.device_id}/desired"
    assert client.get(path, auth=(made.device_id, made.secret)).status_code == 204


def test_only_the_device_itself_asks(client, engine, read, report, device_id, person):
    path = f"/v1/devices/{device_id}/desired"
    assert client.get(path, headers=person.headers).status_code == 401
    with UnitOfWork(engine) as session, session.begin():
        revoke(session, device_id)
    assert read().status_code == 401
    assert report(ver=1, applied=True).status_code == 401


@pytest.mark.parametrize(
    "state",
    [
        {"ver": 1}, {"applied": True}, {"ver": -1, "applied": True},
        {"ver": 2**32, "applied": True},
        {"ver": 1, "applied": False, "code": "Bad"}, {"ver": 1, "applied": False, "detail": "\0"},
        {"ver": 1, "applied": True, "level": 9},
    ],
)  # fmt: skip
def test_a_report_that_is_none_changes_nothing(report, set_limits, shown, state):
    set_limits(native_level=3)
    before = shown()
    assert report(**state).status_code == 422
    assert shown() == before


def test_who_asks_far_too_often_waits(app, read, report):
    limits = RateLimits(device_messages=Rate(per_s=0.001, burst=1))
    object.__setattr__(app.extensions["cymba"], "rate_limits", limits)
    assert read().status_code == 204
    slowed = report(ver=1, applied=True)
    assert (slowed.status_code, slowed.headers["Retry-After"]) == (429, "1")
