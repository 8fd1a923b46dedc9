"""A simulated stimulator on the network: a life, and a link that loses and delays.

Its fleet calls `step` with the monotonic clock in seconds. `step` returns when it wants to be
called next.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cymba.devices.messages import Desired, Presence, ReportedState
from cymba.stimulation.wire.frames import pack
from cymba.stimulation.wire.messages import Ack
from firmware.brokers import DeviceBrokers
from firmware.device import DeviceConnection, NetworkedDevice
from firmware.flash import FlashFrame, Key
from simulator.clock import SimulatedBootClock, WorldClock, epoch_ms
from simulator.faults import Behaviour, Profile, Spoiling, encode_frame, garbage
from simulator.life import Booted, Life, Lived, WrittenFrame
from simulator.link import Link
from simulator.seeding import chance

PRESENT_BOOT = 1_000_000
"""The boot in which a device that lives its past first is on the network, see `_lives`."""

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


class SimulatedDevice(NetworkedDevice):
    """A device whose frames are made by a life, and go over a link with faults."""

    def __init__(
        self,
        life: Life,
        *,
        brokers: DeviceBrokers,
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
        super().__init__(
            life.device_id,
            brokers=brokers,
            pace=behaviour,
            connect=lambda will: connect(self, will),
            rng=rng,
            form=life.firmware.wire,
            exchanges_time=life.firmware.exchanges_time,
            connects_at_s=connects_at_s,
        )
        self.life, self.world, self.link = life, world, link
        self.profile, self.behaviour = profile, behaviour
        self.made: dict[Key, bytes | None] = {}  # digest of each frame; None: to be rejected
        self._counters, self._faults = counters, rng
        self._spoilings: dict[Key, Spoiling] = {}
        self._programme_key = programme_key
        self._lives, self._clock = self._begin()
        self._next: Lived | None = next(self._lives, None)
        self._delayed: list[tuple[float, int, FlashFrame]] = []
        self._numbered = 0

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

    def step(self, now_s: float, *, is_up: bool = True) -> float:
        """Do what is due. Return when to be called next."""
        self._live(now_s)
        is_up = is_up and self.link.is_up(self.world.at(now_s))
        if not (is_up and self.is_online):
            self._delayed.clear()
        while self._delayed and self._delayed[0][0] <= now_s:
            kept = heapq.heappop(self._delayed)[2]
            self._publish(self.encode_now(kept, now_s), now_s)
        due_s = super().step(now_s, is_up=is_up)
        if self._next is not None:
            due_s = min(due_s, self.world.when(self._next.at_ms))
        outage_begins_ms, outage_ends_ms = self.link.changes_ms()
        turns_ms = outage_begins_ms if is_up else outage_ends_ms
        if math.isfinite(turns_ms):
            due_s = min(due_s, self.world.when(turns_ms))
        if self._delayed:
            due_s = min(due_s, self._delayed[0][0])
        return max(due_s, now_s)

    def end_life(self, now_s: float) -> None:
        """Make no more frames. Those in flash are still sent."""
        self._next, self._lives = None, iter(())
        self.link.mend()
        self.hurry(now_s)

    # Events of the network.

    def on_connected(self, now_s: float) -> None:
        super().on_connected(now_s)
        self._counters.reconnected += self.is_online

    def on_message(self, subject: str, payload: bytes, now_s: float) -> None:
        if self.link.loses(now_s):
            self._counters.lost += 1
        else:
            super().on_message(subject, payload, now_s)

    def note_ack(self, ack: Ack, freed: Sequence[Key]) -> None:
        self._counters.rejected += len(ack.rejected)
        self._counters.acked += len(freed)

    # The life.

    def _live(self, now_s: float) -> None:
        world_ms = self.world.at(now_s)
        while self._next is not None and self._next.at_ms <= world_ms:
            match self._next:
                case WrittenFrame(_, frame, spoiling):
                    self.flash.keep(frame)
                    key = (frame.store, frame.seq)
                    if spoiling is not None:
                        self._spoilings[key] = spoiling
                    self.made[key] = None if spoiling else pack(frame).digest
                    self._counters.made += 1
                    self._counters.spoiled += spoiling is not None
                case Booted(_, clock) if clock.boot > self._clock.boot:
                    self._clock = clock
                    self.drop(now_s)
            self._next = next(self._lives, None)

    # What the protocol asks of it.

    @property
    def store_and_boot(self) -> tuple[int, int]:
        return self.life.store, self._clock.boot

    def up_ms(self, now_s: float) -> int:
        return self._clock.up_ms(self.world.present_ms(now_s))

    def presence(self, *, online: bool, connected_up_ms: int) -> Presence:
        past_is_over = self.world.past_ms == 0 or self._next is None or self._is_present
        return Presence(
            online=online,
            store=self.life.store,
            boot=self._clock.boot,
            sent=connected_up_ms,
            firmware=self.life.firmware.version,
            model=self.life.model.name,
            battery_pct=self.life.battery_pct,
            # While the past is still being lived, it has not sent everything.
            queued=len(self.flash) if past_is_over else max(1, len(self.flash)),
            utc=self.life.utc_ms(self._clock, connected_up_ms),
        )

    @property
    def _is_present(self) -> bool:
        return self._next is not None and self._next.at_ms >= self.world.caught_up_ms

    def receive(self, desired: Desired, now_s: float) -> ReportedState:
        now_ms = epoch_ms(self.world.began_at) + self.world.present_ms(now_s)
        reported = self.life.prescription.receive(
            desired, self.device_id, self._programme_key, now_ms
        )
        self._counters.programmes_applied += reported.applied
        self._counters.programmes_refused += not reported.applied
        return reported

    # Frames.

    def encode_frame(self, kept: FlashFrame, sent_ms: int | None) -> bytes:
        spoiling = self._spoilings.get(kept.key)
        return encode_frame(kept.frame, self.form, sent_ms=sent_ms, spoiling=spoiling)

    def deliver(self, kept: FlashFrame, payload: bytes, now_s: float) -> None:
        self._counters.resent += kept.sendings > 1
        if chance(self._faults, self.profile.reorder_per_publish):
            self._delay(kept, now_s)
        else:
            self._publish(payload, now_s)
        if chance(self._faults, self.profile.duplicate_per_publish):
            self._counters.duplicated += 1
            self._delay(kept, now_s)
        if chance(self._faults, self.profile.garbage_per_publish):
            self._publish(garbage(int(self._faults.integers(2**32))), now_s)
        if self.behaviour.frees_before_ack:
            self.flash.free(kept.key)

    def _delay(self, kept: FlashFrame, now_s: float) -> None:
        self._numbered += 1
        due_s = now_s + self._faults.uniform(0.05, 2.0)
        heapq.heappush(self._delayed, (due_s, self._numbered, kept))

    def _publish(self, payload: bytes, now_s: float) -> None:
        if self.link.loses(now_s):
            self._counters.lost += 1
        elif self.is_online:
            self._counters.published += 1
            self.publish_frame(payload)
