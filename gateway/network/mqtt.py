"""The gateway on a broker: a device of the protocol whose flash is the store."""

import random
import time
from collections.abc import Sequence

from cymba.broker_address import BrokerAddress
from cymba.devices.messages import Desired, Presence, ReportedState
from cymba.devices.signing import read_public_key
from cymba.stimulation.wire.messages import Ack
from firmware.broker_link import BrokerLink, BrokerLogin, Hooks, Reactor
from firmware.brokers import DeviceBrokers
from firmware.device import NetworkedDevice
from firmware.flash import Key, Pace
from gateway.clock import ProgramBoot
from gateway.config import GatewayConfig
from gateway.limits import KeptProgramme
from gateway.network.outbox import OFFLINE, ONLINE, Outbox
from gateway.store import FrameStore

LOOKS_EVERY_S = 0.25  # into the store
FIRMWARE = "gateway 1"
CAME_BACK = "The server named another address, which does not let it in: the earlier one is used."


class BrokerUplink(NetworkedDevice):
    """Belongs to one thread, as its store does."""

    def __init__(
        self, config: GatewayConfig, store: FrameStore, boot: ProgramBoot, pace: Pace | None = None
    ) -> None:
        super().__init__(
            config.device_id,
            brokers=DeviceBrokers(
                BrokerAddress.parse(config.server),
                config.device_id,
                None if config.programme_key is None else read_public_key(config.programme_key),
                kept=store.relocation,
                keep=store.relocate,
            ),
            pace=pace or Pace(),
            connect=self._connect_to_broker,
            rng=random.SystemRandom(),
            form="json",
        )
        self._config, self._store, self._boot = config, store, boot
        self._outbox = Outbox(store, self.flash)
        self._programme = KeptProgramme(config, store)
        self._reactor = Reactor()
        self._told: str | None = None

    def step_once(self) -> None:
        """Look into the store, send what is due, wait a moment for the network."""
        self._outbox.pull()
        due_s = self.step(time.monotonic())
        now_s = time.monotonic()
        self._reactor.serve(max(0.0, min(due_s - now_s, LOOKS_EVERY_S)), now_s)

    def shut(self) -> None:
        """Say goodbye, and wait a moment for it to leave."""
        self.leave()
        self._reactor.wait_closed()
        self._reactor.shut()

    # What the protocol asks of it.

    @property
    def store_and_boot(self) -> tuple[int, int]:
        return self._store.number, self._boot.number

    def up_ms(self, now_s: float) -> int:
        del now_s  # its own clock goes on while the machine sleeps
        return self._boot.up_ms()

    def presence(self, *, online: bool, connected_up_ms: int) -> Presence:
        return Presence(
            online=online,
            store=self._store.number,
            boot=self._boot.number,
            sent=connected_up_ms,
            firmware=FIRMWARE,
            model=self._config.model.name,
            queued=len(self.flash),
            utc=self._boot.utc_ms(),
        )

    def receive(self, desired: Desired, now_s: float) -> ReportedState:
        del now_s
        return self._programme.receive(desired, self._boot.utc_ms())

    def note_ack(self, ack: Ack, freed: Sequence[Key]) -> None:
        for line in self._outbox.settle(ack, freed):
            self._tell(line)

    def on_connected(self, now_s: float) -> None:
        super().on_connected(now_s)
        self._tell(f"{ONLINE} {CAME_BACK}" if self.brokers.came_back else ONLINE)

    def on_lost(self, now_s: float) -> None:
        super().on_lost(now_s)
        self._tell(OFFLINE)

    def _connect_to_broker(self, will: bytes) -> BrokerLink | None:
        down = f"cymba/v1/{self.device_id}/down/"
        login = BrokerLogin.of_device(self.device_id, self._config.secret, will)
        hooks = Hooks(
            connected=lambda: self.on_connected(time.monotonic()),
            message=lambda topic, payload: self.on_message(
                topic[len(down) :], payload, time.monotonic()
            ),
            lost=lambda _reason: self.on_lost(time.monotonic()),
        )
        return self._reactor.open(self.brokers.address, login, hooks, time.monotonic())

    def _tell(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self._store.tell(line)
