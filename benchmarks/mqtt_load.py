"""The load: a thousand devices in one process, each with a connection of its own to the broker.

python -m benchmarks.mqtt_load < plan.json > result.json

Everything is encoded beforehand, but for the time of sending within each frame. paho would spend
more on a frame than what is measured, so the few packets of MQTT 3.1.1 are written out here.
"""

import gc
import json
import random
import resource
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import msgspec
import numpy as np

WINDOW = 20  # frames outstanding, as the protocol has it
SENT_BASE_MS = 1_000_000_000  # the devices' time since boot: ten digits, all the run long
COLUMN_POOL = 500


class LoadPlan(msgspec.Struct, kw_only=True):
    port: int
    devices: list[tuple[str, str]]  # id, secret
    store: int
    frames: int  # of each device
    # "receipts": a frame counts as gone when Cymba acks it, else when the broker does.
    receipts: bool = True
    rate: float | None = None  # frames a second of all devices; None: as fast as they are freed
    idle_s: float = 5.0  # without an ack it gives up
    times_file: str | None = None  # where to write when each frame was published, and acked


@dataclass(slots=True)
class Line:
    """One device's connection."""

    device_id: str
    link: socket.socket
    packets: list[bytearray]
    sent_at: list[int]  # where in each packet the time of sending stands
    published: int = 0
    freed: int = 0
    inbound: bytearray = field(default_factory=bytearray)
    outbound: bytearray = field(default_factory=bytearray)


def columns(draw: random.Random) -> bytes:
    """Ten samples of six channels."""
    made = {
        "amplitude_ua": [1500] * 10,
        "impedance_ohm": [draw.randrange(2_000, 6_000) for _ in range(10)],
        "heart_rate_bpm": [draw.randrange(60, 80) for _ in range(10)],
        "rr_ms": [draw.randrange(700, 1_000) for _ in range(12)],
        "skin_temp_mc": [draw.randrange(31_000, 33_000) for _ in range(10)],
        "battery_pct": [83] * 10,
    }
    return json.dumps(made, separators=(",", ":")).encode()


def publish_packet(topic: bytes, packet_id: int, payload: bytes) -> bytearray:
    body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", packet_id) + payload
    return bytearray(b"\x32" + _length(len(body)) + body)


def connect_packet(device_id: str, secret: str) -> bytes:
    body = b"\x00\x04MQTT\x04\xc2\x00\x00" + b"".join(
        struct.pack(">H", len(part)) + part
        for part in (device_id.encode(), device_id.encode(), secret.encode())
    )
    return b"\x10" + _length(len(body)) + body


def subscribe_packet(topic: bytes) -> bytes:
    body = b"\x00\x01" + struct.pack(">H", len(topic)) + topic + b"\x00"
    return b"\x82" + _length(len(body)) + body


def _length(size: int) -> bytes:
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(encoded)


def device_packets(
    plan: LoadPlan, device_id: str, pool: list[bytes]
) -> tuple[list[bytearray], list[int]]:
    topic = f"cymba/v1/{device_id}/up/frame".encode()
    draw = random.Random(f"{device_id}/{plan.store}")
    sid = UUID(int=draw.getrandbits(128), version=4)
    packets, offsets = [], []
    for seq in range(1, plan.frames + 1):
        head = (
            f'{{"v":1,"store":{plan.store},"seq":{seq},"boot":1,"sid":"{sid}","kind":"samples",'
            f'"up":{10_000 * seq},"sent":{SENT_BASE_MS},"dt":1000,"n":10,"c":'
        ).encode()
        packet = publish_packet(topic, (seq - 1) % 65_535 + 1, head + draw.choice(pool) + b"}")
        packets.append(packet)
        offsets.append(packet.index(b'"sent":') + 7)
    return packets, offsets


