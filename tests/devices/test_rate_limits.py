import pytest
from hypothesis import given
from hypothesis import strategies as st

from cymba.devices.rate_limits import Buckets, Rate, RateLimits


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


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=12),
    st.integers(0, 12),
    st.sampled_from([None, "account"]),
)
def test_frames_are_charged_at_once_as_one_by_one_or_not_at_all(
    sizes: list[int], before: int, account: str | None
) -> None:
    at_once, singly = (RateLimits(Rate(1, 20), Rate(100, 4_000), Rate(1, 16)) for _ in range(2))
    for flow in (at_once, singly):
        for _ in range(before):
            flow.admit("ear-0001", 10, 0.0, account_id="account")
    free = at_once.admit_all("ear-0001", len(sizes), sum(sizes), 0.0, account_id=account)
    asked = [singly.admit("ear-0001", size, 0.0, account_id=account) for size in sizes]
    assert free == all(one == (True, None) for one in asked)
    if not free:
        for size in sizes:
            at_once.admit("ear-0001", size, 0.0, account_id=account)
    following = [flow.admit("ear-0001", 1, 0.0, account_id="account") for flow in (at_once, singly)]
    assert following[0] == following[1]
