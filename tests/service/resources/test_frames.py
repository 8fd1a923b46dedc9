"""The HTTP gateway: the same frames, key and acknowledgement as over MQTT."""

import base64
import json
import threading
import time
from hashlib import sha256
from uuid import uuid4

import cbor2
import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.exc import OperationalError

from cymba.accounts.rate_limiter import Bucket
from cymba.database import UnitOfWork, utc_now
from cymba.devices.provisioning import provision, reissue_secret, revoke
from cymba.devices.quotas import BUCKETS, PORTIONS, QUARANTINED, SESSIONS, Quota
from cymba.devices.rate_limits import Rate, RateLimits
from cymba.devices.tables import DeviceTenure
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.tables import AckLedgerRow, QuarantinedFrame, StoredFrame
from service import create_app
from service.http.services import Services
from service.resources import frames as resource
from tests.stimulation.worker_steps import summarise_due

SEQUENCE = "application/cbor-seq"


@pytest.fixture
def worn(wear, person):
    """A session with one frame, the start, that came over MQTT."""
    return wear(person)


@pytest.fixture
def path(worn):
    return f"/v1/devices/{worn.device_id}/frames"


@pytest.fixture
def upload(client, path, person):
    def send(frames, headers=person.headers):
        content = {"Content-Type": "application/json"}
        return client.post(path, data=json.dumps(frames), headers={**headers, **content})

    return send


@pytest.fixture
def secret(engine, worn):
    with UnitOfWork(engine) as session, session.begin():
        return reissue_secret(session, worn.device_id)


def basic(device_id, secret):
    given = base64.b64encode(f"{device_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {given}"}


def count(engine, table=StoredFrame):
    with UnitOfWork(engine) as session:
        return session.scalar(select(func.count()).select_from(table))


def test_a_backlog_is_stored_and_acked(client, engine, upload, worn, person):
    frames = [worn.samples_frame() for _ in range(5)]
    assert upload(frames).json == {"acks": [{"store": worn.STORE, "upto": 6}]}
    assert count(engine) == 6
    assert upload(frames).json == {"acks": [{"store": worn.STORE, "upto": 6}]}
    assert count(engine) == 6
    with UnitOfWork(engine) as session, session.begin():
        summarise_due(session, now=utc_now())
    shown = client.get(f"/v1/sessions/{worn.id}", headers=person.headers).json
    assert shown["sample_count"] == 50


def test_json_and_cbor_are_the_same_frames(client, engine, upload, path, worn, person):
    frames = [worn.samples_frame() for _ in range(3)]
    sequence = b"".join(cbor2.dumps(frame) for frame in frames)
    headers = {**person.headers, "Content-Type": SEQUENCE}
    acks = client.post(path, data=sequence, headers=headers).json
    assert acks == {"acks": [{"store": worn.STORE, "upto": 4}]}
    assert upload(frames).json == acks
    assert count(engine) == 4
    assert count(engine, QuarantinedFrame) == 0


def test_a_bad_frame_costs_only_itself(engine, upload, worn):
    good, bad, later = (worn.samples_frame() for _ in range(3))
    bad["c"]["heart_rate_bpm"][3] = "fast"
    (ack,) = upload([good, bad, later]).json["acks"]
    assert ack["upto"] == 4
    (rejected,) = ack["rejected"]
    assert (rejected["seq"], rejected["code"], rejected["retry"]) == (bad["seq"], "schema", False)
    assert count(engine) == 3
    assert count(engine, QuarantinedFrame) == 1


@pytest.mark.parametrize("item", [1, None, "text", [], True, {}, {"v": 2}])
def test_whatever_stands_in_the_array_is_answered(upload, item):
    (ack,) = upload([item]).json["acks"]
    (rejected,) = ack["rejected"]
    assert rejected["payload"] == sha256(json.dumps(item).encode()).hexdigest()[:16]
    assert not rejected["retry"]


def test_frames_that_nobody_can_tell_apart_are_sent_again_one_by_one(
    client, engine, path, worn, person
):
    frames = [cbor2.dumps(worn.samples_frame()) for _ in range(3)]
    headers = {**person.headers, "Content-Type": SEQUENCE}
    poison = b"\xa1\x1c" + frames[1]  # 0x1c begins nothing
    first, rest = client.post(path, data=frames[0] + poison + frames[2], headers=headers).json[
        "acks"
    ]
    assert first["upto"] == 2
    assert rest["rejected"][0]["payload"] == sha256(poison + frames[2]).hexdigest()[:16]
    (ack,) = client.post(path, data=poison, headers=headers).json["acks"]
    assert ack["rejected"][0]["payload"] == sha256(poison).hexdigest()[:16]
    (ack,) = client.post(path, data=frames[2], headers=headers).json["acks"]
    assert ack == {"store": worn.STORE, "upto": 2, "also": [[4, 4]]}
    assert count(engine) == 3


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 400),
        (b"[{]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "text/plain", 415),
        (b"[" + b"1," * 1_000 + b"1]", "application/json", 422),
        (b"\0" * (4 * 1024 * 1024 + 1), SEQUENCE, 413),
    ],
)
def test_a_body_that_is_no_upload_stores_nothing(
    client, engine, path, person, body, content_type, status
):
    headers = {**person.headers, "Content-Type": content_type}
    assert client.post(path, data=body, headers=headers).status_code == status
    assert count(engine) == 1
    assert count(engine, QuarantinedFrame) == 0


