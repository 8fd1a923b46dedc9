"""A device on the network: what it says and hears, on one connection after another.

Whoever runs it calls `step` with the monotonic clock in seconds. `step` returns when it wants to be
called next.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from cymba.devices.messages import (
    Desired,
    Presence,
    Relocation,
    ReportedState,
    TimeReply,
    TimeRequest,
)
from cymba.stimulation.wire.messages import Ack, AnyMessage
from firmware import wire
from firmware.brokers import DeviceBrokers
from firmware.flash import Flash, FlashFrame, Key, Pace, Randomness

EXCHANGE_EVERY_S = 3600.0
EXCHANGE_AGAIN_S = 30.0  # without a prompt answer
ANSWER_IS_PROMPT_S = 5.0
PUBLISHES_PER_STEP = 40
DRAINED_AGAIN_S = 60.0  # between two reports that the flash is empty


class DeviceConnection(Protocol):
    """An MQTT connection of one device."""

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> None: ...
    def close(self) -> None:
        """Disconnect, so that the will is not sent."""
        ...

    def drop(self) -> None:
        """Break off, as a lost link does."""
        ...


class NetworkedDevice(ABC):
    """A flash store, a connection, and what the protocol asks of them (R5, R17, R25 to R40,
    R44)."""

    def __init__(
        self,
        device_id: str,
        *,
        brokers: DeviceBrokers,
        pace: Pace,
        connect: Callable[[bytes], DeviceConnection | None],
        rng: Randomness,
        form: wire.Form,
        exchanges_time: bool = True,
        connects_at_s: float = 0.0,
    ) -> None:
        """`connect` opens a connection to `brokers.address` with the given last will; None if that
        cannot be reached."""
        self.device_id, self.form, self.brokers = device_id, form, brokers
        self.flash = Flash(pace, rng)
        self._pace, self._connect, self._rng = pace, connect, rng
        self._exchanges_time = exchanges_time
        self._connection: DeviceConnection | None = None
        self._online = False
        self._connected_up = 0
        self._attempts = 0
        self._turned_away = 0  # by brokers that let it in, one after the other
        self._connects_at_s = connects_at_s
        self._exchange_at_s = math.inf
        self._exchange_u1: int | None = None
        self._reported_drained_s: float | None = None

    # What each device knows for itself.

    @property
    @abstractmethod
    def store_and_boot(self) -> tuple[int, int]:
        """Of now; a frame may be of another store or an earlier boot."""

    @abstractmethod
    def up_ms(self, now_s: float) -> int:
        """Milliseconds since boot."""

    @abstractmethod
    def presence(self, *, online: bool, connected_up_ms: int) -> Presence: ...

    @abstractmethod
    def receive(self, desired: Desired, now_s: float) -> ReportedState: ...

    @abstractmethod
    def note_ack(self, ack: Ack, freed: Sequence[Key]) -> None: ...

    def encode_frame(self, kept: FlashFrame, sent_ms: int | None) -> bytes:
        return wire.encode(kept.stamped(sent_ms), self.form)

    def deliver(self, kept: FlashFrame, payload: bytes, now_s: float) -> None:
        """Give a frame to the network."""
        del kept, now_s
        self.publish_frame(payload)

    # What happens.

    @property
    def is_online(self) -> bool:
        return self._online

    def step(self, now_s: float, *, is_up: bool = True) -> float:
        """Do what is due, on a link that is up or down. Return when to be called next."""
        if not is_up and self._connection is not None:
            self.drop(now_s)
        if is_up and self._connection is None and now_s >= self._connects_at_s:
            self._open(now_s)
        if self._online:
            self._exchange_time(now_s)
            self._send(now_s)
        return self._next_step_s(is_up=is_up)

    def leave(self) -> None:
        """Publish that it is offline, and disconnect."""
        if self._connection is not None and self._online:
            self._say_presence(self._connection, online=False)
            self._connection.close()
        self._forget_connection()

    def drop(self, now_s: float) -> None:
        """Break the connection off; open another at once, where there is a link."""
        connection = self._connection
        if connection is not None:
            self._forget_connection()
            connection.drop()
        self._connects_at_s = now_s

    def hurry(self, now_s: float) -> None:
        """Before it leaves: shorten what it waits for."""
        self.flash.hurry(now_s)
        self._connects_at_s = min(self._connects_at_s, now_s + 1.0)

    def on_connected(self, now_s: float) -> None:
        if self._connection is None:
            return
        self._online, self._attempts = True, 0
        self.brokers.admitted()
        self.flash.connected(now_s)
        self._say_presence(self._connection, online=True)
        if self._exchanges_time:
            self._exchange_at_s = now_s + self._rng.uniform(0.2, 1.0)

    def on_lost(self, now_s: float) -> None:
        if not self._online:
            self.brokers.failed()
        self._forget_connection()
        self._wait(now_s)

    def _wait(self, now_s: float) -> None:
        delay_s = min(2.0**self._attempts, self._pace.reconnect_at_most_s)
        delay_s *= self._rng.uniform(0.5, 1.0)
        self._attempts = min(self._attempts + 1, 16)
        self._connects_at_s = now_s + delay_s

    def on_message(self, subject: str, payload: bytes, now_s: float) -> None:
        """A message arrived on `down/{subject}`."""
        if subject == "ack":
            ack = wire.decode(payload, Ack)
            if ack is not None:
                self.note_ack(ack, self.flash.resolve(ack))
                self._report_drained(now_s)
                self._note_cell(ack, now_s)
        elif subject == "time":
            self._finish_exchange(wire.decode(payload, TimeReply), now_s)
        elif subject == "desired" and payload:
            desired = wire.decode(payload, Desired)
            if desired is not None and self._connection is not None:
                self._say("state", self.receive(desired, now_s), qos=1)
        elif subject == "broker" and payload:
            relocation = wire.decode(payload, Relocation)
            if relocation is not None and self.brokers.follow(relocation):
                self._go_elsewhere(now_s)

    def publish_frame(self, payload: bytes) -> None:
        if self._connection is not None:
            self._connection.publish(f"{self._topic}/frame", payload, qos=1)

    # The connection.

    def _open(self, now_s: float) -> None:
        self._connected_up = self.up_ms(now_s)
        self._connection = self._connect(self._presence(online=False))
        if self._connection is None:
            self.on_lost(now_s)

    def _note_cell(self, ack: Ack, now_s: float) -> None:
        """A broker may let in a device of another one for a while. Nothing is stored there."""
        if not any(one.code == "other-cell" for one in ack.rejected):
            self._turned_away = 0
        elif self.brokers.turn():
            self._turned_away = min(self._turned_away + 1, 16)
            self._attempts = self._turned_away
            self._go_elsewhere(now_s)

    def _go_elsewhere(self, now_s: float) -> None:
        self.leave()
        self._wait(now_s)

    def _forget_connection(self) -> None:
        self._connection, self._online = None, False
        self._exchange_at_s, self._exchange_u1 = math.inf, None

    def _presence(self, *, online: bool) -> bytes:
        presence = self.presence(online=online, connected_up_ms=self._connected_up)
        return wire.encode(presence, self.form)

    def _say_presence(self, connection: DeviceConnection, *, online: bool) -> None:
        connection.publish(
            f"{self._topic}/presence", self._presence(online=online), qos=1, retain=True
        )

    def _report_drained(self, now_s: float) -> None:
        """Report that the flash is empty, once it is: the server then knows that no session is
        missing."""
        reported_s = self._reported_drained_s
        if len(self.flash) or self._connection is None or not self._online:
            return
        if reported_s is None or now_s - reported_s >= DRAINED_AGAIN_S:
            self._reported_drained_s = now_s
            self._say_presence(self._connection, online=True)

    def _say(self, subject: str, message: AnyMessage, *, qos: int) -> None:
        if self._connection is not None:
            payload = wire.encode(message, self.form)
            self._connection.publish(f"{self._topic}/{subject}", payload, qos=qos)

    # Frames.

    def _send(self, now_s: float) -> None:
        for _ in range(PUBLISHES_PER_STEP):
            kept = self.flash.take_due(now_s)
            if kept is None:
                return
            payload = self.encode_now(kept, now_s)
            self.flash.sent(kept, now_s, payload)
            self.deliver(kept, payload, now_s)

    def encode_now(self, kept: FlashFrame, now_s: float) -> bytes:
        return self.encode_frame(kept, kept.sent_ms(self.store_and_boot, self.up_ms(now_s)))

    # The clock.

    def _exchange_time(self, now_s: float) -> None:
        if now_s < self._exchange_at_s:
            return
        self._exchange_at_s = now_s + EXCHANGE_AGAIN_S
        self._exchange_u1 = self.up_ms(now_s)
        self._say("time", TimeRequest(**self._boot_now(), u1=self._exchange_u1), qos=0)

    def _finish_exchange(self, reply: TimeReply | None, now_s: float) -> None:
        _, boot = self.store_and_boot
        if reply is None or (reply.boot, reply.u1) != (boot, self._exchange_u1):
            return
        self._exchange_u1 = None
        u4 = self.up_ms(now_s)
        if u4 - reply.u1 <= ANSWER_IS_PROMPT_S * 1000:
            self._exchange_at_s = now_s + EXCHANGE_EVERY_S
            times = {"u1": reply.u1, "t2": reply.t2, "t3": reply.t3, "u4": u4}
            self._say("time", TimeRequest(**self._boot_now(), **times), qos=0)

    def _boot_now(self) -> dict[str, int]:
        store, boot = self.store_and_boot
        return {"boot": boot, "store": store}

    @property
    def _topic(self) -> str:
        return f"cymba/v1/{self.device_id}/up"

    def _next_step_s(self, *, is_up: bool) -> float:
        due_s = self._connects_at_s if is_up and self._connection is None else math.inf
        if self._online:
            due_s = min(due_s, self._exchange_at_s, self.flash.next_due_s())
        return due_s
