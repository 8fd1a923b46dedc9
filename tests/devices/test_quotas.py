"""Quotas are the database's: of all processes together, and after each has begun anew."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, func, select
from sqlalchemy.orm import Session

from cymba.accounts.rate_limiter import Bucket
from cymba.accounts.tables import RateLimit
from cymba.database import UnitOfWork
from cymba.devices.claiming import claim
from cymba.devices.quotas import (
    BUCKETS,
    FRAME_BYTES,
    OF_ACCOUNT,
    OF_ALL,
    PORTIONS,
    QUARANTINED,
    SESSION_FRAME_BYTES,
    SESSIONS,
    STORED,
    Demand,
    FrameCost,
    Quota,
    Reservation,
    costs_of,
)
from tests.devices.conftest import MakeAccount, MakeDevice

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEVER = 1e9  # seconds until one is forgotten
DAY = timedelta(days=1)
Limits = dict[str, Bucket]


def cost(*frames: tuple[int, int]) -> FrameCost:
    """Of frames with payloads of such sizes, which take so much memory."""
    stored, sizes = zip(*itertools.starmap(costs_of, frames), strict=True)
    return FrameCost(len(frames), sum(stored), sum(sizes))


class Stores:
    """A process that stores frames of a device, or payloads in quarantine, a batch at a time."""

    def __init__(self, engine: Engine, quota: Quota | None = None, **buckets: Bucket) -> None:
        self.engine = engine
        self.quota = quota or Quota({**BUCKETS, **buckets})

    def store(
        self, *frames: tuple[int, int], device_id: str = "ear-00001", at: datetime = NOON
    ) -> int:
        """How many are stored of these frames, each of a session and with so many bytes."""
        demand = Demand()
        for number, size in frames:
            demand.store(UUID(int=number), costs_of(size, 0)[0])
        with self._settled(demand, device_id, at) as taken:
            return sum(
                taken.spend(device_id, UUID(int=number), cost((size, 0))) for number, size in frames
            )

    def set_aside(self, *sizes: int, device_id: str = "ear-00001", at: datetime = NOON) -> int:
        """How many payloads of these sizes are kept in quarantine."""
        demand = Demand()
        for size in sizes:
            demand.quarantine(size)
        with self._settled(demand, device_id, at) as taken:
            return sum(taken.quarantine(device_id, size) for size in sizes)

    @contextmanager
    def _settled(self, demand: Demand, device_id: str, at: datetime) -> Iterator[Reservation]:
        with (
            self.quota.reserve() as taken,
            UnitOfWork(self.engine) as session,
            session.begin(),
        ):
            taken.settle(session, {device_id: demand}, at)
            yield taken


@pytest.fixture
def stores(engine: Engine) -> Callable[..., Stores]:
    return lambda **buckets: Stores(engine, **buckets)


def test_a_device_begins_only_so_many_sessions(stores: Callable[..., Stores]) -> None:
    process = stores(**{SESSIONS: Bucket(3, leak_s=2)})
    assert process.store(*((number, 1) for number in range(10))) == 3
    assert process.store((0, 1)) == 1  # one that was begun goes on
    assert process.store((9, 1), device_id="ear-00002") == 1
    assert process.store((8, 1)) == 0
    assert process.store((8, 1), (9, 1), at=NOON + timedelta(seconds=2)) == 1


def test_a_session_grows_only_so_large(engine: Engine) -> None:
    process = Stores(engine, Quota(session_bytes=11_000))
    assert process.store(*[(1, 3_000)] * 5) == 3
    assert process.store((1, 1_000)) == 1
    assert process.store(*[(2, 1)] * 50) == 11_000 // SESSION_FRAME_BYTES


def test_no_honest_device_comes_near(stores: Callable[..., Stores]) -> None:
    """A day of full telemetry every day for two months, and years of backlog at once."""
    process = stores()
    for day in range(60):
        frames = [(1 + day, 2_000)] * (24 * 3_600 // 5)
        assert process.store(*frames, at=NOON + day * DAY) == len(frames)
    backlog = [(1_000 + number, 2_000) for number in range(2 * 365)]
    assert process.store(*backlog, device_id="ear-00002") == len(backlog)


@pytest.mark.parametrize("anew", [False, True])
def test_it_makes_no_difference_that_a_process_begins_anew(
    stores: Callable[..., Stores], anew: bool
) -> None:
    """A quota in a process's memory would be as many quotas as there are starts."""
    buckets = {
        STORED: Bucket(100_000, NEVER),
        SESSIONS: Bucket(50, NEVER),
        QUARANTINED: Bucket(100_000, NEVER),
    }
    process = stores(**buckets)
    stored = kept = begun = 0
    for _ in range(40):
        stored += process.store(*[(0, 1_000)] * 10)
        kept += process.set_aside(*[1_000] * 10)
        begun += process.store(*((number, 1) for number in range(100 * begun, 100 * begun + 5)))
        if anew:
            process = stores(**buckets)
    # What a process has not entered when it ends is lost: here less than a batch of each.
    assert 1_000 * stored + FRAME_BYTES * begun <= 100_000 + 40 * 12_500 * anew
    assert kept <= 100 + 64 * 40 * anew


