"""A fleet of simulated stimulators on one broker, in one thread."""

import heapq
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from cymba.broker_address import BrokerAddress
from cymba.database import utc_now
from cymba.devices.models import MODELS, Model
from cymba.devices.signing import read_public_key
from firmware.broker_link import BrokerLink, BrokerLogin, Hooks, Reactor
from firmware.brokers import DeviceBrokers
from firmware.flash import Key
from simulator.clock import WorldClock, default_past
from simulator.device import Counters, SimulatedDevice
from simulator.distortion import Distorted, Distortion
from simulator.faults import PROFILES, Behaviour, Profile
from simulator.life import FRAME_S, Life, Rhythm, Schedule
from simulator.link import Link
from simulator.seeding import stream

CONNECTS_PER_S = 200.0
LONGEST_WAIT_S = 0.25


@dataclass(frozen=True, slots=True)
class DeviceCredentials:
    """What a device is given at its provisioning. Without `programme_key` (the server's public key,
    as `cymba.devices.signing` writes it) it accepts no programme."""

    device_id: str
    secret: str | None
    model: str
    programme_key: str | None = None


class Fleet:
    """Devices that live at `speed`, from `start` to `stop`.

    At speed 1 they live now. At a higher one each first lives its `past` (by default as much as
    takes an hour) at that speed and sends it as a backlog, then goes on in real time. The frames
    depend on `seed`, `speed`, `past` and the device alone, except what must differ between two
    runs: the ids of store and sessions, and `utc`. A `distortion` changes each device's messages:
    see `simulator.broken`.
    """

    def __init__(
        self,
        broker: BrokerAddress | str,
        devices: Sequence[DeviceCredentials],
        *,
        seed: int = 0,
        speed: float = 1.0,
        past: timedelta | None = None,
        profile: Profile | str = "realistic",
        behaviour: Behaviour | None = None,
        schedule: Schedule | None = None,
        models: Mapping[str, Model] = MODELS,
        frame_s: int = FRAME_S,
        distortion: Callable[[], Distortion] | None = None,
    ) -> None:
        self._broker = BrokerAddress.parse(broker) if isinstance(broker, str) else broker
        self._credentials = {one.device_id: one for one in devices}
        self._seed, self._speed = seed, speed
        self._past = default_past(speed) if past is None else past
        self._profile = PROFILES[profile] if isinstance(profile, str) else profile
        self._behaviour = behaviour or Behaviour()
        self._schedule, self._frame_s = schedule or Rhythm(), frame_s
        self._models = models
        self._distortions = {one.device_id: distortion() for one in devices if distortion}
        self._counters = Counters()
        self._devices: list[SimulatedDevice] = []
        self._touched: set[SimulatedDevice] = set()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self._draining, self._stopping = threading.Event(), threading.Event()
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Build the devices and run them in a thread of their own."""
        now_s = time.monotonic()
        world = WorldClock(utc_now(), now_s, self._speed, self._past)
        spread_s = len(self._credentials) / CONNECTS_PER_S
        self._devices = [
            self._build(one, world, now_s + spread_s * at / max(len(self._credentials), 1))
            for at, one in enumerate(self._credentials.values())
        ]
        self._thread.start()

    def stop(self, *, drain: bool = True, timeout_s: float = 60.0) -> bool:
        """End all lives and disconnect. True if every flash is empty.

        With `drain` no more frames are made, the links work again, and up to `timeout_s` is allowed
        for sending what is still in flash.
        """
        if drain:
            self._draining.set()
            self._thread.join(timeout_s)
        self._stopping.set()
        self._thread.join()
        self.check()
        return self.is_drained

    def check(self) -> None:
        """Raise the exception that ended the fleet's thread, if there was one."""
        if self._failure is not None:
            raise self._failure

    @property
    def is_drained(self) -> bool:
        return all(device.is_drained for device in self._devices)

    @property
    def counters(self) -> Counters:
        """A copy of the sums over all devices."""
        return Counters(**asdict(self._counters))

    @property
    def connected(self) -> int:
        return sum(device.is_online for device in self._devices)

    @property
    def made(self) -> Mapping[str, Mapping[Key, bytes | None]]:
        """By device and (store, seq): the digest (`frames.pack`) of every frame made so far, or
        None for one that was spoiled and must be in quarantine. Complete once the fleet has
        stopped."""
        return {device.device_id: device.made for device in self._devices}

    def _build(
        self, one: DeviceCredentials, world: WorldClock, connects_at_s: float
    ) -> SimulatedDevice:
        life = Life(
            one.device_id,
            self._models[one.model],
            seed=self._seed,
            began_at=world.began_at,
            profile=self._profile,
            schedule=self._schedule,
            behaviour=self._behaviour,
            frame_s=self._frame_s,
        )
        rng = stream(self._seed, one.device_id, "network")
        key = read_public_key(one.programme_key) if one.programme_key else None
        return SimulatedDevice(
            life,
            brokers=DeviceBrokers(
                self._broker,
                one.device_id,
                key,
                follows_anybody=self._behaviour.follows_anybody,
            ),
            world=world,
            link=Link(self._profile.loss, self._profile.outages, rng),
            profile=self._profile,
            behaviour=self._behaviour,
            connect=self._connect,
            counters=self._counters,
            rng=rng,
            programme_key=key,
            connects_at_s=connects_at_s,
        )

    def _run(self) -> None:
        self._reactor = Reactor()
        try:
            self._live()
            self._say_goodbye()
        except BaseException as error:  # noqa: BLE001 - raised by `check` and `stop`
            self._failure = error
        finally:
            self._reactor.shut()

    def _live(self) -> None:
        due = [(0.0, number) for number in range(len(self._devices))]
        next_s = dict.fromkeys(range(len(self._devices)), 0.0)
        numbers = {device: number for number, device in enumerate(self._devices)}
        ended = False
        while not self._stopping.is_set():
            now_s = time.monotonic()
            if self._draining.is_set() and not ended:
                ended = True
                for device in self._devices:
                    device.end_life(now_s)
                self._touched.update(self._devices)
            while due and due[0][0] <= now_s:
                due_s, number = heapq.heappop(due)
                if due_s == next_s[number]:  # else it was rescheduled since
                    self._touched.add(self._devices[number])
            for device in self._touched:
                number = numbers[device]
                due_s = device.step(now_s)
                next_s[number] = due_s
                if math.isfinite(due_s):
                    heapq.heappush(due, (due_s, number))
            self._touched.clear()
            if ended and self.is_drained:
                return
            wait_s = min(due[0][0] - time.monotonic(), LONGEST_WAIT_S) if due else LONGEST_WAIT_S
            self._reactor.serve(max(0.0, wait_s), now_s)

    def _say_goodbye(self) -> None:
        for device in self._devices:
            device.leave()
        self._reactor.wait_closed()

    def _connect(self, device: SimulatedDevice, will: bytes) -> BrokerLink | Distorted | None:
        root = f"cymba/v1/{device.device_id}"
        down = f"{root}/down/"
        distortion = self._distortions.get(device.device_id)
        secret = self._credentials[device.device_id].secret
        left = will if distortion is None else distortion.leave(will)
        login = BrokerLogin.of_device(device.device_id, secret, left)
        hooks = Hooks(
            connected=self._touching(device, device.on_connected),
            message=lambda topic, payload: self._hear(device, topic[len(down) :], payload),
            lost=self._lose(device),
        )
        connection = self._reactor.open(device.brokers.address, login, hooks, time.monotonic())
        if connection is None or distortion is None:
            return connection
        return Distorted(connection, distortion, f"{root}/up/")

    def _touching(
        self, device: SimulatedDevice, step: Callable[[float], None]
    ) -> Callable[[], None]:
        def stepped() -> None:
            step(time.monotonic())
            self._touched.add(device)

        return stepped

    def _lose(self, device: SimulatedDevice) -> Callable[[str], None]:
        lost = self._touching(device, device.on_lost)
        return lambda _reason: lost()

    def _hear(self, device: SimulatedDevice, subject: str, payload: bytes) -> None:
        distortion = self._distortions.get(device.device_id)
        if distortion is not None:
            payload = distortion.hear(subject, payload)
        device.on_message(subject, payload, time.monotonic())
        self._touched.add(device)
