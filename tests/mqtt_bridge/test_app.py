"""The bridge whole, over a real broker and a real database."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta

import cbor2
import msgspec
import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from cymba.database import utc_now
from cymba.devices.provisioning import Credentials
from cymba.devices.rate_limits import DEVICE_MESSAGES
from cymba.devices.tables import ClockAnchor, DevicePresence
from cymba.settings import Settings
from cymba.stimulation.tables import QuarantinedFrame
from cymba.stimulation.wire.messages import (
    Ack,
    Presence,
    ReportedState,
    TimeReply,
    TimeRequest,
    to_cbor,
    to_json,
)
from mqtt_bridge import app, loopback_probe
from mqtt_bridge.app import Bridge
from mqtt_bridge.intake import Intake
from ops.metrics_server import serving
from tests.end_to_end.devices import ScriptedFleet, session_frames
from tests.end_to_end.parts import PATIENCE_S, Broker, MosquittoBroker, wait_until
from tests.free_ports import free_port
from tests.mqtt_bridge.conftest import MakeBridge, MakeTalker, RunningBridge

StoredSeqs = Callable[[str], list[int]]


def hear_ack(payload: bytes) -> Ack:
    return msgspec.json.decode(payload, type=Ack)


def metric(bridge: RunningBridge, name: str, **labels: str) -> float:
    registry = bridge.bridge.metrics.registry
    return registry.get_sample_value(f"cymba_bridge_{name}", labels) or 0


def test_a_frame_is_stored_and_acked_in_the_form_it_came(
    make_bridge: MakeBridge, devices: list[Credentials], talk: MakeTalker, stored_seqs: StoredSeqs
) -> None:
    make_bridge()
    talker = talk(devices[0])
    first, second, third = session_frames(5, 3, 1)
    talker.say("frame", to_json(first))
    assert hear_ack(talker.hear("ack")) == Ack(store=5, upto=1)
    talker.say("frame", to_cbor(third))
    assert cbor2.loads(talker.hear("ack")) == {"store": 5, "upto": 1, "also": [[3, 3]]}
    talker.say("frame", to_json(second))
    assert hear_ack(talker.hear("ack")) == Ack(store=5, upto=3)
    assert stored_seqs(talker.device_id) == [1, 2, 3]


def test_what_cannot_be_read_is_answered_and_stops_nothing(
    make_bridge: MakeBridge,
    devices: list[Credentials],
    talk: MakeTalker,
    stored_seqs: StoredSeqs,
    session: Session,
) -> None:
    bridge = make_bridge()
    talker = talk(devices[0])
    talker.say("frame", b"\x00 no frame")
    (rejection,) = hear_ack(talker.hear("ack")).rejected
    assert (rejection.code, rejection.retry) == ("schema", False)
    for subject in ("presence", "state"):
        talker.say(subject, b"{")
    talker.say("time", b"{", qos=0)
    talker.say("state", to_json(ReportedState(ver=9, applied=True)))
    talker.say("frame", to_json(session_frames(5, 3, 1)[0]))
    assert hear_ack(talker.hear("ack")).upto == 1
    wait_until(
        lambda: metric(bridge, "messages_malformed_total", subject="state") == 1,
        what="told of",
    )  # fmt: skip
    wait_until(lambda: metric(bridge, "programmes_unknown_total") == 1, what="counted")
    assert metric(bridge, "messages_malformed_total", subject="presence") == 1
    assert metric(bridge, "messages_malformed_total", subject="time") == 1
    assert session.scalars(select(QuarantinedFrame.payload)).all() == [b"\x00 no frame"]
    assert stored_seqs(talker.device_id) == [1]


def test_a_device_that_comes_online_hears_what_is_stored_already(
    make_bridge: MakeBridge, devices: list[Credentials], talk: MakeTalker, session: Session
) -> None:
    make_bridge()
    talker = talk(devices[0])
    for frame in session_frames(5, 4, 1)[:2]:
        talker.say("frame", to_json(frame))
        talker.hear("ack")
    presence = Presence(online=True, store=5, boot=1, sent=10)
    talker.say("presence", to_json(presence), retain=True)
    assert hear_ack(talker.hear("ack")) == Ack(store=5, upto=2)
    unknown = Presence(online=True, store=6, boot=1, sent=20)
    talker.say("presence", to_json(unknown), retain=True)
    assert hear_ack(talker.hear("ack")) == Ack(store=6, upto=0)
    assert session.scalars(select(DevicePresence.online)).one()


def test_a_late_will_puts_out_no_newer_connection(
    make_bridge: MakeBridge, devices: list[Credentials], talk: MakeTalker, session: Session
) -> None:
    make_bridge()
    talker = talk(devices[0])
    for online, sent in ((True, 1_000), (True, 9_000), (False, 1_000)):
        presence = Presence(online=online, store=5, boot=1, sent=sent)
        talker.say("presence", to_json(presence), retain=True)
    # The stream is in order: once this one is answered, all of them are recorded.
    talker.say("frame", to_json(session_frames(5, 3, 1)[0]))
    while hear_ack(talker.hear("ack")).upto < 1:
        pass
    assert session.execute(select(DevicePresence.online, DevicePresence.sent_ms)).one() == (
        True,
        9_000,
    )


def test_the_clock_is_told_at_once_and_the_exchange_becomes_an_anchor(
    make_bridge: MakeBridge, devices: list[Credentials], talk: MakeTalker, session: Session
) -> None:
    make_bridge()
    talker = talk(devices[0])
    before_ms = time.time_ns() // 1_000_000
    talker.say("time", to_json(TimeRequest(boot=3, store=5, u1=1_000)), qos=0)
    reply = msgspec.json.decode(talker.hear("time"), type=TimeReply)
    after_ms = time.time_ns() // 1_000_000
    assert (reply.boot, reply.u1) == (3, 1_000)
    assert before_ms <= reply.t2 <= reply.t3 <= after_ms
    third = TimeRequest(boot=3, store=5, u1=1_000, t2=reply.t2, t3=reply.t3, u4=1_040)
    talker.say("time", to_json(third), qos=0)

    def anchors() -> list[ClockAnchor]:
        session.rollback()
        return list(session.scalars(select(ClockAnchor).where(ClockAnchor.kind == "exchange")))

    wait_until(lambda: bool(anchors()), what="the anchor is stored")
    (anchor,) = anchors()
    assert (anchor.device_id, anchor.store, anchor.boot) == (talker.device_id, 5, 3)
    assert anchor.up_ms == 1_020
    assert abs(anchor.wall_at - utc_now()) < timedelta(minutes=1)
    assert anchor.error_ms <= 25


def test_of_a_flood_of_presence_the_last_word_holds(
    make_bridge: MakeBridge, devices: list[Credentials], talk: MakeTalker, session: Session
) -> None:
    bridge = make_bridge()
    talker = talk(devices[0])
    said = 3 * int(DEVICE_MESSAGES.burst)
    for sent in range(said):
        talker.say("presence", to_json(Presence(online=True, store=5, boot=1, sent=sent)), qos=1)
    talker.say("presence", to_json(Presence(online=False, store=5, boot=1, sent=said)))

    def shown() -> tuple[bool, int] | None:
        session.rollback()
        row = session.scalar(select(DevicePresence))
        return None if row is None else (row.online, row.sent_ms)

    wait_until(lambda: shown() == (False, said), what="the will is taken in")
    assert metric(bridge, "messages_held_off_total", subject="presence") > 0


def test_a_flood_of_clock_requests_is_not_answered_for_ever(
    make_bridge: MakeBridge, devices: list[Credentials], talk: MakeTalker
) -> None:
    bridge = make_bridge()
    talker = talk(devices[0])
    for u1 in range(2 * int(DEVICE_MESSAGES.burst)):
        talker.say("time", to_json(TimeRequest(boot=1, u1=u1)), qos=0)
    wait_until(
        lambda: metric(bridge, "messages_held_off_total", subject="time") > 0,
        what="held off",
    )  # fmt: skip
    other = talk(devices[1])
    other.say("time", to_json(TimeRequest(boot=1, u1=7)), qos=0)
    assert msgspec.json.decode(other.hear("time"), type=TimeReply).u1 == 7


def test_it_leaves_only_when_all_that_it_took_in_is_acked(
    make_bridge: MakeBridge,
    devices: list[Credentials],
    talk: MakeTalker,
    engine: Engine,
    stored_seqs: StoredSeqs,
) -> None:
    """It is to stop while a lock holds up its commit; its successor gets nothing again."""
    bridge = make_bridge()
    talker = talk(devices[0])
    frames = [to_json(frame) for frame in session_frames(5, 30, 1)]
    with engine.connect() as other:
        other.execute(text("LOCK TABLE frame IN EXCLUSIVE MODE"))
        for frame in frames:
            talker.say("frame", frame)
        wait_until(lambda: bridge.bridge.writer.working, what="it waits for the lock")
        bridge.bridge.stop()
        time.sleep(0.7)
        assert not bridge.outcome
        other.rollback()
    bridge.join()
    assert bridge.outcome == ["left"]
    left = int(metric(bridge, "left_total"))
    successor = make_bridge()
    wait_until(lambda: stored_seqs(talker.device_id) == list(range(1, 31)), what="all stored")
    again = metric(successor, "frames_stored_total") + metric(successor, "frames_duplicate_total")
    assert metric(bridge, "frames_stored_total") + again == 30
    assert again == left
    assert metric(successor, "frames_duplicate_total") == 0


def test_a_hung_writer_ends_the_process(
    make_bridge: MakeBridge,
    devices: list[Credentials],
    talk: MakeTalker,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app, "STUCK_S", 1.0)
    bridge = make_bridge()
    with engine.connect() as other:
        other.execute(text("LOCK TABLE frame IN EXCLUSIVE MODE"))
        talk(devices[0]).say("frame", to_json(session_frames(5, 3, 1)[0]))
        bridge.join()
        other.rollback()
    (outcome,) = bridge.outcome
    assert outcome.startswith("failed: the writer has hung")


def test_a_dead_network_thread_ends_the_process(make_bridge: MakeBridge) -> None:
    bridge = make_bridge()
    bridge.bridge.connection._client.loop_misc = None  # type: ignore[assignment]
    bridge.join()
    (outcome,) = bridge.outcome
    assert outcome.startswith("failed: the network thread failed")


def test_a_connection_that_delivers_nothing_is_cut(
    make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the broker takes the subscription, but its access list keeps all from us."""
    monkeypatch.setattr(Intake, "received", lambda *_: None)
    monkeypatch.setattr(loopback_probe, "LOST_S", 0.5)
    bridge = make_bridge()
    wait_until(lambda: metric(bridge, "connections_total") >= 2, what="cut")
    assert metric(bridge, "echoes_lost_total") >= 1
    assert not bridge.outcome


