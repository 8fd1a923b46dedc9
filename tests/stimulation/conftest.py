"""A session as a device writes it, frame by frame, with no device and no database."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from cymba.devices.clocks import Anchor, DeviceClocks, to_ms
from cymba.devices.messages import Programme
from cymba.stimulation.frames import pack
from cymba.stimulation.messages import (
    EndFrame,
    Event,
    EventFrame,
    Frame,
    SamplesFrame,
    StartFrame,
)
from cymba.stimulation.read_frame import ReadFrame

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

    def _key(self) -> dict[str, object]:
        self.seq += 1
        return {
            "v": 1,
            "store": self.store,
            "seq": self.seq,
            "boot": self.boot,
            "sid": self.sid,
            "up": self.up,
        }

    def start(self, programme: Programme = PROGRAMME) -> "Tape":
        self.frames.append(StartFrame(**self._key(), programme=programme))
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
        return [ReadFrame(frame, pack(frame).digest, received_at) for frame in self.frames]


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


@pytest.fixture
def programme() -> Programme:
    return PROGRAMME
