import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit
from scipy.stats import t

from cymba.insights.statistics import (
    SIDE_EFFECT_MILESTONES,
    Course,
    Interval,
    Trend,
    firth,
    latest_trend,
    sequential_p,
    side_effect_trend,
    side_effects,
    trend_band,
)

Floats = NDArray[np.float64]


def profile(answers: Floats, slope: float) -> float:
    """The penalised likelihood at this slope and its best intercept, found by brute force."""
    doublings = np.log2(np.flatnonzero(np.isfinite(answers)) + 1)
    y = answers[np.isfinite(answers)]

    def loss(middle: float) -> float:
        linear = middle + slope * (doublings - doublings.mean())
        log_p, log_q = -np.logaddexp(0, -linear), -np.logaddexp(0, linear)
        # |X'WX| of a line is Σ over all pairs of weights times their squared distance
        weights = np.exp(log_p + log_q)
        apart = (doublings[:, None] - doublings) ** 2
        information = float(weights @ apart @ weights) / 2
        return -float(y @ log_p + (1 - y) @ log_q + np.log(information + 1e-300) / 2)

    farthest = 8 + abs(slope) * float(np.ptp(doublings))
    grid = np.linspace(-farthest, farthest, 400)
    near = float(grid[np.argmin([loss(middle) for middle in grid])])
    step = 2 * farthest / 399
    best = minimize_scalar(
        loss, bounds=(near - step, near + step), method="bounded", options={"xatol": 1e-10}
    )
    return -float(best.fun)


def assert_ends(answers: Floats, trend: Trend) -> None:
    """Each end is where the profile has fallen by the test's critical value; infinite ones none."""
    top = profile(answers, trend.slope)
    fall = trend.critical**2 * trend.inflation / 2
    for end, side in ((trend.low, -1), (trend.high, 1)):
        if np.isfinite(end):
            far = trend.slope + 2 * (end - trend.slope)
            reference = brentq(
                lambda slope: top - profile(answers, slope) - fall, trend.slope, far, xtol=1e-7
            )
            assert end == pytest.approx(reference, abs=1e-4)
        else:
            assert end == side * np.inf


def test_p_is_of_the_penalised_likelihood_ratio() -> None:
    rng = np.random.default_rng(3)
    y = (rng.random(60) < 0.4).astype(float)
    trend = side_effect_trend(y)
    design = np.column_stack([np.ones(60), np.log2(np.arange(1, 61))])

    def penalised(b: Floats) -> float:
        p = expit(design @ b)
        information = (design.T * (p * (1 - p))) @ design
        return float(
            y @ np.log(p) + (1 - y) @ np.log1p(-p) + np.log(np.linalg.det(information)) / 2
        )

    without = max(penalised(np.array([a, 0.0])) for a in np.linspace(-2, 2, 4001))
    ratio = 2 * (penalised(np.array([trend.intercept, trend.slope])) - without)

    df = 60 / trend.inflation - 2
    assert trend.p == pytest.approx(2 * t.sf(np.sqrt(ratio / trend.inflation), df), rel=1e-4)
    assert trend.critical == pytest.approx(t.ppf(0.975, df))


def test_a_side_effect_that_stops_is_fading() -> None:
    trend = side_effect_trend([1.0] * 8 + [0.0] * 22)
    assert trend.course is Course.FADING
    assert trend.slope < 0
    assert trend.high < 0


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([1.0] * 8 + [0.0] * 22, Interval.NO_LOWER_BOUND),
        ([1.0] * 3 + [0.0] * 12, Interval.NO_LOWER_BOUND),
        ([0.0] * 15 + [1.0] * 15, Interval.NO_UPPER_BOUND),
        ([0.0] * 97 + [1.0] * 3, Interval.NO_UPPER_BOUND),
        ([1.0] * 10 + [0.0, 1] + [0.0] * 20, Interval.BOUNDED),
        ([1.0] * 3 + [0.0] * 30 + [1.0], Interval.BOUNDED),
        ([np.nan] * 200 + [1.0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0], Interval.BOUNDED),
    ],
)
def test_the_interval_is_that_of_the_profile(answers: list[float], kind: Interval) -> None:
    """Of answers that are separated the steepest slope is the likeliest: no bound that way."""
    trend = side_effect_trend(answers)
    assert trend.interval is kind
    assert np.isinf([trend.low, trend.high]).sum() == (kind is not Interval.BOUNDED)
    assert_ends(np.array(answers), trend)


