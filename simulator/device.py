"""A simulated stimulator on the network: protocol v1 from the device's side.

Its fleet calls `step` with the monotonic clock in seconds. `step` returns when it wants to be
called next.
"""

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cymba.stimulation.wire.frames import pack
from cymba.stimulation.wire.messages import (
    Ack,
    Desired,
    Presence,
    TimeReply,
    TimeRequest,
)
from simulator import wire
from simulator.clock import SimulatedBootClock, WorldClock, epoch_ms
from simulator.faults import Behaviour, Profile
from simulator.flash import Flash, FlashFrame, Key
from simulator.life import Booted, Life, Lived, WrittenFrame
from simulator.link import Link
from simulator.seeding import chance

PRESENT_BOOT = 1_000_000
"""The boot in which a device that lives its past first is on the network, see `_lives`."""

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


Connect = Callable[["SimulatedDevice", bytes], DeviceConnection | None]
"""Open a connection with the given last will; None if the broker cannot be reached."""


@dataclass(slots=True)
class Counters:
    """Counts of frames, except `reconnected` and `lost` (messages lost on the link)."""

    made: int = 0
    spoiled: int = 0  # of those made: to be rejected for good
    acked: int = 0  # freed by an ack, including those rejected for good
    rejected: int = 0  # how often the server rejected one, for good or for now
    published: int = 0
    resent: int = 0
    duplicated: int = 0  # sent twice at once by a fault
    lost: int = 0
    reconnected: int = 0
    programmes_applied: int = 0
    programmes_refused: int = 0

    @property
    def outstanding(self) -> int:
        """Frames still in flash."""
        return self.made - self.acked


