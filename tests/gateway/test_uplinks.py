"""The store on its way to the server: by HTTP, and as a device on a broker."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from cymba.stimulation.wire.messages import Ack, Rejection, to_json
from firmware.flash import Pace
from gateway.network import http
from gateway.network.http import HttpUplink
from gateway.network.mqtt import BrokerUplink
from gateway.store import FrameStore
from tests.gateway.test_limits import CONFIG
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
        self.answers: list[httpx.Response | Exception] = []
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
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
    assert server.asked[0].url.path == f"/v1/devices/{CONFIG.device_id}/frames"
    assert server.asked[0].headers["Authorization"].startswith("Basic ")


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
