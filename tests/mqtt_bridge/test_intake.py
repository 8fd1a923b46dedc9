"""What the network thread does with a message: queued, answered, held off, or made to wait."""

import time

import pytest

from cymba.devices.rate_limits import Rate, RateLimits
from cymba.stimulation.wire.messages import Presence, TimeRequest, to_json
from mqtt_bridge import rate_limits
from mqtt_bridge.delivery_queue import DeliveryQueue
from mqtt_bridge.intake import MOST_WAITING, Intake
from mqtt_bridge.loopback_probe import LoopbackProbe
from mqtt_bridge.metrics import BridgeMetrics
from mqtt_bridge.network import Arrival
from mqtt_bridge.packets import Message
from mqtt_bridge.rate_limits import IncomingRateLimits


class FakeLine:
    """In place of the connection: what was acked and published."""

    client_id = "bridge-0"

    def __init__(self) -> None:
        self.acked: list[tuple[int, int]] = []
        self.published: list[str] = []

    def ack(self, deliveries: list[tuple[int, int]]) -> None:
        self.acked += deliveries

    def answer(
        self, messages: list[tuple[bytes, bytes]], deliveries: list[tuple[int, int]]
    ) -> None:
        self.published += [topic.decode() for topic, _ in messages]
        self.acked += deliveries

    def publish(self, topic: str, _payload: bytes, *, qos: int = 0) -> bool:
        del qos
        self.published.append(topic)
        return True


class IntakeBench:
    def __init__(self, clock: list[float], burst: int) -> None:
        self.clock = clock
        self.line = FakeLine()
        self.queue = DeliveryQueue()
        self.metrics = BridgeMetrics()
        self.limits = IncomingRateLimits({}, RateLimits(device_messages=Rate(per_s=1, burst=burst)))
        self.echoes = LoopbackProbe()
        self._intake = Intake(self.queue, self.echoes, self.limits, self.metrics)
        self._packet_id = 0

    def say(self, subject: str, payload: bytes, device_id: str = "flood-001") -> int:
        """Its packet id, 0 for the clock's, which want no ack."""
        self._packet_id += subject != "time"
        packet_id = 0 if subject == "time" else self._packet_id
        self._receive(f"cymba/v1/{device_id}/up/{subject}", payload, packet_id)
        return packet_id

    def probe(self) -> None:
        self._receive("cymba/bridge/bridge-0/echo", b"1", 0)

    def queued(self) -> list[bytes]:
        return [one.payload for one in self.queue.take(1000)] if len(self.queue) else []

    def dropped(self, subject: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "cymba_bridge_messages_held_off_total", {"subject": subject}
        )

    def _receive(self, topic: str, payload: bytes, packet_id: int) -> None:
        self.receive(Message(topic.encode(), payload, packet_id, 0x32 if packet_id else 0x30))

    def receive(self, *messages: Message) -> None:
        arrival = Arrival(time.time_ns(), list(messages))
        self._intake.received(self.line, 1, arrival)  # type: ignore[arg-type]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> IntakeBench:
    """With room for three messages of a device, and another each second."""
    clock = [100.0]
    monkeypatch.setattr("mqtt_bridge.rate_limits.time.monotonic", lambda: clock[0])
    return IntakeBench(clock, burst=3)


def online(sent: int, *, online: bool = True) -> bytes:
    return to_json(Presence(online=online, store=5, boot=1, sent=sent))


def test_of_too_many_only_the_newest_waits_for_its_turn(bench: IntakeBench) -> None:
    ids = [bench.say("presence", online(sent)) for sent in range(10)]
    assert bench.queued() == [online(0), online(1), online(2)]
    # The writer acks what is queued; of the rest all that was replaced is done with.
    assert bench.line.acked == [(1, packet_id) for packet_id in ids[3:9]]
    assert bench.dropped("presence") == 6
    bench.probe()
    assert bench.queued() == []
    bench.clock[0] += 1
    bench.probe()
    assert bench.queued() == [online(9)]


