"""Devices that all dial at the same moment, and again as soon as they are cut off, in one thread.

A frame is in flash until Cymba's ack. Whatever is there is sent at each new connection.
"""

import json
import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.mqtt_load import connect_packet, publish_packet, subscribe_packet
from cymba.devices.provisioning import Credentials
from cymba.stimulation.wire.frames import pack
from cymba.stimulation.wire.messages import Frame, to_json
from tests.end_to_end.devices import session_frames

CONNACK, PUBLISH, SUBACK = 2, 3, 9
AGAIN_S = 0.2  # at the most after it was cut off
RESEND_S = 3.0


@dataclass(eq=False)
class StormDevice:
    one: Credentials
    made: Sequence[Frame]
    flash: dict[int, bytearray] = field(default_factory=dict)  # PUBLISH packets by seq
    written: int = 0
    sent_s: dict[int, float] = field(default_factory=dict)  # over this connection
    link: socket.socket | None = None
    dial_s: float = 0.0
    is_online: bool = False
    inbound: bytearray = field(default_factory=bytearray)
    outbound: bytearray = field(default_factory=bytearray)

    def write(self, until: int) -> None:
        topic = f"cymba/v1/{self.one.device_id}/up/frame".encode()
        for frame in self.made[self.written : until]:
            self.flash[frame.seq] = publish_packet(topic, frame.seq, to_json(frame))
        self.written = max(self.written, until)

    def take(self, kind: int, body: bytes) -> None:
        if kind == CONNACK:
            assert body[1] == 0, f"the broker refuses {self.one.device_id}"
        elif kind == SUBACK:
            self.is_online = True
        elif kind == PUBLISH:
            ack = json.loads(body[2 + int.from_bytes(body[:2]) :])
            assert not ack.get("rejected"), ack
            for low, high in [(0, ack["upto"]), *ack.get("also", ())]:
                for seq in [seq for seq in self.flash if low <= seq <= high]:
                    del self.flash[seq]

    def packets(self) -> Iterator[tuple[int, bytes]]:
        """The whole ones that have come, which are taken off."""
        while len(self.inbound) >= 2:
            size, at = self.inbound[1] & 0x7F, 1
            while self.inbound[at] >= 0x80:
                at += 1
                if at == len(self.inbound):
                    return
                size |= (self.inbound[at] & 0x7F) << 7 * (at - 1)
            end = at + 1 + size
            if len(self.inbound) < end:
                return
            yield self.inbound[0] >> 4, bytes(self.inbound[at + 1 : end])
            del self.inbound[:end]


class Storm:
    def __init__(self, port: int, devices: Sequence[Credentials], count: int) -> None:
        """`count`: frames of each."""
        self.devices = [
            StormDevice(one, session_frames(store=1_000 + number, count=count, seed=number))
            for number, one in enumerate(devices)
        ]
        self._port, self._count, self._allowed = port, count, count
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storm", daemon=True)

    @property
    def online(self) -> int:
        return sum(device.is_online for device in self.devices)

    @property
    def in_flash(self) -> int:
        return sum(len(device.flash) for device in self.devices)

    @property
    def freed(self) -> int:
        return sum(device.written - len(device.flash) for device in self.devices)

    @property
    def done(self) -> bool:
        return self.freed == self._count * len(self.devices)

    def digests(self) -> dict[tuple[str, int, int], bytes]:
        return {
            (device.one.device_id, frame.store, frame.seq): pack(frame).digest
            for device in self.devices
            for frame in device.made
        }

    def allow(self, share: float) -> None:
        """Make no more than this share of the frames for now."""
        self._allowed = round(share * self._count)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        for device in self.devices:
            self._hang_up(device)

    def _run(self) -> None:
        while not self._stopping.is_set():
            now_s = time.monotonic()
            for device in self.devices:
                device.write(self._allowed)
                if device.link is None and now_s >= device.dial_s:
                    self._dial(device)
                elif device.is_online:
                    self._send_due(device, now_s)
            for key, events in self._selector.select(0.02):
                try:
                    self._go_on(key.data, events)
                except OSError:
                    self._hang_up(key.data)

    def _dial(self, device: StormDevice) -> None:
        device.link = link = socket.socket()
        link.setblocking(False)
        link.connect_ex(("127.0.0.1", self._port))
        name = device.one.device_id
        device.outbound += connect_packet(name, device.one.secret)
        device.outbound += subscribe_packet(f"cymba/v1/{name}/down/ack".encode())
        self._selector.register(link, selectors.EVENT_READ | selectors.EVENT_WRITE, device)

    def _send_due(self, device: StormDevice, now_s: float) -> None:
        for seq, packet in device.flash.items():
            if now_s - device.sent_s.get(seq, -RESEND_S) >= RESEND_S:
                device.sent_s[seq] = now_s
                device.outbound += packet
        if device.outbound:
            self._await(device, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _go_on(self, device: StormDevice, events: int) -> None:
        assert device.link is not None
        if events & selectors.EVENT_WRITE:
            del device.outbound[: device.link.send(device.outbound)]
            if not device.outbound:
                self._await(device, selectors.EVENT_READ)
        if events & selectors.EVENT_READ:
            received = device.link.recv(65_536)
            if not received:
                raise ConnectionResetError
            device.inbound += received
            for kind, body in device.packets():
                device.take(kind, body)

    def _await(self, device: StormDevice, events: int) -> None:
        assert device.link is not None
        self._selector.modify(device.link, events, device)

    def _hang_up(self, device: StormDevice) -> None:
        if device.link is not None:
            self._selector.unregister(device.link)
            device.link.close()
        device.link, device.is_online = None, False
        device.sent_s.clear()
        device.inbound.clear()
        device.outbound.clear()
        device.dial_s = time.monotonic() + random.uniform(0, AGAIN_S)