def test_it_settles_once_its_echo_is_back(make_bridge: MakeBridge) -> None:
    bridge = make_bridge()
    wait_until(lambda: metric(bridge, "settled") == 1, what="settled")


def test_a_queue_that_is_full_holds_the_broker_back_and_loses_nothing(
    broker: Broker, engine: Engine, devices: list[Credentials], stored_seqs: StoredSeqs
) -> None:
    running = Bridge(Settings(broker_url=broker.bridge_url, bridge_batch=7), engine, 0)
    running._queue._limit = 10
    bridge = RunningBridge(running)
    fleet = ScriptedFleet.of(broker.port, devices, 300, frames_per_s=1_000, resend_s=5)
    wait_until(bridge.connected, what="connected")
    fleet.start()
    wait_until(lambda: fleet.done, what="all acked")
    fleet.stop()
    bridge.stop()
    assert [stored_seqs(one.device_id) for one in devices] == [list(range(1, 301))] * 4


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S
        ) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_health_and_metrics_tell_the_truth(
    broker: Broker, make_bridge: MakeBridge, devices: list[Credentials], talk: MakeTalker
) -> None:
    port = free_port()
    bridge = make_bridge().bridge
    with serving("127.0.0.1", port, bridge.metrics.registry, bridge.ill_health):
        talker = talk(devices[0])
        talker.say("frame", to_json(session_frames(5, 3, 1)[0]))
        talker.hear("ack")
        assert get(port, "/healthz") == (200, "ok\n")
        status, page = get(port, "/metrics")
        assert status == 200
        assert "cymba_bridge_frames_stored_total 1.0" in page
        assert talker.device_id not in page
        assert get(port, "/other")[0] == 404
        broker.stop()
        wait_until(lambda: get(port, "/healthz")[0] == 503, what="ill")
        assert get(port, "/healthz")[1] == "not connected to the broker\n"


