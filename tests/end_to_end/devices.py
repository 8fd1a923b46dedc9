"""The least devices that keep the protocol's promise: a frame is forgotten on Cymba's ack alone."""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, Self
from uuid import UUID

import cbor2
import msgspec
from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from conformance.listener import hang_up
from cymba.broker_address import BrokerAddress
from cymba.devices.provisioning import Credentials
from cymba.stimulation.wire.frames import pack
from cymba.stimulation.wire.messages import (
    Ack,
    EndFrame,
    Frame,
    Presence,
    Programme,
    Relocation,
    SamplesFrame,
    StartFrame,
    to_cbor,
    to_json,
)

WINDOW = 20
PROGRAMME = Programme(
    frequency_hz=25.0, pulse_width_us=250, amplitude_ua=1500, on_s=30, off_s=30,
    duration_s=1800, site="cymba_conchae", side="left",
)  # fmt: skip


def session_frames(store: int, count: int, seed: int, first_seq: int = 1) -> list[Frame]:
    """A session of `count` frames: a start, samples at 1 Hz, an end."""
    draw = random.Random(seed)
    sid = UUID(int=draw.getrandbits(128), version=4)
    last_seq = first_seq + count - 1

    def frame(seq: int) -> Frame:
        identity: dict[str, Any] = {"v": 1, "store": store, "seq": seq, "boot": 1, "sid": sid}
        up = 10_000 * (seq - first_seq + 1)
        if seq == first_seq:
            return StartFrame(**identity, up=up, programme=PROGRAMME)
        if seq == last_seq:
            return EndFrame(
                **identity, up=up, reason="completed", first_seq=first_seq, last_seq=last_seq
            )
        columns: dict[str, list[int | None]] = {
            "amplitude_ua": [1500] * 10,
            "impedance_ohm": [draw.randrange(2_000, 6_000) for _ in range(10)],
            "heart_rate_bpm": [draw.randrange(60, 80) for _ in range(10)],
            "skin_temp_mc": [draw.randrange(31_000, 33_000) for _ in range(10)],
            "battery_pct": [80] * 10,
            "rr_ms": [draw.randrange(700, 1_000) for _ in range(12)],
        }
        return SamplesFrame(**identity, up=up, dt=1000, n=10, c=columns)

    return [frame(seq) for seq in range(first_seq, last_seq + 1)]


@dataclass
class UnackedFrame:
    payload: bytes
    attempts: int = 0
    due_at: float = 0.0  # of the next attempt