class SimulatedDevice:
    """A life, a flash store, a link, and what the protocol asks of them."""

    def __init__(
        self,
        life: Life,
        *,
        world: WorldClock,
        link: Link,
        profile: Profile,
        behaviour: Behaviour,
        connect: Connect,
        counters: Counters,
        rng: np.random.Generator,
        programme_key: Ed25519PublicKey | None = None,
        connects_at_s: float = 0.0,
    ) -> None:
        self.life, self.world, self.link = life, world, link
        self.profile, self.behaviour = profile, behaviour
        self.flash = Flash(behaviour, rng)
        self.made: dict[Key, bytes | None] = {}  # digest of each frame; None: to be rejected
        self._connect, self._counters, self._rng = connect, counters, rng
        self._programme_key = programme_key
        self._lives, self._clock = self._begin()
        self._next: Lived | None = next(self._lives, None)
        self._connection: DeviceConnection | None = None
        self._online = False
        self._connected_up = 0
        self._attempts = 0
        self._connects_at_s = connects_at_s
        self._exchange_at_s = math.inf
        self._exchange_u1: int | None = None
        self._told_drained_s: float | None = None
        self._delayed: list[tuple[float, int, FlashFrame]] = []
        self._numbered = 0

    @property
    def device_id(self) -> str:
        return self.life.device_id

    @property
    def is_online(self) -> bool:
        return self._online

    @property
    def is_drained(self) -> bool:
        return self._next is None and not len(self.flash)

    def _begin(self) -> tuple[Iterator[Lived], SimulatedBootClock]:
        """The life, and the clock of the boot in which the device is on the network.

        At speed 1 that is one boot. A past is lived in earlier boots, and its frames are sent as a
        backlog without `sent`. So whatever the server learns about clocks from the network is about
        the present boot alone, however fast the past goes by. The present boot begins when the
        fleet starts, after the whole past.
        """
        world = self.world
        present_boot = PRESENT_BOOT if world.past_ms else self.life.first_boot
        present = self.life.clock_of(present_boot, world.past_ms, dated=True)
        live = self.life.lived(world.caught_up_ms, math.inf, present)
        if not world.past_ms:
            return live, present
        first = self.life.clock_of(self.life.first_boot, 0.0, dated=True)
        past = self.life.lived(0.0, world.past_ms, first, always_dated=True)
        return chain(past, live), present

    def step(self, now_s: float) -> float:
        """Do what is due. Return when to be called next."""
        self._live(now_s)
        is_up = self.link.is_up(self.world.at(now_s))
        if not is_up and self._connection is not None:
            self._drop(now_s)
        if is_up and self._connection is None and now_s >= self._connects_at_s:
            self._open(now_s)
        if self._online:
            self._exchange_time(now_s)
            self._send(now_s)
        return self._next_step_s(now_s, is_up=is_up)

    def end_life(self, now_s: float) -> None:
        """Make no more frames. Those in flash are still sent."""
        self._next, self._lives = None, iter(())
        self.link.mend()
        self.flash.hurry(now_s)
        self._connects_at_s = min(self._connects_at_s, now_s + 1.0)

    def leave(self) -> None:
        """Publish that it is offline, and disconnect."""
        if self._connection is not None and self._online:
            self._say_presence(self._connection, online=False)
            self._connection.close()
        self._forget_connection()

    # Events of the network.

    def on_connected(self, now_s: float) -> None:
        if self._connection is None:
            return
        self._online, self._attempts = True, 0
        self._counters.reconnected += 1
        self.flash.connected(now_s)
        self._say_presence(self._connection, online=True)
        if self.life.firmware.exchanges_time:
            self._exchange_at_s = now_s + self._rng.uniform(0.2, 1.0)

    def on_lost(self, now_s: float) -> None:
        self._forget_connection()
        delay_s = min(2.0**self._attempts, self.behaviour.reconnect_at_most_s)
        delay_s *= self._rng.uniform(0.5, 1.0)
        self._attempts = min(self._attempts + 1, 16)
        self._connects_at_s = now_s + delay_s

    def on_message(self, subject: str, payload: bytes, now_s: float) -> None:
        """A message arrived on `down/{subject}`."""
        if self.link.loses(now_s):
            self._counters.lost += 1
            return
        if subject == "ack":
            ack = wire.decode(payload, Ack)
            if ack is not None:
                self._counters.rejected += len(ack.rejected)
                self._counters.acked += self.flash.resolve(ack)
                self._tell_drained(now_s)
        elif subject == "time":
            self._finish_exchange(wire.decode(payload, TimeReply), now_s)
        elif subject == "desired" and payload:
            self._take_programme(wire.decode(payload, Desired), now_s)

    # The life.

    def _live(self, now_s: float) -> None:
        world_ms = self.world.at(now_s)
        while self._next is not None and self._next.at_ms <= world_ms:
            match self._next:
                case WrittenFrame(_, frame, spoiling):
                    self.flash.keep(frame, spoiling)
                    digest = None if spoiling else pack(frame).digest
                    self.made[frame.store, frame.seq] = digest
                    self._counters.made += 1
                    self._counters.spoiled += spoiling is not None
                case Booted(_, clock) if clock.boot > self._clock.boot:
                    self._clock = clock
                    self._drop(now_s)
                    self._connects_at_s = now_s
            self._next = next(self._lives, None)

    # The connection.

    def _open(self, now_s: float) -> None:
        self._connected_up = self._up(now_s)
        self._connection = self._connect(self, self._presence(online=False))
        if self._connection is None:
            self.on_lost(now_s)

    def _drop(self, now_s: float) -> None:
        connection = self._connection
        if connection is not None:
            self._forget_connection()
            connection.drop()
        self._connects_at_s = now_s

    def _forget_connection(self) -> None:
        self._connection, self._online = None, False
        self._exchange_at_s, self._exchange_u1 = math.inf, None
        self._delayed.clear()

    def _say_presence(self, connection: DeviceConnection, *, online: bool) -> None:
        connection.publish(
            f"{self._topic}/presence", self._presence(online=online), qos=1, retain=True
        )

    def _presence(self, *, online: bool) -> bytes:
        past_is_over = self.world.past_ms == 0 or self._next is None or self._is_present
        presence = Presence(
            online=online,
            store=self.life.store,
            boot=self._clock.boot,
            sent=self._connected_up,
            firmware=self.life.firmware.version,
            model=self.life.model.name,
            battery_pct=self.life.battery_pct,
            # While the past is still being lived, it has not sent everything.
            queued=len(self.flash) if past_is_over else max(1, len(self.flash)),
            utc=self.life.utc_ms(self._clock, self._connected_up),
        )
        return wire.encode(presence, self.life.firmware.wire)

    @property
    def _is_present(self) -> bool:
        return self._next is not None and self._next.at_ms >= self.world.caught_up_ms

    def _tell_drained(self, now_s: float) -> None:
        """Report that the flash is empty, once it is: the server then knows that no session is
        missing."""
        told_s = self._told_drained_s
        if len(self.flash) or self._connection is None or not self._online:
            return
        if told_s is None or now_s - told_s >= DRAINED_AGAIN_S:
            self._told_drained_s = now_s
            self._say_presence(self._connection, online=True)

    # Frames.

    def _send(self, now_s: float) -> None:
        while self._delayed and self._delayed[0][0] <= now_s:
            self._publish_frame(heapq.heappop(self._delayed)[2], now_s)
        for _ in range(PUBLISHES_PER_STEP):
            kept = self.flash.take_due(now_s)
            if kept is None:
                return
            self._counters.resent += kept.was_sent
            payload = self._encode(kept, now_s)
            self.flash.sent(kept, now_s, payload)
            if chance(self._rng, self.profile.reorder_per_publish):
                self._delay(kept, now_s)
            else:
                self._publish(payload, now_s)
            if chance(self._rng, self.profile.duplicate_per_publish):
                self._counters.duplicated += 1
                self._delay(kept, now_s)
            if chance(self._rng, self.profile.garbage_per_publish):
                self._publish(wire.garbage(int(self._rng.integers(2**32))), now_s)
            if self.behaviour.frees_before_ack:
                self.flash.free(kept.key)

    def _delay(self, kept: FlashFrame, now_s: float) -> None:
        self._numbered += 1
        due_s = now_s + self._rng.uniform(0.05, 2.0)
        heapq.heappush(self._delayed, (due_s, self._numbered, kept))

    def _encode(self, kept: FlashFrame, now_s: float) -> bytes:
        is_current = kept.frame.boot == self._clock.boot and kept.frame.store == self.life.store
        sent_ms = max(self._up(now_s), kept.frame.up) if is_current else None
        return wire.encode_frame(
            kept.frame, self.life.firmware.wire, sent_ms=sent_ms, spoiling=kept.spoiling
        )

    def _publish_frame(self, kept: FlashFrame, now_s: float) -> None:
        self._publish(self._encode(kept, now_s), now_s)

    def _publish(self, payload: bytes, now_s: float) -> None:
        if self.link.loses(now_s):
            self._counters.lost += 1
        elif self._connection is not None:
            self._counters.published += 1
            self._connection.publish(f"{self._topic}/frame", payload, qos=1)

    # The clock.

    def _up(self, now_s: float) -> int:
        return self._clock.up_ms(self.world.present_ms(now_s))

    def _exchange_time(self, now_s: float) -> None:
        if now_s < self._exchange_at_s:
            return
        self._exchange_at_s = now_s + EXCHANGE_AGAIN_S
        self._exchange_u1 = self._up(now_s)
        self._say_time(TimeRequest(**self._boot_now(), u1=self._exchange_u1))

    def _finish_exchange(self, reply: TimeReply | None, now_s: float) -> None:
        if reply is None or (reply.boot, reply.u1) != (self._clock.boot, self._exchange_u1):
            return
        self._exchange_u1 = None
        u4 = self._up(now_s)
        if u4 - reply.u1 <= ANSWER_IS_PROMPT_S * 1000:
            self._exchange_at_s = now_s + EXCHANGE_EVERY_S
            times = {"u1": reply.u1, "t2": reply.t2, "t3": reply.t3, "u4": u4}
            self._say_time(TimeRequest(**self._boot_now(), **times))

    def _boot_now(self) -> dict[str, int]:
        return {"boot": self._clock.boot, "store": self.life.store}

    def _say_time(self, request: TimeRequest) -> None:
        if self._connection is not None:
            payload = wire.encode(request, self.life.firmware.wire)
            self._connection.publish(f"{self._topic}/time", payload, qos=0)

    # The programme.

    def _take_programme(self, desired: Desired | None, now_s: float) -> None:
        if desired is None or self._connection is None:
            return
        now_ms = epoch_ms(self.world.began_at) + self.world.present_ms(now_s)
        reported = self.life.prescription.receive(
            desired, self.device_id, self._programme_key, now_ms
        )
        self._counters.programmes_applied += reported.applied
        self._counters.programmes_refused += not reported.applied
        payload = wire.encode(reported, self.life.firmware.wire)
        self._connection.publish(f"{self._topic}/state", payload, qos=1)

    @property
    def _topic(self) -> str:
        return f"cymba/v1/{self.device_id}/up"

    def _next_step_s(self, now_s: float, *, is_up: bool) -> float:
        due_s = math.inf if self._next is None else self.world.when(self._next.at_ms)
        outage_begins_ms, outage_ends_ms = self.link.changes_ms()
        turns_ms = outage_begins_ms if is_up else outage_ends_ms
        if math.isfinite(turns_ms):
            due_s = min(due_s, self.world.when(turns_ms))
        if is_up and self._connection is None:
            due_s = min(due_s, self._connects_at_s)
        if self._online:
            due_s = min(due_s, self._exchange_at_s, self.flash.next_due_s())
            if self._delayed:
                due_s = min(due_s, self._delayed[0][0])
        return max(due_s, now_s)
