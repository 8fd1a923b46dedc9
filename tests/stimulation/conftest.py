"""A session as a device writes it, frame by frame, and a person who holds that device."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.devices.anchors import BootAnchor, BootKey, add_anchors
from cymba.devices.clocks import Anchor, DeviceClocks, to_ms
from cymba.devices.messages import Programme
from cymba.devices.tables import Device, DeviceTenure
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.ingest.decide import Delivery, Outcome
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.wire.messages import (
    EndFrame,
    Event,
    EventFrame,
    Frame,
    SamplesFrame,
    StartFrame,
    to_json,
)

BOOTED_AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
SID = UUID("6f0c6f0c-0000-4000-8000-000000000001")
PROGRAMME = Programme(
    frequency_hz=25.0,
    pulse_width_us=250,
    amplitude_ua=2_000,
    on_s=30,
    off_s=30,
    duration_s=1_800,
    site="cymba_conchae",
    side="left",
    sensory_threshold_ua=1_000,
)


class Tape:
    """What one device writes: each call adds a frame and moves its clock on."""

    def __init__(self, sid: UUID = SID, store: int = 7, boot: int = 1, up: int = 60_000) -> None:
        self.sid, self.store, self.boot, self.up = sid, store, boot, up
        self.seq = 0
        self.first_seq = 1
        self.frames: list[Frame] = []

    def _key(self) -> dict[str, Any]:
        self.seq += 1
        return {
            "v": 1,
            "store": self.store,
            "seq": self.seq,
            "boot": self.boot,
            "sid": self.sid,
            "up": self.up,
        }

    def start(
        self, programme: Programme = PROGRAMME, counters: dict[str, int] | None = None
    ) -> "Tape":
        self.frames.append(StartFrame(**self._key(), programme=programme, counters=counters))
        self.first_seq = self.seq
        return self

    def samples(self, dt: int = 1_000, **columns: Sequence[int | None]) -> "Tape":
        """A frame of the columns; as many samples as the longest that is not per beat."""
        n = max((len(values) for name, values in columns.items() if name != "rr_ms"), default=1)
        c = {name: list(values) for name, values in columns.items()}
        self.frames.append(SamplesFrame(**self._key(), dt=dt, n=n, c=c))
        self.up += n * dt
        return self

    def event(self, name: str, **detail: str | int | float | bool | None) -> "Tape":
        event = Event(name=name, detail=detail or None)
        self.frames.append(EventFrame(**self._key(), event=event))
        return self

    def end(self, reason: str = "completed") -> "Tape":
        key = self._key()
        self.frames.append(
            EndFrame(**key, reason=reason, first_seq=self.first_seq, last_seq=self.seq)
        )
        return self

    def pass_time(self, ms: int) -> "Tape":
        self.up += ms
        return self

    def lose(self, frames: int = 1) -> "Tape":
        """Frames that were written and never arrive."""
        self.seq += frames
        return self

    def reboot(self, up: int = 500) -> "Tape":
        self.boot += 1
        self.up = up
        return self

    def factory_reset(self, store: int) -> "Tape":
        self.store, self.seq, self.first_seq = store, 0, 1
        return self

    def read(self, received_at: datetime = BOOTED_AT + timedelta(days=1)) -> list[ReadFrame]:
        return [ReadFrame(frame, received_at) for frame in self.frames]


@pytest.fixture
def tape() -> type[Tape]:
    return Tape


@pytest.fixture
def booted_at() -> datetime:
    """When boot 1 of store 7 began; its clock is known to 5 ms."""
    return BOOTED_AT


@pytest.fixture
def clocks() -> DeviceClocks:
    return anchored({(7, 1): BOOTED_AT})


@pytest.fixture
def clocks_of() -> Callable[[dict[tuple[int, int], datetime]], DeviceClocks]:
    return anchored


def anchored(boots: dict[tuple[int, int], datetime]) -> DeviceClocks:
    """Clocks that know when each (store, boot) began, to 5 ms."""
    return DeviceClocks(
        {
            boot: [
                Anchor("exchange", 0.0, to_ms(at), 5.0),
                Anchor("exchange", 3_600_000.0, to_ms(at) + 3_600_000.0, 5.0),
            ]
            for boot, at in boots.items()
        }
    )


DEVICE = "device-0001"
DELIVERED_AT = BOOTED_AT + timedelta(hours=6)


def add_person(session: Session, email: str, time_zone: str = "UTC") -> UUID:
    account = Account(email=email, time_zone=time_zone)
    session.add(account)
    session.flush()
    return account.id


def add_device(session: Session, account_id: UUID, device_id: str = DEVICE) -> str:
    """A device that the account has held since the year began."""
    session.add(Device(id=device_id, serial=f"EY-{device_id}", model="ear_cymba"))
    session.flush()
    claimed_at = datetime(2026, 1, 1, tzinfo=UTC)
    session.add(DeviceTenure(device_id=device_id, account_id=account_id, claimed_at=claimed_at))
    session.flush()
    return device_id


def exchange_clocks(
    session: Session, boots: dict[tuple[int, int], datetime], device_id: str = DEVICE
) -> None:
    """Let it be known when each (store, boot) of a device began, to 5 ms."""
    anchors = [
        BootAnchor(
            BootKey(device_id, store, boot), Anchor("exchange", up_ms, to_ms(at) + up_ms, 5.0)
        )
        for (store, boot), at in boots.items()
        for up_ms in (0.0, 14_400_000.0)
    ]
    add_anchors(session, anchors)


def deliver_frames(
    session: Session,
    frames: Iterable[Frame],
    arrived_at: datetime = DELIVERED_AT,
    device_id: str = DEVICE,
) -> list[Outcome]:
    deliveries = [Delivery(device_id, to_json(frame), arrived_at, False) for frame in frames]
    return ingest(session, deliveries).outcomes


def only_session(session: Session) -> StimulationSession:
    session.expire_all()
    return session.scalars(select(StimulationSession)).one()


def counted(session: Session, table: type[Any]) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def short_session(tape: type[Tape]) -> Tape:
    return (
        tape().start().samples(amplitude_ua=[1_000] * 10).samples(amplitude_ua=[1_000] * 10).end()
    )


@pytest.fixture
def person() -> Callable[..., UUID]:
    """Adds an account: `person(session, email, time_zone)`."""
    return add_person


@pytest.fixture
def device() -> Callable[..., str]:
    """Adds a device that an account holds: `device(session, account_id, device_id)`."""
    return add_device


@pytest.fixture
def deliver() -> Callable[..., list[Outcome]]:
    """Ingests frames: `deliver(session, frames, arrived_at, device_id)`."""
    return deliver_frames


@pytest.fixture
def exchange() -> Callable[..., None]:
    return exchange_clocks


@pytest.fixture
def delivered_at() -> datetime:
    return DELIVERED_AT


@pytest.fixture
def account_id(session: Session) -> UUID:
    """A person in Berlin with a device whose clock is known."""
    account_id = add_person(session, "person@example.org", "Europe/Berlin")
    add_device(session, account_id)
    exchange_clocks(session, {(7, 1): BOOTED_AT, (7, 2): BOOTED_AT + timedelta(hours=1)})
    session.commit()
    return account_id


@pytest.fixture
def programme() -> Programme:
    return PROGRAMME
