"""The store on its way to the server: by HTTP, and as a device on a broker."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from cymba.broker_address import BrokerAddress
from cymba.devices.messages import Desired, Relocation
from cymba.devices.signing import sign
from cymba.stimulation.wire.messages import Ack, Rejection, to_json
from firmware.flash import Pace
from gateway.limits import Allowed, NotAllowed
from gateway.network import http
from gateway.network.http import HttpUplink
from gateway.network.mqtt import BrokerUplink
from gateway.store import FrameStore
from tests.gateway.test_limits import CONFIG, KEY, allowed, desired
from tests.gateway.test_store import write

ONLINE = replace(CONFIG, server="http://cymba.example.org")
HASTY = Pace(resend_after_s=0.02, resend_at_most_s=0.02)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FrameStore:
    monkeypatch.setattr(http, "LOOKS_EVERY_S", 0)
    store = FrameStore(tmp_path)
    store.begin_boot()
    return store


class Server:
    def __init__(self) -> None:
        self.heard: list[list[dict[str, Any]]] = []
        self.answers: list[httpx.Response | Exception] = []  # to frames
        self.asked: list[httpx.Request] = []
        self.desired: Desired | httpx.Response | Exception = httpx.Response(204)
        self.takes_reports = True
        self.reports: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        match request.url.path.rpartition("/")[2]:
            case "desired":
                return self.give_desired(request)
            case "reported":
                self.reports.append(json.loads(request.content))
                return httpx.Response(204 if self.takes_reports else 503)
            case _:
                return self.take_frames(request)

    def give_desired(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self.desired, Exception):
            raise self.desired
        if isinstance(self.desired, httpx.Response):
            return self.desired
        content = to_json(self.desired)
        tag = f'"{sha256(content).hexdigest()}"'
        if request.headers.get("If-None-Match") == tag:
            return httpx.Response(304)
        return httpx.Response(200, content=content, headers={"ETag": tag})

    def take_frames(self, request: httpx.Request) -> httpx.Response:
        frames = json.loads(request.content)
        self.heard.append(frames)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer or acked(frames[0]["store"], max(one["seq"] for one in frames))


def acked(store: int, upto: int, **more: Any) -> httpx.Response:
    ack = Ack(store=store, upto=upto, **more)
    return httpx.Response(200, content=b'{"acks":[' + to_json(ack) + b"]}")


def uplink_to(server: Server, store: FrameStore) -> HttpUplink:
    transport = httpx.MockTransport(server)
    return HttpUplink(ONLINE, store, store.boot(), HASTY, transport=transport)


def test_what_is_acknowledged_is_freed_and_nothing_else(store: FrameStore) -> None:
    write(store, 3)
    server = Server()
    server.answers = [acked(store.number, 2)]
    uplink = uplink_to(server, store)
    uplink.step_once()
    assert [frame.seq for _, frame in store.frames_after(0)] == [3]
    while len(store):
        uplink.step_once()
    assert [[one["seq"] for one in frames] for frames in server.heard] == [[1, 2, 3], [3]]
    assert all("sent" in one for frames in server.heard for one in frames)
    paths = [request.url.path for request in server.asked]
    root = f"/v1/devices/{CONFIG.device_id}"
    assert paths == [f"{root}/desired", f"{root}/frames", f"{root}/frames"]
    assert all(one.headers["Authorization"].startswith("Basic ") for one in server.asked)


def test_the_same_frames_are_sent_again_after_any_failure(store: FrameStore) -> None:
    write(store, 2)
    server = Server()
    server.answers = [
        httpx.ConnectError("no route"), httpx.Response(503), httpx.Response(200, content=b"{"),
        httpx.Response(401),
    ]  # fmt: skip
    uplink = uplink_to(server, store)
    while server.answers:
        uplink.step_once()
        assert len(store) == 2
    while len(store):
        uplink.step_once()
    contents = [json.dumps({**one, "sent": 0}) for frames in server.heard for one in frames]
    assert len(set(contents)) == 2
    assert min(contents.count(one) for one in contents) >= 2
    assert store.told == "Online: what is recorded is sent to the server."


def test_what_is_left_of_an_earlier_run_is_sent_without_sent(store: FrameStore) -> None:
    write(store, 1)
    store.begin_boot()  # the frame is of boot 1
    server = Server()
    uplink_to(server, store).step_once()
    assert "sent" not in server.heard[0][0]


def test_a_number_that_is_taken_renews_the_store_and_a_refusal_is_told(store: FrameStore) -> None:
    write(store, 1)
    before = store.number
    server = Server()
    refused = Rejection(code="key-reuse", detail="other content", retry=False, seq=1)
    server.answers = [acked(before, 1, rejected=[refused])]
    uplink_to(server, store).step_once()
    store.renew_if_due()
    assert store.number != before
    assert "key-reuse" in str(store.told)


@pytest.fixture
def asks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ASKS_EVERY_S", 0)
    monkeypatch.setattr(http, "ASKS_AGAIN_AFTER_S", 0)


@pytest.mark.usefixtures("asks_each_time")
def test_limits_over_http_are_kept_and_hold_without_a_network(
    store: FrameStore, tmp_path: Path
) -> None:
    server = Server()
    server.desired = desired(ver=5, limits={"native_level": 3})
    uplink = uplink_to(server, store)
    uplink.step_once()
    uplink.step_once()
    assert [one["ver"] for one in server.reports] == [5]  # nothing was new the second time
    assert str(store.told).startswith("Version 5 of your programme")
    server.desired = httpx.ConnectError("no route")
    uplink.step_once()
    assert allowed(store, ONLINE) == Allowed(highest_level=3, longest_s=240)
    assert allowed(FrameStore(tmp_path), ONLINE) == Allowed(highest_level=3, longest_s=240)
    server.desired = desired(ver=6, limits={"native_level": 0})
    uplink.step_once()
    assert isinstance(allowed(store, ONLINE), NotAllowed)
    assert server.reports[-1] == {"ver": 6, "applied": True}


@pytest.mark.usefixtures("asks_each_time")
def test_what_is_not_the_servers_is_refused_over_http_too(store: FrameStore) -> None:
    server = Server()
    server.desired = desired(ver=5, limits={"native_level": 3})
    uplink = uplink_to(server, store)
    uplink.step_once()
    for wider in (
        replace(desired(ver=6, limits={"native_level": 3}), limits={"native_level": 9}),
        sign(KEY, "band-0002", replace(desired(ver=6), signature=None)),
        desired(ver=4, limits={"native_level": 9}),
    ):
        server.desired = wider
        uplink.step_once()
        assert allowed(store, ONLINE) == Allowed(highest_level=3, longest_s=240)
    assert [(one["ver"], one.get("code")) for one in server.reports[1:]] == [
        (6, "bad-signature"), (6, "bad-signature"), (5, None),
    ]  # fmt: skip


@pytest.mark.usefixtures("asks_each_time")
def test_a_report_that_is_not_taken_is_sent_again(store: FrameStore) -> None:
    server = Server()
    server.desired, server.takes_reports = desired(ver=5), False
    uplink = uplink_to(server, store)
    uplink.step_once()
    server.takes_reports = True
    for _ in range(3):
        uplink.step_once()
    assert [(one["ver"], one["applied"]) for one in server.reports] == [(5, True)] * 2


@pytest.mark.usefixtures("asks_each_time")
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404), httpx.Response(503), httpx.Response(302), httpx.Response(429),
        httpx.Response(200, content=b"<html>"), httpx.Response(200, content=b"{}"),
    ],
)  # fmt: skip
def test_a_server_that_gives_no_limits_gets_the_frames_and_is_told_of(
    store: FrameStore, answer: httpx.Response
) -> None:
    store.hold(to_json(desired(limits={"native_level": 2})))
    write(store, 2)
    server = Server()
    server.desired = answer
    uplink = uplink_to(server, store)
    while len(store):
        uplink.step_once()
    assert "Online" in str(store.told)
    assert "those that are kept here hold" in str(store.told)
    assert allowed(store, ONLINE) == Allowed(highest_level=2, longest_s=240)
    assert server.reports == []


def test_a_desk_on_a_broker_is_a_device_of_the_protocol(store: FrameStore, tmp_path: Path) -> None:
    published: list[tuple[str, dict[str, Any], int, bool]] = []

    class Broker:
        def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> None:
            published.append((topic, json.loads(payload), qos, retain))

        def close(self) -> None:
            pass

        drop = close

    uplink = BrokerUplink(CONFIG, FrameStore(tmp_path), store.boot())
    wills: list[bytes] = []
    uplink._connect = lambda will: wills.append(will) or Broker()
    write(store, 2)
    uplink.step_once()
    uplink.on_connected(0.0)
    uplink.on_message("ack", to_json(Ack(store=store.number, upto=0)), 0.0)
    uplink.step_once()
    (topic, presence, qos, retain), *frames = published
    assert topic == f"cymba/v1/{CONFIG.device_id}/up/presence"
    assert (presence["model"], presence["queued"], qos, retain) == ("neck_band", 2, 1, True)
    assert "battery_pct" not in presence  # it tells volts, and no share
    assert json.loads(wills[0])["sent"] == presence["sent"]
    sent = [message for topic, message, *_ in frames if topic.endswith("/frame")]
    assert [one["seq"] for one in sent] == [1, 2]
    uplink.on_message("ack", to_json(Ack(store=store.number, upto=2)), 0.0)
    assert len(store) == 0


def test_a_desk_goes_to_the_broker_that_it_is_told_of_and_says_where_it_came_back(
    tmp_path: Path, store: FrameStore
) -> None:
    class Broker:
        def publish(self, *_: object, **_more: object) -> None: ...
        def close(self) -> None: ...
        def drop(self) -> None: ...

    tried: list[str] = []
    uplink = BrokerUplink(CONFIG, FrameStore(tmp_path), store.boot())

    def connect(uplink: BrokerUplink, *, reached: bool) -> None:
        uplink._connect = lambda _will: tried.append(uplink.brokers.address.host) or Broker()
        uplink._connects_at_s = 0.0
        uplink.step_once()
        (uplink.on_connected if reached else uplink.on_lost)(0.0)

    connect(uplink, reached=True)
    there = sign(KEY, CONFIG.device_id, Relocation(at=5, broker="mqtts://north.example.org"))
    uplink.on_message("broker", to_json(there), 0.0)
    again = BrokerUplink(CONFIG, FrameStore(tmp_path), store.boot())  # after a crash
    again.on_message("broker", to_json(there), 0.0)  # retained: nothing new
    for _ in range(5):
        connect(again, reached=False)
    connect(again, reached=True)
    home = BrokerAddress.parse(CONFIG.server).host
    assert tried == [home, *["north.example.org"] * 5, home]
    assert str(store.told).endswith("the earlier one is used.")
