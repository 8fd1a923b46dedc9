import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cymba.stimulation.session.hrv import MIN_DIFFERENCES, BeatSums


def variability(rr_ms: np.ndarray, follows: np.ndarray) -> BeatSums:
    beats = BeatSums()
    for value, one_follows in zip(rr_ms.tolist(), follows.tolist(), strict=True):
        beats.add(value, follows=one_follows)
    return beats


def all_follow(count: int) -> np.ndarray:
    return np.array([False] + [True] * (count - 1))


def alternating(count: int, low: float = 800, high: float = 840) -> np.ndarray:
    return np.where(np.arange(count) % 2 == 0, low, high)


def test_rmssd_of_a_known_series() -> None:
    found = variability(alternating(100), all_follow(100))
    assert found.rmssd_ms == pytest.approx(40.0)
    assert found.artefact_share == 0.0


def test_agrees_with_the_definition_on_clean_beats() -> None:
    rr = 850 + 20 * np.random.default_rng(3).standard_normal(300)
    found = variability(rr, all_follow(300))
    assert found.rmssd_ms == pytest.approx(np.sqrt(np.mean(np.diff(rr) ** 2)))


def test_no_beats_tell_nothing() -> None:
    found = variability(np.array([]), np.array([], dtype=bool))
    assert (found.rmssd_ms, found.artefact_share) == (None, None)


def test_never_differences_across_a_removed_beat() -> None:
    rr = np.full(200, 800.0)
    rr[100] = 1_500.0  # both it and the beat after it are far off their neighbours
    rr[102:] = 900.0  # 12 % from 800: normal, but its neighbour 101 was removed
    found = variability(rr, all_follow(200))
    assert found.artefact_share == pytest.approx(2 / 200)
    assert found.rmssd_ms == 0.0


def test_a_missed_beat_is_removed_by_its_range() -> None:
    rr = np.full(200, 800.0)
    rr[50] = 2_400.0
    found = variability(rr, all_follow(200))
    assert found.artefact_share == pytest.approx(1 / 200)
    assert found.rmssd_ms == 0.0


def test_a_gap_makes_no_difference_and_no_artefact() -> None:
    rr = np.concatenate([np.full(100, 700.0), np.full(100, 1_000.0)])
    follows = all_follow(200)
    follows[100] = False
    found = variability(rr, follows)
    assert (found.rmssd_ms, found.artefact_share) == (0.0, 0.0)


def test_no_value_above_a_tenth_of_artefacts() -> None:
    rr = np.full(200, 800.0)
    rr[5:200:8] = 250.0
    found = variability(rr, all_follow(200))
    assert found.artefact_share == pytest.approx(25 / 200)
    assert found.rmssd_ms is None


def test_no_value_from_too_few_differences() -> None:
    assert variability(alternating(MIN_DIFFERENCES), all_follow(MIN_DIFFERENCES)).rmssd_ms is None
    more = MIN_DIFFERENCES + 1
    assert variability(alternating(more), all_follow(more)).rmssd_ms is not None


@given(
    st.lists(st.tuples(st.integers(200, 3_000), st.booleans()), max_size=300),
)
def test_is_finite_or_absent_for_any_beats(beats: list[tuple[int, bool]]) -> None:
    found = variability(
        np.array([rr for rr, _ in beats], dtype=float), np.array([f for _, f in beats], dtype=bool)
    )
    if found.rmssd_ms is not None:
        assert 0 <= found.rmssd_ms <= 1_700
        assert found.artefact_share is not None
        assert found.artefact_share <= 0.1