@pytest.mark.parametrize("seed", range(8))
def test_the_interval_of_random_answers_is_that_of_the_profile(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chance = expit(1.5 - 0.5 * np.log2(np.arange(1, 61)))
    answers = np.where(rng.random(60) < 0.8, rng.random(60) < chance, np.nan)
    assert_ends(answers, side_effect_trend(answers))


def test_the_interval_is_not_walds() -> None:
    """One that is symmetric about the slope would hold 0 here, beside a p below .05."""
    trend = side_effect_trend([1.0] * 10 + [0.0, 1] + [0.0] * 20)
    assert trend.slope - trend.low > 1.2 * (trend.high - trend.slope)


ANSWERS = st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=15, max_size=60)
IN_ORDER = st.tuples(st.integers(3, 60), st.integers(3, 60), st.sampled_from([0.0, 1.0])).map(
    lambda drawn: [drawn[2]] * drawn[0] + [1 - drawn[2]] * drawn[1]
)


@given(ANSWERS | IN_ORDER)
@example([1.0] * 8 + [0.0] * 22)
@example([0.0] * 15 + [1.0] * 15)
def test_the_interval_excludes_0_exactly_where_the_test_rejects(answers: list[float]) -> None:
    trend = side_effect_trend(answers)
    if trend.interval is Interval.NOT_ENOUGH:
        return
    assert trend.interval is not Interval.NOT_CONVERGED
    assert trend.low < trend.slope < trend.high
    # A p so near to .05 cannot be told from it by ends known to 1e-9 of a log likelihood.
    if abs(trend.p - 0.05) > 1e-7:
        assert (trend.low > 0 or trend.high < 0) == (trend.p < 0.05)
    assert (trend.course in {Course.FADING, Course.GROWING}) == (trend.p < 0.05)


def test_what_does_not_converge_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [1.0] * 8 + [0.0, 1, 0, 0] * 8
    monkeypatch.setattr(firth, "_STEPS", 2)
    no_fit = side_effect_trend(answers)
    assert (no_fit.interval, no_fit.course) == (Interval.NOT_CONVERGED, Course.NOT_ENOUGH)
    assert np.isnan([no_fit.slope, no_fit.low, no_fit.high, no_fit.p]).all()
    assert (no_fit.n, no_fit.yes) == (40, 16)


def test_an_end_that_is_not_found_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        side_effects, "profile_end", lambda *_, side, **__: -9.0 if side < 0 else None
    )
    for answers, course in (
        ([1.0] * 8 + [0.0, 1, 0, 0] * 8, Course.FADING),
        ([1.0, 0.0] * 60, Course.NOT_ENOUGH),  # steady rests on the interval
    ):
        trend = side_effect_trend(answers)
        assert (trend.interval, trend.course) == (Interval.NOT_CONVERGED, course)
        assert np.isnan([trend.low, trend.high]).all()
        assert np.isfinite([trend.slope, trend.p]).all()


def test_fading_growing_and_steady() -> None:
    rng = np.random.default_rng(1)
    doublings = np.log2(np.arange(1, 121))
    falling = (rng.random(120) < expit(3 - doublings)).astype(float)
    assert side_effect_trend(falling).course is Course.FADING
    rising = (rng.random(120) < expit(-4 + doublings)).astype(float)
    assert side_effect_trend(rising).course is Course.GROWING
    assert side_effect_trend([1.0, 0.0] * 60).course is Course.STEADY


def test_no_trend_and_a_wide_interval_is_not_called_steady() -> None:
    answers = [0.0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    trend = side_effect_trend(answers)
    assert trend.course is Course.NOT_ENOUGH
    assert trend.low < 0 < trend.high


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [np.nan] * 40,
        [1.0, 0.0] * 7,
        [0.0] * 38 + [1.0] * 2,
        [1.0] * 38 + [0.0] * 2,
        [1.0] * 30,
        [0.0] * 30,
    ],
)
def test_too_little_is_refused(answers: list[float]) -> None:
    trend = side_effect_trend(answers)
    assert trend.course is Course.NOT_ENOUGH
    assert np.isnan([trend.slope, trend.low, trend.high, trend.p]).all()
    assert trend.n == np.isfinite(answers).sum()


def test_sessions_without_an_answer_keep_their_number() -> None:
    answers = np.array([1.0, 1, 0, 1] * 10)
    later = np.concatenate([np.full(64, np.nan), answers])
    now, then = side_effect_trend(answers), side_effect_trend(later)
    assert now.n == then.n
    assert then.slope != pytest.approx(now.slope)


