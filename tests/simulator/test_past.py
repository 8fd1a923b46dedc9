"""What a simulated world says of itself, against what the core makes of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.database import units_of_work
from cymba.devices.anchors import Anchor, BootAnchor, BootKey, load_clocks
from cymba.devices.clocks import DeviceClocks
from cymba.devices.provisioning import provision
from cymba.devices.tables import DevicePresence, DeviceTenure
from cymba.settings import Settings
from cymba.stimulation.ingest.decide import Delivery, Stored
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.tables import QuarantinedFrame, StimulationSession
from cymba.stimulation.wire.frames import decode
from cymba.stimulation.wire.messages import Frame, StartFrame
from firmware import wire
from simulator.clock import SimulatedBootClock, WorldClock, epoch_ms
from simulator.device import PRESENT_BOOT
from simulator.faults import REALISTIC
from simulator.life import Booted, Life, Rhythm, WrittenFrame
from simulator.past import PAST, Uploaded, habitual_starts, past_uploads, write_past
from simulator.seeding import stream
from workers.session_worker import SessionWorker

UNTIL = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
Hold = Callable[[str], str]


@pytest.fixture
def held(session: Session) -> str:
    """A device that somebody holds."""
    account = Account(email="somebody@example.org", time_zone="Europe/Berlin")
    session.add(account)
    (device,) = provision(session, "ear_cymba")
    session.flush()
    session.add(DeviceTenure(device_id=device.device_id, account_id=account.id, claimed_at=UNTIL))
    session.commit()
    return device.device_id


def habits(seed: int, days: int = 120, zone: str = "Europe/Berlin") -> list[datetime]:
    return habitual_starts(days, UNTIL, time_zone=zone, rng=stream(seed, "habits"))


def test_habits_are_kept_on_most_days_and_less_at_weekends() -> None:
    shares, weekend, working = [], [], []
    for seed in range(60):
        days = [start.astimezone(ZoneInfo("Europe/Berlin")).date() for start in habits(seed)]
        assert all(start < UNTIL for start in habits(seed))
        assert max(days.count(day) for day in days) <= 2
        shares.append(len(set(days)) / 120)
        weekend.append(sum(day.weekday() >= 5 for day in set(days)))
        working.append(sum(day.weekday() < 5 for day in set(days)))
    assert 0.55 < np.mean(shares) < 0.8
    assert np.mean(weekend) / 34 < 0.85 * np.mean(working) / 86


def test_habits_are_at_the_persons_hours_over_the_change_to_summer_time() -> None:
    zone = ZoneInfo("Europe/Berlin")
    hours = [start.astimezone(zone).hour for seed in range(20) for start in habits(seed)]
    assert set(hours) <= set(range(5, 12)) | set(range(17, 24))
    assert habits(3) == habits(3) != habits(4)


@pytest.fixture(scope="module")
def uploads() -> list[Uploaded]:
    starts = habits(1, days=30)
    past = past_uploads("device-0001", "ear_cymba", seed=1, starts=starts, until=UNTIL)
    return [one for one in past if isinstance(one, Uploaded)]


def test_a_past_is_the_same_each_time_and_never_after_its_end(uploads: list[Uploaded]) -> None:
    again = past_uploads("device-0001", "ear_cymba", seed=1, starts=habits(1, days=30), until=UNTIL)
    assert [one for one in again if isinstance(one, Uploaded)] == uploads
    assert all(one.written_at <= one.arrived_at <= UNTIL for one in uploads)
    late = [one for one in uploads if one.arrived_at - one.written_at > timedelta(minutes=1)]
    assert 0 < len(late) < len(uploads) / 2
    assert not any(one.settled for one in late)


def test_a_past_without_sessions_is_nothing() -> None:
    assert not list(past_uploads("device-0001", "neck", seed=1, starts=[], until=UNTIL))


def test_months_are_stored_whole_and_placed_within_their_error(
    engine: Engine, session: Session, held: str
) -> None:
    starts = habits(1, days=60)
    told: list[float] = []
    written = write_past(
        units_of_work(engine).begin, held, "ear_cymba", seed=1, days=60, until=UNTIL,
        starts=starts, progress=told.append,
    )  # fmt: skip
    assert told == sorted(told)
    assert 0.9 < told[-1] <= 1.0
    worker = SessionWorker(engine, Settings(), clock=lambda: UNTIL + timedelta(days=2))
    while worker.run_once().more:
        pass

    rows = {row.sid: row for row in session.scalars(select(StimulationSession))}
    assert len(rows) == written.sessions > 30
    assert all(row.completeness == 1.0 for row in rows.values() if row.completeness is not None)
    assert sum(row.frames_stored for row in rows.values()) == written.frames
    assert session.scalar(select(func.count()).select_from(QuarantinedFrame)) == 0
    truths = past_uploads(held, "ear_cymba", seed=1, starts=starts, until=UNTIL)
    seen = 0
    for one in truths:
        if isinstance(one, Uploaded) and one.begins_session:
            frame = decode(one.payload)
            assert isinstance(frame, StartFrame)
            row = rows[frame.sid]
            off_ms = abs(row.started_at - one.written_at) / timedelta(milliseconds=1)
            assert off_ms <= row.time_error_ms + 1
            seen += 1
    assert seen == len(rows)
    presence = session.get(DevicePresence, held)
    assert presence is not None
    assert (presence.online, presence.drained_at) == (False, UNTIL)


def test_writing_the_same_past_again_changes_nothing(
    engine: Engine, session: Session, held: str
) -> None:
    def write() -> None:
        write_past(
            units_of_work(engine).begin, held, "ear_cymba", seed=1, days=10, until=UNTIL,
            starts=habits(1, days=10),
        )  # fmt: skip
        worker = SessionWorker(engine, Settings(), clock=lambda: UNTIL)
        while worker.run_once().more:
            pass

    write()
    before = session.scalars(select(StimulationSession.id)).all()
    session.rollback()
    write()
    assert session.scalars(select(StimulationSession.id)).all() == before != []


def test_a_device_that_nobody_holds_cannot_be_given_a_past(
    engine: Engine, session: Session
) -> None:
    (device,) = provision(session, "ear_cymba")
    session.commit()
    with pytest.raises(RuntimeError, match="not-claimed"):
        write_past(
            units_of_work(engine).begin, device.device_id, "ear_cymba", seed=1, days=5,
            until=UNTIL, starts=habits(1, days=5),
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_a_past_lived_at_speed_is_placed_truly(session: Session, held: str, seed: int) -> None:
    """Boots come and go, calendars are somewhat off, the backlog comes at 600 times its pace and
    the clock exchange is of the present boot: yet what is told of any moment is true within its
    error."""
    world = WorldClock(UNTIL, 0.0, 600.0, timedelta(hours=30))
    profile = replace(
        REALISTIC,
        calendar_lost_per_boot=0.9,  # as they would be, if they were met while it was lived
        power_cycle_per_session=0.7,
        old_firmware_per_device=0,
    )
    life = Life(
        held, "ear_cymba", seed=seed, began_at=world.began_at, profile=profile,
        schedule=Rhythm(pause_s=(600.0, 7_200.0)),
    )  # fmt: skip
    first = life.clock_of(life.first_boot, 0.0, dated=True)
    truths: list[tuple[Frame, float, datetime]] = []
    clock = first
    for one in life.lived(0.0, world.past_ms, first, always_dated=True):
        match one:
            case Booted(_, clock):
                pass
            case WrittenFrame(at_ms, frame):
                arrived_at = UNTIL + timedelta(seconds=world.when(at_ms) + 0.5)
                truths.append((frame, clock.world_ms(frame.up), arrived_at))
    present = life.clock_of(PRESENT_BOOT, world.past_ms)
    deliveries = [
        Delivery(held, wire.encode(frame, "json"), arrived_at, True)
        for frame, _, arrived_at in truths
    ]
    taken = ingest(session, deliveries, exchanges=[_exchange(held, life, present, world)])
    assert all(isinstance(outcome, Stored) for outcome in taken.outcomes)

    clocks: DeviceClocks = load_clocks(session, held)
    sources = set()
    for frame, true_ms, arrived_at in truths:
        moment = clocks.at(frame.store, frame.boot, frame.up, arrived_at)
        sources.add(moment.source)
        off_ms = abs(epoch_ms(moment.at) - epoch_ms(world.began_at) - true_ms)
        assert off_ms <= moment.error_ms + 1
        assert moment.at <= arrived_at
    assert sources == {"device_clock"}


def _exchange(held: str, life: Life, present: SimulatedBootClock, world: WorldClock) -> BootAnchor:
    up_ms = 2_000.0
    wall_ms = epoch_ms(world.began_at) + present.world_ms(up_ms)
    key = BootKey(held, life.store, present.boot)
    return BootAnchor(key, Anchor("exchange", up_ms, wall_ms, 20.0))


def test_the_default_past_is_that_of_a_device_of_today() -> None:
    assert PAST.spoiled_per_frame == PAST.old_firmware_per_device == 0
