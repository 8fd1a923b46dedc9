"""Which anchors are kept, and that what is kept places a device's moments truly."""

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

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
    with Session(engine) as session:
        (device,) = provision(session, "ear_clip")
        session.commit()

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
        with Session(engine) as session:
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
