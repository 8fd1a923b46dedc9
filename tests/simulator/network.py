"""A network of one device: it records the device's messages, and answers as a test wants."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cymba.stimulation.wire.messages import Ack, Rejection, to_json
from simulator.device import SimulatedDevice

BEGAN_AT = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()


@dataclass
class Said:
    topic: str
    message: dict[str, Any]
    qos: int
    retain: bool
    at_s: float


@dataclass
class Network:
    """Steps the device from moment to moment; answers as a server would, if it is to."""

    answers: bool = True
    reachable: bool = True
    dead: set[str] = field(default_factory=set)  # brokers that cannot be reached
    strange: set[str] = field(default_factory=set)  # of other cells
    hosts: list[str] = field(default_factory=list)  # where it connected to, or tried
    now_s: float = 0.0
    said: list[Said] = field(default_factory=list)
    wills: list[dict[str, Any]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    device: SimulatedDevice = field(init=False)
    seen: set[int] = field(default_factory=set)

    def connect(self, _device: SimulatedDevice, will: bytes) -> "Network | None":
        host = self.device.brokers.address.host
        self.hosts.append(host)
        if not self.reachable or host in self.dead:
            return None
        self.wills.append(read(will))
        return self

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> None:
        said = Said(topic.removeprefix("cymba/v1/device-0001/"), read(payload), qos, retain,
                    self.now_s)  # fmt: skip
        self.said.append(said)
        if self.hosts[-1] in self.strange and said.topic == "up/frame":
            self.turn_away(said.message["store"], said.message["seq"])
        elif self.answers and said.topic == "up/frame":
            self.seen.add(said.message["seq"])
            self.ack(said.message["store"], self.seen)

    def ack(self, store: int, seqs: set[int]) -> None:
        ack = Ack(store=store, upto=0, also=[(seq, seq) for seq in sorted(seqs)])
        self.device.on_message("ack", to_json(ack), self.now_s)

    def turn_away(self, store: int, seq: int) -> None:
        rejection = Rejection(code="other-cell", detail="it is north's", retry=True, seq=seq)
        ack = Ack(store=store, upto=0, rejected=[rejection])
        self.device.on_message("ack", to_json(ack), self.now_s)

    def close(self) -> None:
        self.ends.append("close")

    def drop(self) -> None:
        self.ends.append("drop")

    def live_until(self, until_s: float) -> None:
        while self.now_s < until_s:
            connected = len(self.wills)
            due_s = self.device.step(self.now_s)
            if len(self.wills) > connected:
                self.device.on_connected(self.now_s)
                due_s = self.device.step(self.now_s)
            self.now_s = min(max(due_s, self.now_s + 0.001), until_s)
        self.device.step(self.now_s)

    def on(self, topic: str) -> list[Said]:
        return [said for said in self.said if said.topic == f"up/{topic}"]


def read(payload: bytes) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(payload) if payload[:1] == b"{" else cbor2.loads(payload)
    return message


Join = Callable[..., Network]