def test_processes_exceed_a_quota_by_no_more_than_a_portion_each(
    stores: Callable[..., Stores],
) -> None:
    most = 4 * int(PORTIONS[STORED])
    processes = [stores(**{STORED: Bucket(most, NEVER)}) for _ in range(3)]
    stored = sum(
        10_000 * process.store(*[(0, 10_000)] * 20) for _ in range(60) for process in processes
    )
    assert most <= stored <= most + 3 * (PORTIONS[STORED] + 200_000)


def test_the_devices_of_an_account_share_what_it_may_keep(
    stores: Callable[..., Stores], session: Session, account: MakeAccount, device: MakeDevice
) -> None:
    hostile, neighbour = account("hostile"), account("neighbour")
    held = [device() for _ in range(4)]
    for one in held:
        claim(session, hostile, one.serial, one.claim_code, NOON)
    other = device()
    claim(session, neighbour, other.serial, other.claim_code, NOON)
    session.commit()
    process = stores(**{OF_ACCOUNT: Bucket(20_000, NEVER)})
    stored = [
        process.store(*[(0, 1_000)] * 5, device_id=one.device_id) for _ in range(9) for one in held
    ]
    assert stored[0] == 5
    assert stored[-4:] == [0] * 4
    assert process.store(*[(0, 1_000)] * 5, device_id=other.device_id) == 5


def test_quarantine_is_bounded_by_device_and_in_all(stores: Callable[..., Stores]) -> None:
    process = stores(**{QUARANTINED: Bucket(200_000, NEVER), OF_ALL: Bucket(500_000, NEVER)})
    kept = [
        sum(process.set_aside(*[2_000] * 10, device_id=f"ear-{number:05}") for _ in range(20))
        for number in range(8)
    ]
    assert kept[0] <= (200_000 + PORTIONS[QUARANTINED]) / 2_000
    assert kept[-1] <= PORTIONS[QUARANTINED] / 2_000
    assert stores().set_aside(1, device_id="ear-00009") == 1


def test_what_was_rolled_back_used_nothing(engine: Engine) -> None:
    quota = Quota(
        {**BUCKETS, STORED: Bucket(1_000, NEVER), SESSIONS: Bucket(1, NEVER)}, session_bytes=4_000
    )
    demand = Demand()
    demand.store(UUID(int=1), 500)

    def fail() -> None:
        with quota.reserve() as taken, UnitOfWork(engine) as session, session.begin():
            taken.settle(session, {"ear-00001": demand}, NOON)
            assert taken.spend("ear-00001", UUID(int=1), cost((500, 0)))
            assert taken.spend("ear-00001", UUID(int=1), cost((500, 0)))
            assert not taken.spend("ear-00001", UUID(int=1), cost((500, 0)))
            raise ZeroDivisionError

    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            fail()
    process = Stores(engine, quota)
    assert process.store((1, 500)) == 1
    assert process.store((2, 500)) == 0  # one session is all
    assert process.store((1, 500)) == 1
    assert process.store((1, 500)) == 0
    with UnitOfWork(engine) as session:
        assert session.scalar(select(func.max(RateLimit.level))) == 1_000


