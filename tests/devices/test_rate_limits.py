from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cymba.devices.rate_limits import Buckets, Quota, Rate, RateLimits


def test_a_live_device_never_hears_of_it() -> None:
    flow = RateLimits()
    for second in range(3_600):
        assert flow.admit("ear-0001", 400, float(second)) == (True, None)


def test_a_backlog_that_keeps_to_the_rate_it_is_told_is_never_refused() -> None:
    flow = RateLimits(device_frames=Rate(per_s=20, burst=100))
    now_s, told = 0.0, None
    for _ in range(1_000):
        admission = flow.admit("ear-0001", 400, now_s)
        assert admission.admitted
        told = admission.max_frames_per_s
        now_s += 1 / told if told else 0.001
    assert told == 20
    assert 45 < now_s < 50  # 1,000 frames at 20/s, the first fifty at once


def test_a_flood_costs_its_device_alone() -> None:
    flow = RateLimits(device_frames=Rate(per_s=20, burst=100))
    passed = sum(flow.admit("flood-01", 400, n / 10_000).admitted for n in range(100_000))
    assert passed == pytest.approx(100 + 20 * 10, abs=1)
    assert flow.admit("ear-0001", 400, 10.0) == (True, None)


def test_huge_frames_are_counted_by_their_bytes() -> None:
    flow = RateLimits(device_bytes=Rate(per_s=1_600, burst=160_000))
    passed = sum(flow.admit("huge-001", 16_000, 0.0).admitted for _ in range(50))
    assert passed == 10
    refused = flow.admit("huge-001", 16_000, 1.0)
    assert refused == (False, 0.1)


def test_the_devices_of_an_account_share_its_bucket() -> None:
    flow = RateLimits(account_frames=Rate(per_s=10, burst=30))
    passed = [flow.admit(f"ear-{n % 3:04}", 400, 0.0, account_id="ann").admitted for n in range(60)]
    assert sum(passed) == 30
    assert flow.admit("ear-0009", 400, 0.0, account_id="bob").admitted


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 16_384)), max_size=200),
    st.floats(1, 100),
    st.floats(1, 100),
)
def test_no_more_passes_than_the_rate_and_one_burst(
    arrivals: list[tuple[float, int]], per_s: float, burst: float
) -> None:
    flow = RateLimits(device_frames=Rate(per_s, burst))
    now_s, passed = 0.0, 0
    for pause_s, payload_bytes in arrivals:
        now_s += pause_s
        passed += flow.admit("ear-0001", payload_bytes, now_s).admitted
    assert passed <= burst + per_s * now_s + 1e-6


def test_time_that_runs_backwards_fills_nothing() -> None:
    flow = RateLimits(device_frames=Rate(per_s=1, burst=1))
    assert flow.admit("ear-0001", 1, 100.0).admitted
    assert not flow.admit("ear-0001", 1, 50.0).admitted
    assert not flow.admit("ear-0001", 1, 100.5).admitted
    assert flow.admit("ear-0001", 1, 101.0).admitted


def test_buckets_do_not_pile_up() -> None:
    buckets = Buckets(Rate(1, 1), max_buckets=10)
    for n in range(1_000):
        buckets.filled(f"device-{n}", float(n))
    assert len(buckets) == 10


def test_a_device_begins_only_so_many_sessions() -> None:
    allowance = Quota(new_sessions=Rate(per_s=0.5, burst=3))
    sids = [UUID(int=n) for n in range(10)]
    assert [allowance.session("flood-01", sid, 0.0) for sid in sids] == [True] * 3 + [False] * 7
    assert allowance.session("flood-01", sids[0], 0.0)  # one that was begun goes on
    assert allowance.session("ear-0001", sids[9], 0.0)
    assert allowance.session("flood-01", sids[9], 2.0)
    assert not allowance.session("flood-01", sids[8], 2.0)


def test_a_session_grows_only_so_large() -> None:
    allowance = Quota(session_bytes=10_000)
    one, other = UUID(int=1), UUID(int=2)
    allowed = [allowance.session("flood-01", one, 0.0, payload_bytes=3_000) for _ in range(5)]
    assert allowed == [True] * 3 + [False] * 2
    assert allowance.session("flood-01", one, 0.0, payload_bytes=1_000)
    assert sum(allowance.session("flood-01", other, 0.0, payload_bytes=1) for _ in range(50)) == 20


def test_a_day_of_full_telemetry_is_no_flood() -> None:
    allowance = Quota()
    frames = 24 * 3_600 // 5
    sid = UUID(int=1)
    assert all(allowance.session("a", sid, 0.0, payload_bytes=2_000) for _ in range(frames))


def test_years_of_backlog_begin_at_once() -> None:
    allowance = Quota()
    assert all(allowance.session("ear-0001", UUID(int=n), 0.0) for n in range(2 * 365))


def test_what_cannot_be_read_is_kept_up_to_a_bound() -> None:
    allowance = Quota(quarantined_bytes=Rate(per_s=100, burst=10_000))
    assert sum(allowance.quarantine("broken-1", 4_000, 0.0) for _ in range(10)) == 2
    assert sum(allowance.quarantine("broken-2", 1, 0.0) for _ in range(100)) == 20
    assert allowance.quarantine("broken-1", 4_000, 20.0)


def test_what_an_attempt_took_is_given_back_where_it_fails() -> None:
    allowance = Quota(
        new_sessions=Rate(per_s=1e-6, burst=2),
        quarantined_bytes=Rate(per_s=1e-6, burst=1_000),
        session_bytes=1_500,
    )
    first, second, third = (UUID(int=n) for n in range(3))
    assert allowance.session("ear-0001", first, 0.0)

    def fail() -> None:
        with allowance.reserve() as reservation:
            assert reservation.session("ear-0001", first, 0.0)
            assert reservation.session("ear-0001", first, 0.0)
            assert not reservation.session("ear-0001", first, 0.0)
            assert reservation.session("ear-0001", second, 0.0)
            assert not reservation.session("ear-0001", third, 0.0)
            assert reservation.quarantine("ear-0001", 900, 0.0)
            assert not reservation.quarantine("ear-0001", 900, 0.0)
            raise ZeroDivisionError

    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            fail()
    with allowance.reserve() as reservation:
        assert reservation.session("ear-0001", third, 0.0)
        assert reservation.session("ear-0001", first, 0.0)
        assert reservation.quarantine("ear-0001", 900, 0.0)
    assert not allowance.session("ear-0001", second, 0.0)
    assert not allowance.session("ear-0001", first, 0.0, payload_bytes=501)
    assert not allowance.quarantine("ear-0001", 900, 0.0)


def test_what_is_rejected_costs_ten_times_its_bytes_and_its_device_alone() -> None:
    flow = RateLimits(device_bytes=Rate(per_s=1_000, burst=20_000))
    passed = 0
    for second in range(1_000):
        if flow.admit("odd-0001", 1_000, float(second)).admitted:
            flow.charge_rejected("odd-0001", 1_000, float(second))
            passed += 1
    assert passed == pytest.approx(2 + 1_000 / 10, abs=2)
    assert flow.debt_s("odd-0001", 999.0) > 0
    assert flow.debt_s("ear-0001", 1_000.0) == 0
    assert flow.admit("ear-0001", 1_000, 1_000.0) == (True, None)


def test_a_debt_is_paid_within_one_burst() -> None:
    flow = RateLimits(device_bytes=Rate(per_s=1_000, burst=20_000))
    flow.charge_rejected("odd-0001", 10**9, 0.0)
    assert flow.debt_s("odd-0001", 0.0) == 20
    assert flow.admit("odd-0001", 1_000, 21.5).admitted
