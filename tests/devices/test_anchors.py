"""Which anchors are kept, and that what is kept places a device's moments truly."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork
from cymba.devices import anchors
from cymba.devices.anchors import BootAnchor, BootKey, add_anchors, load_clocks
from cymba.devices.clocks import Anchor, from_ms, to_ms
from cymba.devices.provisioning import provision
from cymba.devices.tables import ClockAnchor
from tests.devices.conftest import MakeDevice

START = datetime(2026, 3, 1, tzinfo=UTC)
START_MS = to_ms(START)
HOUR_MS = 3_600_000.0


def count(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(ClockAnchor)).one()


def test_the_first_anchor_of_a_boot_moves_its_times(session: Session, device: MakeDevice) -> None:
    key = BootKey(device().device_id, 1, 17)
    anchor = Anchor("exchange", 1_000.5, START_MS, 20)
    assert add_anchors(session, [BootAnchor(key, anchor)]) == {key}
    assert add_anchors(session, [BootAnchor(key, anchor)]) == set()
    assert count(session) == 1
    moment = load_clocks(session, key.device_id).at(1, 17, 1_000.5, START + timedelta(days=1))
    assert moment == (START, 20, "anchored")


def test_a_live_device_leaves_few_anchors(session: Session, device: MakeDevice) -> None:
    key = BootKey(device().device_id, 1, 17)
    moved = []
    for minute in range(24 * 60):
        up = minute * 60_000
        offered = [
            BootAnchor(key, Anchor("exchange", up, START_MS + up, 30)),
            BootAnchor(key, Anchor("arrival", up, START_MS + up + 80)),
        ]
        moved.append(bool(add_anchors(session, offered)))
    assert count(session) <= 40
    assert moved[0]
    assert not any(moved[1:])


def test_of_a_backlog_the_tightest_bound_is_kept(session: Session, device: MakeDevice) -> None:
    key = BootKey(device().device_id, 1, 17)
    for batch in range(20):
        offered = [
            BootAnchor(key, Anchor("queued", (batch * 100 + frame) * 10_000, START_MS + batch))
            for frame in range(100)
        ]
        assert add_anchors(session, offered) == {key}
    last = session.scalars(select(ClockAnchor)).one()
    assert (last.kind, last.up_ms) == ("queued", 19_990_000)


def test_what_a_clock_says_is_kept_when_it_was_set(session: Session, device: MakeDevice) -> None:
    key = BootKey(device().device_id, 1, 17)
    claims = [
        Anchor("device_clock", 0, 0),  # 1970: never set
        Anchor("device_clock", 10_000, 10_000),
        Anchor("device_clock", 20_000, START_MS),
        Anchor("device_clock", 30_000, START_MS + 10_000),
        Anchor("device_clock", 40_000, START_MS + HOUR_MS),  # set anew
    ]
    add_anchors(session, [BootAnchor(key, claim) for claim in claims])
    kept = session.scalars(select(ClockAnchor.up_ms).order_by(ClockAnchor.up_ms)).all()
    assert kept == [20_000, 40_000]


def test_many_devices_in_one_call(session: Session) -> None:
    keys = [BootKey(one.device_id, 1, 1) for one in provision(session, "neck", 300)]
    offered = [BootAnchor(key, Anchor("arrival", 5, START_MS)) for key in keys]
    assert add_anchors(session, offered) == set(keys)
    assert count(session) == 300
    assert add_anchors(session, []) == set()


def test_a_stated_error_is_never_less_than_what_all_anchors_give(engine: Engine) -> None:
    with UnitOfWork(engine) as session:
        (device,) = provision(session, "ear_clip")
        session.commit()

    @settings(max_examples=25)
    @given(
        drift=st.floats(-100e-6, 100e-6),
        steps=st.lists(
            st.tuples(
                st.sampled_from(["exchange", "arrival", "queued"]),
                st.floats(1_000, 20 * HOUR_MS),
                st.floats(0, 30_000),
            ),
            min_size=1,
            max_size=12,
        ),
        share=st.floats(0, 1),
    )
    def check(drift: float, steps: list[tuple[str, float, float]], share: float) -> None:
        with UnitOfWork(engine) as session:
            key = BootKey(device.device_id, 7, 7)
            up = 0.0
            for kind, step, late in steps:
                up += step
                wall = START_MS + up / (1 + drift)
                if kind == "exchange":
                    anchor = Anchor("exchange", up, wall + late / 2, late / 2)
                else:
                    anchor = Anchor(kind, up, wall + late)  # type: ignore[arg-type]
                add_anchors(session, [BootAnchor(key, anchor)])
            asked = up * share
            arrived = from_ms(START_MS + up / (1 + drift) + 60_000)
            moment = load_clocks(session, device.device_id).at(7, 7, asked, arrived)
            truth = START_MS + asked / (1 + drift)
            assert abs(to_ms(moment.at) - truth) <= moment.error_ms + 1

    check()


BOOT_MS = 1_000_000
boots = st.tuples(st.integers(1, 2), st.integers(0, 12))
ups = st.one_of(st.sampled_from([0, BOOT_MS]), st.integers(0, BOOT_MS))
honest = st.dictionaries(
    boots,
    st.lists(
        st.tuples(
            st.sampled_from(["exchange", "arrival", "queued", "device_clock"]),
            ups,
            st.integers(0, 50_000),
        ),
        max_size=3,
    ),
    max_size=14,
)


def test_of_a_few_boots_as_much_is_read_as_tells_their_times(engine: Engine) -> None:
    """Boots one after another, anchored in all ways or none: read in part they have the same times
    as read whole, to the error and the source."""
    with UnitOfWork(engine) as session:
        (device,) = provision(session, "ear_clip")
        session.commit()

    @settings(max_examples=150)
    @given(told=honest, wanted=st.lists(boots, min_size=1, max_size=3), up=ups)
    def check(
        told: dict[tuple[int, int], list[tuple[str, int, int]]],
        wanted: list[tuple[int, int]],
        up: int,
    ) -> None:
        with UnitOfWork(engine) as session:
            for (store, boot), of_boot in told.items():
                wall = START_MS + (store * 24 + boot) * BOOT_MS
                add_anchors(
                    session,
                    [
                        BootAnchor(
                            BootKey(device.device_id, store, boot),
                            Anchor(kind, at, wall + at + late, late * (kind == "exchange")),  # type: ignore[arg-type]
                        )
                        for kind, at, late in of_boot
                    ],
                )
            whole = load_clocks(session, device.device_id)
            part = load_clocks(session, device.device_id, wanted)
            arrived = START + timedelta(days=9)
            for asked in wanted:
                assert part.at(*asked, up, arrived) == whole.at(*asked, up, arrived)

    check()


def test_of_no_boots_nothing_is_read(session: Session, device: MakeDevice) -> None:
    key = BootKey(device().device_id, 1, 17)
    add_anchors(session, [BootAnchor(key, Anchor("exchange", 1_000, START_MS, 20))])
    assert load_clocks(session, key.device_id, []).stores == {}


def test_of_a_device_that_lies_only_so_much_is_read(
    session: Session, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    device_id = device().device_id
    add_anchors(
        session,
        [
            BootAnchor(BootKey(device_id, 1, boot), Anchor("queued", 5, START_MS + boot))
            for boot in range(200)
        ],
    )
    assert len(load_clocks(session, device_id, [(1, 100)]).stores[1].boots) == 200
    monkeypatch.setattr(anchors, "MOST_NEIGHBOURS", 10)
    assert list(load_clocks(session, device_id, [(1, 100)]).stores[1].boots) == [*range(90, 111)]
    many = [(1, boot) for boot in range(100, 150)]
    assert list(load_clocks(session, device_id, many).stores[1].boots) == [*range(100, 150)]


def test_so_many_claims_are_checked_and_no_more(
    session: Session, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    device_id = device().device_id

    def told(boot: int, *known: Anchor) -> None:
        add_anchors(session, [BootAnchor(BootKey(device_id, 1, boot), one) for one in known])

    told(1, Anchor("exchange", 0, START_MS, 20), Anchor("device_clock", 0, START_MS + HOUR_MS))
    told(2, Anchor("exchange", 0, START_MS, 20), Anchor("device_clock", 0, START_MS + 2 * HOUR_MS))
    told(3, Anchor("device_clock", 0, START_MS))
    assert load_clocks(session, device_id, [(1, 3)]).claim_error_ms == 2 * HOUR_MS + 20
    monkeypatch.setattr(anchors, "MOST_CHECKED", 2)
    assert load_clocks(session, device_id, [(1, 3)]).claim_error_ms == HOUR_MS + 20


@pytest.mark.parametrize("order", list(permutations(range(5)))[::7], ids=str)
def test_in_whatever_order_they_come_the_true_anchors_win(
    session: Session, device: MakeDevice, order: tuple[int, ...]
) -> None:
    """One message's time of arrival was by a clock an hour behind."""
    key = BootKey(device().device_id, 1, 17)
    said = [Anchor("arrival", hour * HOUR_MS, START_MS + hour * HOUR_MS + 300) for hour in range(5)]
    said[1] = said[1]._replace(wall_ms=said[1].wall_ms - HOUR_MS)
    for number in order:
        add_anchors(session, [BootAnchor(key, said[number])])
    clocks = load_clocks(session, key.device_id)
    for hour in (0, 1, 4, 9):
        moment = clocks.at(1, 17, hour * HOUR_MS, START + timedelta(days=1))
        off_ms = abs(to_ms(moment.at) - START_MS - hour * HOUR_MS)
        assert off_ms < 60_000, (order, hour, moment)
        assert moment.error_ms >= HOUR_MS - 61_000