@dataclass
class ScriptedDevice:
    """A device that makes `frames_per_s`, frees a frame only when it is acked, and goes to another
    broker when it is told to."""

    device_id: str
    secret: str
    port: int
    made: list[Frame]
    frames_per_s: float
    resend_s: float
    cbor: bool = False
    host: str = "127.0.0.1"
    tls: SSLContext | None = None
    flash: dict[int, UnackedFrame] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)
    sent: int = 0
    resent: int = 0
    freed: int = 0

    def __post_init__(self) -> None:
        self.store = self.made[0].store
        self._lock = threading.Lock()
        self._allowed = len(self.made)
        self._making_s = 0.0
        self._ticked_at = 0.0
        self._written = 0
        self._online = False
        self._told_port: int | None = None
        self._client = self._make_client()

    def start(self) -> None:
        self._ticked_at = time.monotonic()
        self._client.connect_async(self.host, self.port, keepalive=10)
        self._client.loop_start()

    def stop(self) -> None:
        hang_up(self._client)

    @property
    def done(self) -> bool:
        with self._lock:
            return self._written == len(self.made) and not self.flash

    def allow(self, share: float) -> None:
        """Make no more than this share of the frames for now."""
        with self._lock:
            self._allowed = round(share * len(self.made))

    def digests(self) -> dict[tuple[str, int, int], bytes]:
        return {(self.device_id, self.store, frame.seq): pack(frame).digest for frame in self.made}

    def tick(self) -> None:
        """Write what has come into being to the flash, and send what is due."""
        if self._told_port is not None:
            self._relocate()
        now = time.monotonic()
        encode = to_cbor if self.cbor else to_json
        with self._lock:
            if self._written < self._allowed:
                self._making_s += now - self._ticked_at
            self._ticked_at = now
            due = min(self._allowed, int(self._making_s * self.frames_per_s))
            for frame in self.made[self._written : due]:
                self.flash[frame.seq] = UnackedFrame(encode(frame))
            self._written = max(self._written, due)
            if not self._online:
                return
            outstanding = sum(1 for waiting in self.flash.values() if waiting.attempts)
            for waiting in self.flash.values():
                if not waiting.attempts:
                    if outstanding >= WINDOW:
                        break  # the rest is newer still
                    outstanding += 1
                elif now < waiting.due_at:
                    continue
                else:
                    self.resent += 1
                doubled = self.resend_s * 2 ** min(waiting.attempts, 2)
                waiting.due_at = now + doubled * random.uniform(1, 1.25)
                waiting.attempts += 1
                self.sent += 1
                self._client.publish(self._topic("up/frame"), waiting.payload, qos=1)

    def _topic(self, tail: str) -> str:
        return f"cymba/v1/{self.device_id}/{tail}"

    def _presence(self, *, online: bool) -> bytes:
        presence = Presence(online=online, store=self.store, boot=1, sent=5_000)
        return to_cbor(presence) if self.cbor else to_json(presence)

    def _make_client(self) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=self.device_id, protocol=MQTTv311)
        client.username_pw_set(self.device_id, self.secret)
        if self.tls is not None:
            client.tls_set_context(self.tls)
        client.will_set(self._topic("up/presence"), self._presence(online=False), 1, retain=True)
        client.reconnect_delay_set(1, 2)
        client.max_queued_messages_set(WINDOW)  # the flash keeps them, not the client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _relocate(self) -> None:
        assert self._told_port is not None
        self.stop()
        self.port, self._told_port = self._told_port, None
        self._client = self._make_client()
        self.start()

    def _on_connect(
        self, client: Client, _userdata: object, _flags: object, reason: ReasonCode, *_: object
    ) -> None:
        if reason.is_failure:
            return  # it tries again
        client.subscribe([(self._topic("down/ack"), 0), (self._topic("down/broker"), 1)])
        client.publish(self._topic("up/presence"), self._presence(online=True), 1, retain=True)
        with self._lock:
            self._online = True

    def _on_disconnect(self, *_: object) -> None:
        with self._lock:
            self._online = False

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if message.topic == self._topic("down/broker"):
            if message.payload:
                told = msgspec.json.decode(message.payload, type=Relocation)
                self._told_port = BrokerAddress.parse(told.broker).port
            return
        assert message.topic == self._topic("down/ack"), "a device hears of itself alone"
        if message.payload[:1] == b"{":
            ack = msgspec.json.decode(message.payload, type=Ack)
        else:
            ack = msgspec.convert(cbor2.loads(message.payload), Ack)
        if ack.store != self.store:
            return
        with self._lock:
            freed = [seq for seq in self.flash if seq <= ack.upto]
            freed += [seq for low, high in ack.also for seq in range(low, high + 1)]
            for rejection in ack.rejected:
                self.rejected.append(f"{rejection.seq}: {rejection.code} {rejection.detail}")
            for seq in freed:
                self.freed += self.flash.pop(seq, None) is not None


class ScriptedFleet:
    """Devices with one clock: a thread that lets each do what is due."""

    def __init__(self, devices: list[ScriptedDevice]) -> None:
        self.devices = devices
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    @classmethod
    def of(
        cls,
        port: int,
        devices: Sequence[Credentials],
        count: int,
        *,
        frames_per_s: float,
        resend_s: float,
    ) -> Self:
        """Each with a store and a session of its own, of `count` frames."""
        return cls(
            [
                ScriptedDevice(
                    one.device_id, one.secret, port,
                    session_frames(store=1_000 + number, count=count, seed=number),
                    frames_per_s=frames_per_s, resend_s=resend_s,
                )
                for number, one in enumerate(devices)
            ]
        )  # fmt: skip

    @property
    def done(self) -> bool:
        return all(device.done for device in self.devices)

    @property
    def in_flash(self) -> int:
        return sum(len(device.flash) for device in self.devices)

    @property
    def freed(self) -> int:
        return sum(device.freed for device in self.devices)

    def digests(self) -> dict[tuple[str, int, int], bytes]:
        return {key: value for device in self.devices for key, value in device.digests().items()}

    def allow(self, share: float) -> None:
        for device in self.devices:
            device.allow(share)

    def start(self) -> None:
        for device in self.devices:
            device.start()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        for device in self.devices:
            device.stop()

    def _run(self) -> None:
        while not self._stopping.wait(0.01):
            for device in self.devices:
                device.tick()