def test_two_slots_share_the_work_and_one_takes_over_from_the_other(
    mosquitto: MosquittoBroker,
    engine: Engine,
    devices: list[Credentials],
    stored_seqs: StoredSeqs,
) -> None:
    settings = Settings(broker_url=mosquitto.bridge_url, bridge_slots=2)
    bridges = [RunningBridge(Bridge(settings, engine, slot)) for slot in (0, 1)]
    wait_until(lambda: all(bridge.connected() for bridge in bridges), what="both connected")
    wait_until(lambda: all(metric(bridge, "settled") for bridge in bridges), what="settled")
    fleet = ScriptedFleet.of(mosquitto.port, devices, 200, frames_per_s=200, resend_s=2)
    fleet.allow(0.5)
    fleet.start()
    wait_until(lambda: fleet.freed == 400, what="half is stored")
    shares = [metric(bridge, "frames_stored_total") for bridge in bridges]
    assert sum(shares) == 400
    assert min(shares) > 100
    # Each takes the fast path, although the other moves the same ledgers.
    assert min(metric(bridge, "frames_fast_total") for bridge in bridges) > 0
    bridges[0].stop()
    assert bridges[0].outcome == ["left"]
    fleet.allow(1)
    wait_until(lambda: fleet.freed > 450, what="frames flow")
    bridges[1].bridge.connection.drop()  # what it had not acked comes again
    wait_until(lambda: fleet.done, what="the other stores the rest")
    fleet.stop()
    assert metric(bridges[1], "frames_stored_total") == 800 - metric(
        bridges[0], "frames_stored_total"
    )
    bridges[1].stop()
    assert [stored_seqs(one.device_id) for one in devices] == [list(range(1, 201))] * 4


def test_a_slot_beyond_the_last_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="slot 2"):
        Bridge(Settings(bridge_slots=2), engine, 2)


def test_no_log_holds_a_reading(
    make_bridge: MakeBridge,
    devices: list[Credentials],
    talk: MakeTalker,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_bridge()
    talker = talk(devices[0])
    frame = json.loads(to_json(session_frames(5, 3, 1)[1]))
    frame["c"]["heart_rate_bpm"] = [77] * 9 + [98_765]
    talker.say("frame", json.dumps(frame).encode())
    assert hear_ack(talker.hear("ack")).rejected
    assert "98765" not in capsys.readouterr().out