def test_the_database_is_asked_once_for_many_frames(
    engine: Engine, stores: Callable[..., Stores]
) -> None:
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    process = stores()
    for _ in range(200):
        assert process.store(*[(0, 2_000)] * 10) == 10  # 4 MB in all
    counted = [one for one in asked if "INSERT INTO rate_limit" in one]
    assert 3 <= len(counted) <= 8


def test_a_session_is_bounded_by_what_its_readings_take_in_memory(engine: Engine) -> None:
    """A reading may be one byte of a frame, and takes many more wherever it is read."""
    quota = Quota(session_bytes=100_000)
    demand = Demand()
    demand.store(UUID(int=1), 100_000)
    with UnitOfWork(engine) as session, session.begin():
        quota.settle(session, {"ear-00001": demand}, NOON)
    frames = [quota.spend("ear-00001", UUID(int=1), cost((2_000, 30_000))) for _ in range(10)]
    assert frames == [True] * 3 + [False] * 7


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 2_000), st.integers(0, 4_000)), min_size=1, max_size=8),
    st.integers(0, 9_000),
    st.integers(500, 20_000),
)
def test_frames_are_counted_at_once_as_one_by_one_or_not_at_all(
    frames: list[tuple[int, int]], allowance: int, session_bytes: int
) -> None:
    sid = UUID(int=1)

    def process() -> tuple[Quota, Reservation]:
        quota = Quota(session_bytes=session_bytes)
        meters = quota._meters_of("ear-00001")
        meters[STORED].left, meters[SESSIONS].left = allowance, 1
        return quota, quota.reserve()

    (quota, at_once), (other, singly) = process(), process()
    allowed = at_once.spend("ear-00001", sid, cost(*frames))
    asked = [singly.spend("ear-00001", sid, cost(frame)) for frame in frames]
    assert allowed == all(asked)
    # A session's first frame may be of any size.
    assert asked[0] == (allowance >= max(frames[0][0], FRAME_BYTES))
    if allowed:
        assert quota._known == other._known
        assert quota._meters_of("ear-00001") == other._meters_of("ear-00001")
    at_once.give_back_all()
    singly.give_back_all()
    for one in (quota, other):
        meters = one._meters_of("ear-00001")
        assert (meters[STORED].left, meters[SESSIONS].left) == (allowance, 1)
        assert not one._known


def test_of_too_many_sessions_the_one_that_rested_longest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cymba.devices.quotas.MAX_SESSIONS_KNOWN", 2)
    quota = Quota()
    meters = quota._meters_of("ear-00001")
    meters[STORED].left, meters[SESSIONS].left = 10_000, 4
    for number in (1, 2, 1, 3, 1):
        assert quota.spend("ear-00001", UUID(int=number), cost((500, 0)))
    assert meters[SESSIONS].left == 1
    assert quota.spend("ear-00001", UUID(int=2), cost((500, 0)))  # which begins anew
    assert meters[SESSIONS].left == 0


def test_what_was_given_back_is_not_given_back_again() -> None:
    quota = Quota()
    meters = quota._meters_of("ear-00001")
    meters[STORED].left, meters[SESSIONS].left = 10_000, 1
    sid, two = UUID(int=1), cost((600, 0), (700, 0))
    with quota.reserve() as taken:
        assert taken.spend("ear-00001", sid, two)
        assert taken.spend("ear-00001", sid, cost((800, 0)))
        taken.give_back("ear-00001", sid, two)
        assert meters[STORED].left == 9_200
        taken.give_back_all()
    assert (meters[STORED].left, meters[SESSIONS].left) == (10_000, 1)
