import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.devices.rate_limits import Rate, RateLimits
from cymba.stimulation.ingest.decide import payload_name
from mqtt_bridge import rate_limits
from mqtt_bridge.rate_limits import IncomingRateLimits

FRAME = (
    b'{"v":1,"store":7,"seq":3,"boot":1,"sid":"6f0c2d9e-8a51-4c0e-9d0b-3f6a1c2b4d5e",'
    b'"kind":"event","up":5,"event":{"name":"pause"}}'
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, to be set."""
    now = [100.0]
    monkeypatch.setattr("mqtt_bridge.rate_limits.time.monotonic", lambda: now[0])
    return now


def test_a_refusal_names_the_frame_and_the_rate(clock: list[float]) -> None:
    del clock
    ack = IncomingRateLimits({}).refusal("flood-001", FRAME, 20.0)
    assert ack is not None
    assert (ack.store, ack.upto, ack.max_frames_per_s) == (7, 0, 20.0)
    (rejection,) = ack.rejected
    assert (rejection.code, rejection.retry, rejection.seq) == ("rate", True, 3)
    assert b'"seq":3' in msgspec.json.encode(ack)


@pytest.mark.parametrize("payload", [b"\0", b"{", b"x" * 20_000])
def test_what_cannot_be_read_is_named_by_its_digest(clock: list[float], payload: bytes) -> None:
    del clock
    ack = IncomingRateLimits({}).refusal("flood-001", payload, None)
    assert ack is not None
    assert ack.rejected[0].payload == payload_name(payload)


def test_a_flood_is_not_answered_with_another(clock: list[float]) -> None:
    paced = IncomingRateLimits({})
    told = 0
    for n in range(30_000):
        clock[0] = 100.0 + n / 10_000
        told += paced.refusal("flood-001", FRAME, 20.0) is not None
    assert told == 3
    assert paced.refusal("flood-002", FRAME, 20.0) is not None


def test_an_accounts_devices_are_counted_together(clock: list[float]) -> None:
    holders = {"flood-001": "ann", "flood-002": "ann", "ear-0001": "bob"}
    paced = IncomingRateLimits(holders, RateLimits(account_frames=Rate(per_s=1, burst=4)))
    passed = [paced.admit(f"flood-00{1 + n % 2}", 400, clock[0]).admitted for n in range(10)]
    assert passed == [True] * 4 + [False] * 6
    assert paced.admit("ear-0001", 400, clock[0]).admitted
    assert paced.admit("nobody-01", 400, clock[0]).admitted


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 3_000)), min_size=20, max_size=120))
def test_what_is_charged_in_advance_lets_no_more_through(frames: list[tuple[float, int]]) -> None:
    """By number and by bytes, and an account's as a device's."""
    paced = IncomingRateLimits(
        {"ear-0001": "ann"},
        RateLimits(Rate(per_s=1, burst=60), Rate(per_s=500, burst=90_000), Rate(1, 50)),
    )
    now_s = 0.0
    passed: list[int] = []
    for pause_s, payload_bytes in frames:
        now_s += pause_s if pause_s > 25 else 0.0  # mostly at once
        if paced.admit("ear-0001", payload_bytes, now_s).admitted:
            passed.append(payload_bytes)
    assert len(passed) <= 50 + now_s
    assert sum(passed) <= 90_000 + 500 * now_s


def test_what_was_charged_in_advance_is_used_up(clock: list[float]) -> None:
    paced = IncomingRateLimits({}, RateLimits(device_frames=Rate(per_s=1, burst=100)))
    told = [paced.admit("ear-0001", 400, clock[0]) for _ in range(120)]
    assert [one.admitted for one in told] == [True] * 100 + [False] * 20
    assert told[49].max_frames_per_s is None
    assert told[50].max_frames_per_s == 1


def test_a_device_in_debt_has_nothing_in_advance(clock: list[float]) -> None:
    paced = IncomingRateLimits({})
    assert paced.admit("odd-0001", 400, clock[0]).admitted
    paced.charge_rejected("odd-0001", 10**9)
    assert paced.admit("ear-0001", 400, clock[0]).admitted
    assert not paced.admit("odd-0001", 400, clock[0]).admitted


def test_thousands_in_seconds_are_a_flood(clock: list[float]) -> None:
    paced = IncomingRateLimits({})
    for n in range(2 * rate_limits.FLOOD_FRAMES):
        clock[0] = 100.0 + n / 10_000
        paced.count_held_off("flood-001")
        paced.count_held_off(f"ear-{n % 1000:04}")
    assert list(paced.flooding) == ["flood-001"]


def test_the_same_in_an_hour_is_none(clock: list[float]) -> None:
    paced = IncomingRateLimits({})
    for n in range(2 * rate_limits.FLOOD_FRAMES):
        clock[0] = 100.0 + n * 3_600 / rate_limits.FLOOD_FRAMES
        paced.count_held_off("eager-01")
    assert not paced.flooding
