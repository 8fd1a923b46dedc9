"""Months of a person's sessions, simulated at once and ingested as if they had arrived then.

The frames go through the core's ingest, with the arrival times and the clock exchanges of a device
that was mostly online. Nothing lies after `until`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import structs
from sqlalchemy.orm import Session

from cymba.devices.anchors import Anchor, BootAnchor, BootKey
from cymba.devices.presence import record_presence
from cymba.stimulation.ingest.decide import Delivery, Duplicate, Stored
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.wire.messages import Presence, StartFrame
from firmware import wire
from simulator.clock import SimulatedBootClock, epoch_ms
from simulator.faults import REALISTIC, Profile
from simulator.life import Booted, Life, WrittenFrame
from simulator.link import Link
from simulator.seeding import chance, stream

PAST = replace(REALISTIC, name="past", old_firmware_per_device=0.0, reboot_per_session=0.01)
FRAME_S = 60
BATCH_FRAMES = 1_000
LATENCY_S = (0.2, 1.5)
EXCHANGE_ERROR_MS = 60.0
# Local times of a person's sessions: the middle, and the standard deviation in minutes.
MORNING, EVENING = (time(8, 15), 35.0), (time(20, 30), 45.0)
WEEKEND_SHARE = 0.7  # of a working day's chance of a session
HOLIDAY_PER_DAY = 0.01  # of days on which a holiday begins


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A payload of the past, and when it was written. `settled` is that of `decide.Delivery`."""

    payload: bytes
    written_at: datetime
    arrived_at: datetime
    settled: bool
    begins_session: bool


@dataclass(slots=True)
class PastWritten:
    sessions: int = 0
    frames: int = 0


@dataclass(slots=True)
class Planned:
    """A schedule of given moments, in simulated ms. Two that overlap follow each other."""

    starts_ms: Iterator[float]

    def next_start_ms(
        self, free_ms: float, rng: np.random.Generator, *, first: bool
    ) -> float | None:
        start_ms = next(self.starts_ms, None)
        if start_ms is None:
            return None
        return start_ms if first else max(start_ms, free_ms + rng.uniform(60.0, 300.0) * 1000.0)


def habitual_starts(
    days: int, until: datetime, *, time_zone: str, rng: np.random.Generator
) -> list[datetime]:
    """The beginnings of a person's sessions on the `days` local days before that of `until`.

    60-80 % of the days have a session, weekends fewer, holidays none. Some days have two.
    """
    zone = ZoneInfo(time_zone)
    on_working_days = rng.uniform(0.6, 0.8) * 7.0 / (5.0 + 2.0 * WEEKEND_SHARE)
    twice = rng.uniform(0.15, 0.5)
    today = until.astimezone(zone).date()
    starts: list[datetime] = []
    away_until = date.min
    for day in (today - timedelta(days=days - at) for at in range(days)):
        if day > away_until and chance(rng, HOLIDAY_PER_DAY):
            away_until = day + timedelta(days=int(rng.integers(2, 5)))
        share = on_working_days * (WEEKEND_SHARE if day.weekday() >= 5 else 1.0)
        uses, both, evening = chance(rng, share), chance(rng, twice), chance(rng, 0.6)
        times = (MORNING, EVENING) if both else (EVENING,) if evening else (MORNING,)
        for middle, spread_min in times if uses and day > away_until else ():
            local = datetime.combine(day, middle, tzinfo=zone)
            offset = timedelta(minutes=float(np.clip(rng.normal(0.0, spread_min), -150, 150)))
            starts.append(local.astimezone(UTC) + offset)
    return starts