def test_nothing_uploaded_is_nothing_acked(client, upload, path, person):
    assert upload([]).json == {"acks": []}
    headers = {**person.headers, "Content-Type": SEQUENCE}
    assert client.post(path, data=b"", headers=headers).json == {"acks": []}


def test_a_device_uploads_by_its_own_secret(engine, upload, worn, secret):
    frames = [worn.samples_frame()]
    assert upload(frames, headers=basic(worn.device_id, secret)).json["acks"][0]["upto"] == 2
    for wrong in (
        basic(worn.device_id, secret + "x"),
        basic("ey00000000000000", secret),
        basic(f"{worn.device_id}\0", secret),
        {"Authorization": "Basic nonsense"},
        {"Authorization": "Basic "},
        {},
    ):
        assert upload(frames, headers=wrong).status_code == 401
    with UnitOfWork(engine) as session, session.begin():
        revoke(session, worn.device_id)
    assert upload(frames, headers=basic(worn.device_id, secret)).status_code == 401


def test_a_device_uploads_for_itself_alone(client, engine, hold, person, worn, secret):
    other = hold(person)
    headers = basic(worn.device_id, secret)
    response = client.post(f"/v1/devices/{other}/frames", json=[{}], headers=headers)
    assert response.status_code == 404
    assert count(engine, QuarantinedFrame) == 0


def test_only_the_holder_uploads(upload, engine, worn, make_person):
    frames = [worn.samples_frame()]
    assert upload(frames, headers=make_person().headers).status_code == 404
    assert count(engine) == 1


def test_nobodys_device_keeps_its_frames(engine, upload, worn, secret):
    frames = [worn.samples_frame()]
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(DeviceTenure).values(released_at=utc_now()))
    assert upload(frames).status_code == 404
    (ack,) = upload(frames, headers=basic(worn.device_id, secret)).json["acks"]
    (rejected,) = ack["rejected"]
    assert (rejected["code"], rejected["retry"]) == ("not-claimed", True)
    assert count(engine) == 1