def test_frames_are_queued_in_the_order_that_they_came_in(bench: IntakeBench) -> None:
    """However they are mixed, with what is known of each: only one that did not wait on its way was
    sent just now."""
    bench.echoes.settled = True
    frames = [
        Message(b"cymba/v1/device-00%d/up/frame" % (1 + number % 2), b"%d" % number, number, flags)
        for number, flags in enumerate((0x32, 0x3A, 0x33, 0x32), start=1)
    ]
    bench.receive(*frames)
    assert [
        (one.device_id, one.payload, one.packet_id, one.settled, one.retained)
        for one in bench.queue.take(9)
    ] == [
        ("device-002", b"1", 1, True, False),
        ("device-001", b"2", 2, False, False),
        ("device-002", b"3", 3, False, True),
        ("device-001", b"4", 4, True, False),
    ]
    assert bench.metrics.registry.get_sample_value("cymba_bridge_resent_total") == 1


def test_the_last_word_of_each_subject_waits(bench: IntakeBench) -> None:
    for sent in range(5):
        bench.say("presence", online(sent))
    bench.say("state", b"one")
    bench.say("presence", online(4, online=False))
    bench.say("state", b"two")
    bench.queued()
    bench.clock[0] += 10
    bench.probe()
    assert bench.queued() == [online(4, online=False), b"two"]


def test_what_goes_on_replaces_what_waits(bench: IntakeBench) -> None:
    ids = [bench.say("presence", online(sent)) for sent in range(4)]
    bench.clock[0] += 1
    bench.say("presence", online(4))
    assert bench.queued() == [online(0), online(1), online(2), online(4)]
    assert (1, ids[3]) in bench.line.acked
    bench.clock[0] += 10
    bench.probe()
    assert bench.queued() == []


def test_few_wait_so_that_the_brokers_window_stays_open(bench: IntakeBench) -> None:
    devices = [f"flood-{number:03}" for number in range(MOST_WAITING + 2)]
    for device_id in devices:
        for sent in range(4):
            bench.say("presence", online(sent), device_id)
    # The first two that waited were let on, none was dropped.
    queued = bench.queued()
    assert len(queued) == 3 * len(devices) + 2
    assert queued.count(online(3)) == 2
    assert bench.dropped("presence") in {None, 0}
    bench.clock[0] += 1
    bench.probe()
    assert bench.queued() == [online(3)] * MOST_WAITING


def test_presence_that_is_taken_off_the_broker_says_nothing(bench: IntakeBench) -> None:
    waits = [bench.say("presence", online(sent)) for sent in range(4)]
    emptied = bench.say("presence", b"")
    bench.clock[0] += 10
    emptied_later = bench.say("presence", b"")
    bench.probe()
    assert bench.queued() == [online(sent) for sent in range(4)]
    assert bench.line.acked[:2] == [(1, emptied), (1, emptied_later)]
    assert (1, waits[3]) not in bench.line.acked


def test_too_many_clock_requests_are_not_answered(bench: IntakeBench) -> None:
    for u1 in range(10):
        bench.say("time", to_json(TimeRequest(boot=1, u1=u1)))
    assert bench.line.published == ["cymba/v1/flood-001/down/time"] * 3
    assert bench.dropped("time") == 7
    bench.say("time", to_json(TimeRequest(boot=1, u1=1)), device_id="honest-1")
    assert bench.line.published[-1] == "cymba/v1/honest-1/down/time"


@pytest.mark.parametrize("subject", ["presence", "state", "time"])
def test_a_flood_of_any_message_is_a_flood(bench: IntakeBench, subject: str) -> None:
    for _ in range(rate_limits.FLOOD_FRAMES + 10):
        bench.say(subject, b"{}")
    assert list(bench.limits.flooding) == ["flood-001"]


def test_frames_do_not_use_up_the_other_messages_room(bench: IntakeBench) -> None:
    for _ in range(100):
        bench.say("frame", b"{}")
    bench.queued()
    bench.say("presence", online(1))
    assert bench.queued() == [online(1)]