def past_uploads(
    device_id: str,
    model: str,
    *,
    seed: int,
    starts: Sequence[datetime],
    until: datetime,
    profile: Profile = PAST,
) -> Iterator[Uploaded | BootAnchor | Presence]:
    """What reached the server: the frames of sessions begun at `starts`, and clock exchanges.

    It ends at `until` with the device's report that it has nothing left to send. Sessions that
    would not have ended by `until` are left out, and all after them.
    """
    if not starts:
        return
    began_at = starts[0] - timedelta(minutes=5)
    until_ms = epoch_ms(until) - epoch_ms(began_at)
    life = Life(
        device_id,
        model,
        seed=seed,
        began_at=began_at,
        profile=profile,
        schedule=Planned(epoch_ms(start) - epoch_ms(began_at) for start in starts),
        frame_s=FRAME_S,
    )
    rng = stream(seed, device_id, "uploads")
    link = Link(None, profile.outages, rng)
    clock = life.clock_of(life.first_boot, 0.0, dated=True)
    for lived in life.lived(0.0, until_ms, clock, always_dated=True):
        match lived:
            case Booted(at_ms, clock):
                if link.is_up(at_ms):
                    yield _exchanged(life, clock, began_at, rng)
            case WrittenFrame(at_ms, frame):
                is_up = link.is_up(at_ms)
                arrived_ms = at_ms if is_up else link.changes_ms()[1]
                arrived_ms = min(arrived_ms + rng.uniform(*LATENCY_S) * 1000.0, until_ms)
                # A backlog is sent in bulk, and says nothing about the clock.
                sent = max(clock.up_ms(at_ms), frame.up) if is_up else None
                payload = wire.encode(structs.replace(frame, sent=sent), life.firmware.wire)
                yield Uploaded(
                    payload,
                    written_at=began_at + timedelta(milliseconds=at_ms),
                    arrived_at=began_at + timedelta(milliseconds=arrived_ms),
                    settled=is_up,
                    begins_session=isinstance(frame, StartFrame),
                )
    yield Presence(
        online=True,
        store=life.store,
        boot=clock.boot,
        sent=clock.up_ms(until_ms),
        firmware=life.firmware.version,
        model=model,
        battery_pct=life.battery_pct,
        queued=0,
    )


def _exchanged(
    life: Life, clock: SimulatedBootClock, began_at: datetime, rng: np.random.Generator
) -> BootAnchor:
    """A clock exchange some seconds after a boot, as precise as a phone's link allows."""
    up_ms = float(rng.uniform(1_000.0, 3_000.0))
    wall_ms = epoch_ms(began_at) + clock.world_ms(up_ms)
    wall_ms += rng.uniform(-0.5, 0.5) * EXCHANGE_ERROR_MS
    key = BootKey(life.device_id, life.store, clock.boot)
    return BootAnchor(key, Anchor("exchange", up_ms, wall_ms, EXCHANGE_ERROR_MS))


def write_past(
    open_session: Callable[[], AbstractContextManager[Session]],
    device_id: str,
    model: str,
    *,
    seed: int,
    days: int,
    until: datetime,
    time_zone: str = "UTC",
    starts: Sequence[datetime] | None = None,
    profile: Profile = PAST,
    progress: Callable[[float], None] = lambda _share: None,
) -> PastWritten:
    """Store `days` of a person's past with a device that somebody holds, up to `until`.

    `starts` are the beginnings of the sessions; by default those of `habitual_starts`. Every batch
    is a transaction of a session from `open_session`, which must commit when it ends
    (`sessionmaker.begin` does). `progress` is called with the share that is done. The sessions
    appear once the session worker has aggregated them.
    """
    if starts is None:
        rng = stream(seed, device_id, "habits")
        starts = habitual_starts(days, until, time_zone=time_zone, rng=rng)
    written = PastWritten()
    uploads = past_uploads(device_id, model, seed=seed, starts=starts, until=until, profile=profile)
    for batch in _batched(uploads):
        with open_session() as session:
            taken = ingest(
                session,
                [
                    Delivery(device_id, one.payload, one.arrived_at, one.settled)
                    for one in batch.uploads
                ],
                exchanges=batch.exchanges,
            )
            lost = [one for one in taken.outcomes if not isinstance(one, Stored | Duplicate)]
            if lost:
                raise RuntimeError(f"a frame of the past was not stored: {lost[0]}")
            for presence in batch.presences:
                record_presence(session, device_id, presence, until)
                record_presence(session, device_id, structs.replace(presence, online=False), until)
        written.frames += len(batch.uploads)
        written.sessions += sum(one.begins_session for one in batch.uploads)
        progress(min(1.0, written.sessions / max(len(starts), 1)))
    return written


@dataclass(slots=True)
class _Batch:
    uploads: list[Uploaded] = field(default_factory=list)
    exchanges: list[BootAnchor] = field(default_factory=list)
    presences: list[Presence] = field(default_factory=list)


def _batched(uploads: Iterable[Uploaded | BootAnchor | Presence]) -> Iterator[_Batch]:
    batch = _Batch()
    for one in uploads:
        match one:
            case Uploaded():
                batch.uploads.append(one)
            case BootAnchor():
                batch.exchanges.append(one)
            case Presence():
                batch.presences.append(one)
        if len(batch.uploads) >= BATCH_FRAMES:
            yield batch
            batch = _Batch()
    yield batch