class Load:
    def __init__(self, plan: LoadPlan) -> None:
        draw = random.Random(1)
        pool = [columns(draw) for _ in range(COLUMN_POOL)]
        self.plan = plan
        self.total = plan.frames * len(plan.devices)
        self.freed = 0
        self.timeline: list[tuple[float, int]] = []
        # Seconds since 1970, by device and seq.
        self.published_at = np.zeros((len(plan.devices), plan.frames + 1))
        self.acked_at = np.zeros_like(self.published_at)
        self._selector = selectors.DefaultSelector()
        self._lines = [
            self._dial(number, device_id, secret, *device_packets(plan, device_id, pool))
            for number, (device_id, secret) in enumerate(plan.devices)
        ]
        self._began = time.monotonic()

    def _dial(
        self, number: int, device_id: str, secret: str, packets: list[bytearray], at: list[int]
    ) -> Line:
        link = socket.create_connection(("127.0.0.1", self.plan.port))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(connect_packet(device_id, secret))
        answer = link.recv(4)
        if answer != b"\x20\x02\x00\x00":
            raise SystemExit(f"the broker refuses {device_id}: {answer!r}")
        if self.plan.receipts:
            link.sendall(subscribe_packet(f"cymba/v1/{device_id}/down/ack".encode()))
            link.recv(5)
        link.setblocking(False)
        line = Line(device_id, link, packets, at)
        self._selector.register(link, selectors.EVENT_READ, (number, line))
        return line

    def run(self) -> dict[str, object]:
        """Publish all. `rate` in the result is that of the middle, from one tenth freed to nine
        tenths."""
        self._began = time.monotonic()
        if self.plan.rate is None:
            for number, line in enumerate(self._lines):
                self._publish(number, line, min(WINDOW, len(line.packets)))
        due = 0
        progress = time.monotonic()
        while self.freed < self.total:
            before = self.freed
            if self.plan.rate is not None:
                elapsed = time.monotonic() - self._began
                until = min(self.total, int(elapsed * self.plan.rate))
                for turn in range(due, until):
                    number = turn % len(self._lines)
                    self._publish(number, self._lines[number], 1)
                due = until
            for key, events in self._selector.select(0.0005 if self.plan.rate else 0.05):
                number, line = key.data
                if events & selectors.EVENT_WRITE:
                    self._flush(line)
                if events & selectors.EVENT_READ:
                    self._read(number, line)
            now = time.monotonic()
            if self.freed != before:
                progress = now
                self.timeline.append((now - self._began, self.freed))
            elif now - progress > self.plan.idle_s and (
                self.plan.rate is None or due == self.total
            ):
                break
        seconds = time.monotonic() - self._began
        return {
            "frames": self.freed,
            "seconds": seconds,
            "rate": self._middle_rate(),
            "cpu_s": time.process_time(),
        }

    def _middle_rate(self) -> float:
        times, counts = (np.array(column) for column in zip(*self.timeline, strict=True))
        low, high = np.searchsorted(counts, [0.1 * self.total, 0.9 * self.total])
        high = min(high, len(counts) - 1)
        return float((counts[high] - counts[low]) / (times[high] - times[low]))

    def _publish(self, number: int, line: Line, count: int) -> None:
        first = line.published
        now_ms = b"%d" % (SENT_BASE_MS + int((time.monotonic() - self._began) * 1000))
        for at in range(first, first + count):
            offset = line.sent_at[at]
            line.packets[at][offset : offset + 10] = now_ms
            line.outbound += line.packets[at]
        line.published += count
        self.published_at[number, first + 1 : first + count + 1] = time.time()
        self._flush(line)

    def _flush(self, line: Line) -> None:
        try:
            sent = line.link.send(line.outbound)
        except BlockingIOError:
            sent = 0
        del line.outbound[:sent]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.outbound else 0)
        key = self._selector.get_key(line.link)
        if key.events != wanted:
            self._selector.modify(line.link, wanted, key.data)

    def _read(self, number: int, line: Line) -> None:
        received = line.link.recv(65_536)
        if not received:
            raise SystemExit(f"the broker hung up on {line.device_id}")
        line.inbound += received
        buffer, at, freed = line.inbound, 0, line.freed
        while len(buffer) - at >= 2:
            size, shift, start = 0, 0, at + 1
            while True:
                if start >= len(buffer):
                    size = -1
                    break
                digit = buffer[start]
                size |= (digit & 0x7F) << shift
                shift += 7
                start += 1
                if digit < 0x80:
                    break
            if size < 0 or len(buffer) < start + size:
                break
            kind = buffer[at] >> 4
            if kind == 4 and not self.plan.receipts:
                freed += 1
            elif kind == 3:
                freed = max(freed, self._upto(buffer, start, start + size))
            at = start + size
        del buffer[:at]
        if freed > line.freed:
            self.acked_at[number, line.freed + 1 : freed + 1] = time.time()
            self.freed += freed - line.freed
            line.freed = freed
            if self.plan.rate is None:
                room = WINDOW - (line.published - freed)
                count = min(room, len(line.packets) - line.published)
                if count > 0:
                    self._publish(number, line, count)

    @staticmethod
    def _upto(buffer: bytearray, start: int, end: int) -> int:
        at = buffer.find(b'"upto":', start, end) + 7
        stop = at
        while 48 <= buffer[stop] <= 57:
            stop += 1
        return int(buffer[at:stop])


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadPlan)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    load = Load(plan)
    gc.disable()  # its pauses would count as the bridge's
    result = load.run()
    if plan.times_file is not None:
        np.savez(Path(plan.times_file), published_at=load.published_at, acked_at=load.acked_at)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