def test_a_phone_and_the_device_at_once_leave_each_frame_once(
    app, settings, engine, path, worn, person
):
    """Two API processes' worth of applications and a bridge's transactions, all at once."""
    frames = [worn.samples_frame() for _ in range(200)]
    payloads = [json.dumps(frame).encode() for frame in frames]
    begun = threading.Barrier(4)
    statuses, failures = [], []

    def phone(application, step):
        client = application.test_client()
        begun.wait()
        for at in range(0, len(frames), step):
            answer = client.post(path, json=frames[at : at + step], headers=person.headers)
            statuses.append(answer.status_code)

    def device():
        begun.wait()
        for at in range(0, len(payloads), 15):
            part = payloads[at : at + 15][::-1]
            deliveries = [Delivery(worn.device_id, one, utc_now(), True) for one in part]
            with UnitOfWork(engine) as session, session.begin():
                ingest(session, deliveries)

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001 - told below, whatever it is
            failures.append(error)

    runs = [(phone, app, 20), (phone, create_app(settings, engine), 33), (device,), (device,)]
    threads = [threading.Thread(target=guarded, args=run) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(statuses) == {200}
    assert count(engine) == 1 + len(frames)
    assert count(engine, QuarantinedFrame) == 0
    with UnitOfWork(engine) as session:
        resolved = session.scalars(select(AckLedgerRow.resolved)).one()
    assert [(one.lower, one.upper) for one in resolved] == [(1, len(frames) + 2)]


def slow_down(app, **rates):
    edge: Services = app.extensions["cymba"]
    object.__setattr__(edge, "rate_limits", RateLimits(**rates))


def test_a_backlog_is_slowed_down_not_cut_off(app, engine, upload, worn):
    slow_down(app, device_frames=Rate(per_s=0.5, burst=4))
    frames = [worn.samples_frame() for _ in range(8)]
    assert upload(frames[:1]).json == {"acks": [{"store": worn.STORE, "upto": 2}]}
    stored, refused = upload(frames[1:]).json["acks"]
    assert stored == {"store": worn.STORE, "upto": 5, "max_frames_per_s": 0.5}
    assert len(refused["rejected"]) == 4
    assert {(one["code"], one["retry"]) for one in refused["rejected"]} == {("rate", True)}
    names = [one["payload"] for one in refused["rejected"]]
    sent = [json.dumps(frame).encode() for frame in frames[4:]]
    assert names == [sha256(payload).hexdigest()[:16] for payload in sent]
    held_off = upload(frames[4:])
    assert held_off.status_code == 429
    assert held_off.headers["Retry-After"] == "2"
    assert count(engine) == 5


def test_all_devices_of_an_account_share_its_rate(app, client, wear, person, make_person):
    slow_down(app, account_frames=Rate(per_s=0.1, burst=3))
    other = make_person()
    first, second, others = wear(person), wear(person), wear(other)
    for worn, holder, expected in (
        (first, person, 200),
        (second, person, 200),
        (first, person, 200),
        (second, person, 429),
        (others, other, 200),
    ):
        frames = [worn.samples_frame()]
        path = f"/v1/devices/{worn.device_id}/frames"
        assert client.post(path, json=frames, headers=holder.headers).status_code == expected


def test_what_a_device_may_begin_is_bounded_here_too(app, engine, upload, worn):
    edge: Services = app.extensions["cymba"]
    bounds = Quota(
        {**BUCKETS, SESSIONS: Bucket(2, 1_000), QUARANTINED: Bucket(600, 1_000)},
        portions=dict.fromkeys(PORTIONS, 0.0),
    )
    object.__setattr__(edge, "quota", bounds)
    frames = [worn.samples_frame() | {"sid": str(uuid4())} for _ in range(3)]
    (ack,) = upload(frames).json["acks"]
    assert ack["upto"] == 3  # with the start, which came over MQTT
    assert [(one["code"], one["retry"]) for one in ack["rejected"]] == [("rate", True)]
    broken = [{"v": 1, "store": 7, "seq": 100 + i, "kind": f"unknown-{i}"} for i in range(2)]
    (ack,) = upload(broken).json["acks"]
    assert [one["code"] for one in ack["rejected"]] == ["schema", "rate"]
    assert count(engine) == 3
    assert count(engine, QuarantinedFrame) == 1


def test_what_could_not_be_stored_takes_nothing_of_what_a_device_may_begin(
    app, engine, upload, worn
):
    edge: Services = app.extensions["cymba"]
    object.__setattr__(edge, "quota", Quota(session_bytes=1_000))
    frame = worn.samples_frame() | {"sid": str(uuid4())}
    left = 2

    def fail(*_):
        nonlocal left
        if left:
            left -= 1
            raise OperationalError("COMMIT", None, Exception("No space left on device"))

    event.listen(edge.engine, "commit", fail)
    answers = [upload([frame]) for _ in range(3)]
    event.remove(edge.engine, "commit", fail)
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert count(engine) == 2  # with the start, which came over MQTT


def test_a_device_that_was_never_claimed_is_nobodys(client, engine, person):
    with UnitOfWork(engine) as session, session.begin():
        made = next(provision(session, "ear_cymba"))
    path = f"/v1/devices/{made.device_id}/frames"
    assert client.post(path, json=[{}], headers=person.headers).status_code == 404
    (ack,) = client.post(path, json=[{}], headers=basic(made.device_id, made.secret)).json["acks"]
    assert ack["rejected"][0]["code"] == "not-claimed"


def test_what_had_to_be_rejected_is_its_senders_to_pay(app, engine, upload, worn):
    slow_down(app, device_bytes=Rate(per_s=100, burst=10_000))
    good, more = worn.samples_frame(), worn.samples_frame()
    assert upload([good]).status_code == 200
    assert upload([{"v": 1, "store": 7, "seq": 9, "x": "x" * 2_000}]).status_code == 200
    held_off = upload([more])
    assert held_off.status_code == 429
    assert int(held_off.headers["Retry-After"]) > 60
    assert count(engine) == 2


@pytest.mark.parametrize("reason", ["nobody's device", "in debt"])
def test_who_may_not_send_gets_nothing_read(
    app, client, path, worn, make_person, person, monkeypatch, reason
):
    sender = person if reason == "in debt" else make_person()
    app.extensions["cymba"].rate_limits.charge_rejected(worn.device_id, 10**9, time.monotonic())

    def read(*_):
        raise AssertionError

    monkeypatch.setattr(resource, "split_cbor", read)
    headers = {**sender.headers, "Content-Type": SEQUENCE}
    response = client.post(path, data=b"\x9f" * 50_000, headers=headers)
    assert response.status_code == (429 if reason == "in debt" else 404)