def test_runs_widen_the_interval() -> None:
    mixed, in_runs = [1.0, 0, 0] * 20, ([1.0] * 5 + [0.0] * 10) * 4
    assert side_effect_trend(mixed).inflation == 1.0
    assert side_effect_trend(in_runs).inflation > 3


def test_the_curve_is_the_fit_and_lies_in_its_band() -> None:
    answers = [1.0] * 8 + [0.0, 1, 0, 0] * 8
    trend, numbers = side_effect_trend(answers), np.arange(1.0, 41.0)
    middle = trend.probability(numbers)
    band = trend_band(answers, trend, numbers)
    assert band is not None
    low, high = band
    assert (low < middle).all()
    assert (middle < high).all()
    assert middle[0] == pytest.approx(expit(trend.intercept))
    assert (np.diff(middle) < 0).all()


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=15, max_size=40))
@example([1.0] * 8 + [0.0, 1, 0, 0] * 8)
@example([1.0] * 10 + [0.0, 1] + [0.0] * 20)
@settings(max_examples=25)
def test_a_level_curve_lies_in_the_band_exactly_where_the_interval_holds_0(
    answers: list[float],
) -> None:
    trend = side_effect_trend(answers)
    ends = [1.0, float(len(answers))]
    band = trend_band(answers, trend, ends)
    assert (band is None) == (trend.interval is not Interval.BOUNDED)
    # What touches 0 or its level by a hair is decided by rounding.
    if band is None or min(abs(trend.low), abs(trend.high)) < 1e-3:
        return
    y, doublings = np.array(answers), np.log2(np.arange(1, len(answers) + 1))
    design = np.column_stack([np.ones(y.size), doublings])
    best = firth.penalised_likelihood(design, y, np.array([trend.intercept, trend.slope]))
    level = np.log((y.sum() + 1) / (y.size - y.sum() + 1))
    fallen = best - firth.penalised_likelihood(design, y, np.array([level, 0.0]))
    assert (fallen < trend.fall) == (trend.low < 0 < trend.high)
    if fallen < trend.fall:
        assert (band[0] < expit(level)).all()
        assert (expit(level) < band[1]).all()


@pytest.mark.parametrize(
    "answers",
    [[1.0] * 8 + [0.0] * 22, [0.0] * 15 + [1.0] * 15, [1.0, 0.0] * 5],
)
def test_where_no_bounded_interval_is_told_no_band_is(answers: list[float]) -> None:
    assert trend_band(answers, side_effect_trend(answers), [1.0, 15.0]) is None


def test_what_is_told_moves_only_at_milestones() -> None:
    rng = np.random.default_rng(3)
    answers = (rng.random(200) < expit(2 - np.log2(np.arange(1, 201)))).astype(float)
    answers[rng.random(200) < 0.2] = np.nan
    told = [latest_trend(answers[:upto]) for upto in range(201)]
    reached = [int(np.isfinite(answers[:upto]).sum()) for upto in range(201)]
    for trend, n in zip(told, reached, strict=True):
        assert trend.n == max([look for look in SIDE_EFFECT_MILESTONES if look <= n], default=0)
        assert trend is told[0] or trend == told[reached.index(trend.n)] or not trend.n
    assert told[-1].course is Course.FADING
    assert told[-1].sessions == reached.index(told[-1].n)


def test_milestones_go_on_beyond_a_year_and_their_levels_are_those_over_all_looks() -> None:
    steps = np.divide(SIDE_EFFECT_MILESTONES[1:], SIDE_EFFECT_MILESTONES[:-1])
    assert (steps > 1.39).all()  # more looks would need stricter levels
    assert (steps < 1.44).all()
    # One side each, of .05 in all; the warning has the larger share.
    assert pytest.approx(0.05) == (side_effects.FADING_LEVEL + side_effects.GROWING_LEVEL) / 2
    rng = np.random.default_rng(2)
    doublings = np.log2(np.arange(1, 57))
    for slope, level in ((-1, side_effects.FADING_LEVEL), (1, side_effects.GROWING_LEVEL)):
        answers = (rng.random(56) < expit(slope * (doublings - 4))).astype(float)
        assert sequential_p(latest_trend(answers).level) == pytest.approx(level)


@pytest.mark.parametrize("wrong", [[0.5] * 20, [2.0] * 20, [[1.0, 0.0]]])
def test_other_answers_are_an_error(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="present"):
        side_effect_trend(wrong)
