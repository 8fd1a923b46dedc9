from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from cymba.insights.statistics import Refusal, associate, complete_pairs, pair_in_full
from cymba.insights.statistics.associate import LOOK_ALPHA, contrasts
from cymba.insights.statistics.nuisance import Calendar
from cymba.insights.statistics.regression import partial_slopes

Floats = NDArray[np.float64]


class Data(NamedTuple):
    exposures: Floats
    outcomes: Floats
    before: Floats
    weekdays: NDArray[np.int64]


def diary(
    seed: int, days: int, exposures: int = 2, outcomes: int = 2, missing: float = 0.2
) -> Data:
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 1.0, (exposures, days))
    ratings = np.round(rng.normal(5, 1.5, (2, outcomes, days)))
    ratings[rng.random(ratings.shape) < missing] = np.nan
    return Data(x, ratings[0], ratings[1], np.arange(days) % 7)


def by_hand(data: Data, exposure: int, outcome: int, lag: int) -> tuple[float, float, int, int]:
    """Effect, standard error, df and n from the formula, a day at a time."""
    x, y, b = data.exposures[exposure], data.outcomes[outcome], data.before[outcome]
    days = []
    for t in range(y.size):
        if t - lag - 1 < 0:
            continue
        if all(np.isfinite((y[t], x[t - lag], x[t - lag - 1], b[t - lag]))):
            days.append(t)
    first, length = days[0], days[-1] - days[0] + 1
    design = []
    for t in days:
        s = t - first
        row = [1.0, x[t - lag], x[t - lag - 1], b[t - lag], s]
        row += [np.cos(np.pi * k * (s + 0.5) / length) for k in range(2, 2 + length // 45)]
        weekday = data.weekdays[t]
        if len(days) >= 56:
            row += [float(weekday == d) for d in range(1, 7)]
        else:
            row += [float(weekday >= 5)]
        design.append(row)
    matrix, target = np.array(design), y[days]
    coefficients = np.linalg.lstsq(matrix, target, rcond=None)[0]
    inverse = np.linalg.inv(matrix.T @ matrix)
    residuals = target - matrix @ coefficients
    df = len(days) - matrix.shape[1]
    leverage = np.einsum("ij,jk,ik->i", matrix, inverse, matrix)
    hc2 = inverse @ (matrix.T * (residuals**2 / (1 - leverage))) @ matrix @ inverse
    ols = residuals @ residuals / df * inverse
    return coefficients[1], np.sqrt(max(ols[1, 1], hc2[1, 1])), df, len(days)


@pytest.mark.parametrize("days", [40, 75, 200])
def test_same_as_by_hand(days: int) -> None:
    data = diary(days, days, exposures=3)
    data.exposures[1, days // 2] = np.nan  # a gap of its own
    data.exposures[2, :5] = np.nan
    lags = [0, 1, 3]
    fits = associate(*data, lags)
    assert fits.effect.shape == (3, 2, 3)
    for row, lag in enumerate(lags):
        for outcome in range(2):
            for exposure in range(3):
                at = (row, outcome, exposure)
                effect, se, df, n = by_hand(data, exposure, outcome, lag)
                assert fits.n[at] == n
                if fits.refusal[at] != Refusal.NONE:
                    assert n < 20 or df < 10
                    continue
                assert fits.effect[at] == pytest.approx(effect)
                assert fits.se[at] == pytest.approx(se)
                assert fits.df[at] == df
                assert fits.p[at] == pytest.approx(2 * stats.t.sf(abs(effect / se), df))
                margin = stats.t.ppf(1 - LOOK_ALPHA / 2, df) * se
                assert fits.low[at] == pytest.approx(effect - margin)
                assert fits.high[at] == pytest.approx(effect + margin)
                shown = fits.shown_effect[at], fits.shown_low[at], fits.shown_high[at]
                unshown = effect, effect - margin, effect + margin
                assert shown == pytest.approx([v * fits.contrast[at] for v in unshown])
    assert (fits.refusal[:, :, 0] == Refusal.NONE).any()


def test_confidence_is_of_the_interval_alone() -> None:
    data = diary(3, 100)
    wide, narrow = associate(*data, [1]), associate(*data, [1], confidence=0.95)
    assert (narrow.high - narrow.low < wide.high - wide.low).all()
    assert narrow.p.tolist() == wide.p.tolist()


def test_finds_the_effect_of_the_day_before() -> None:
    data = diary(5, 300, exposures=1, outcomes=1, missing=0.0)
    data.outcomes[0, 1:] -= 0.8 * data.exposures[0, :-1]
    fits = associate(*data, [0, 1, 2])
    assert fits.effect[1, 0, 0] == pytest.approx(-0.8, abs=0.2)
    assert fits.high[1, 0, 0] < 0
    for lag in (0, 2):
        assert fits.low[lag, 0, 0] < 0 < fits.high[lag, 0, 0]
    assert (fits.half_effects[:, 1, 0, 0] < 0).all()


@given(
    seed=st.integers(0, 10_000),
    days=st.integers(45, 150),
    shift=st.floats(-20, 20),
    scale=st.floats(0.1, 50),
    factor=st.floats(1e-3, 1e6),
)
@settings(max_examples=40)
def test_units_change_nothing_but_the_units(
    seed: int, days: int, shift: float, scale: float, factor: float
) -> None:
    data = diary(seed, days)
    fits = associate(*data, [1])
    changed = associate(
        data.exposures * factor + shift,
        data.outcomes * scale + shift,
        data.before * 3 - shift,
        data.weekdays,
        [1],
    )
    assert changed.refusal.tolist() == fits.refusal.tolist()
    assert changed.p == pytest.approx(fits.p, rel=1e-6, abs=1e-12, nan_ok=True)
    assert changed.effect == pytest.approx(fits.effect * scale / factor, rel=1e-6, nan_ok=True)
    assert changed.shown_effect == pytest.approx(fits.shown_effect * scale, rel=1e-6, nan_ok=True)


@given(seed=st.integers(0, 10_000), days=st.integers(50, 120), lead=st.integers(0, 30))
@settings(max_examples=25)
def test_days_without_entries_around_change_nothing(seed: int, days: int, lead: int) -> None:
    data = diary(seed, days)
    padded = [np.pad(array, ((0, 0), (7 * lead, 9)), constant_values=np.nan) for array in data[:3]]
    fits = associate(*data, [1, 2])
    same = associate(*padded, np.arange(days + 7 * lead + 9) % 7, [1, 2])  # type: ignore[arg-type, call-arg]
    assert same.effect == pytest.approx(fits.effect, nan_ok=True)
    assert same.p == pytest.approx(fits.p, nan_ok=True)
    assert same.n.tolist() == fits.n.tolist()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_order_and_company_change_nothing(seed: int) -> None:
    data = diary(seed, 90, exposures=3, outcomes=3)
    data.exposures[2, 10:14] = np.nan
    fits = associate(*data, [1, 2])
    turned = associate(
        data.exposures[::-1], data.outcomes[::-1], data.before[::-1], data.weekdays, [2, 1]
    )
    assert turned.effect[::-1, ::-1, ::-1] == pytest.approx(fits.effect, nan_ok=True)
    alone = associate(data.exposures[2:], data.outcomes[1:2], data.before[1:2], data.weekdays, [2])
    assert alone.p[0, 0, 0] == pytest.approx(fits.p[1, 1, 2], nan_ok=True)


@given(seed=st.integers(0, 10_000), drift=st.floats(-0.5, 0.5))
@settings(max_examples=20)
def test_a_straight_drift_of_the_outcome_changes_nothing(seed: int, drift: float) -> None:
    data = diary(seed, 120)
    drifted = data.outcomes + drift * np.arange(120)
    fits = associate(*data, [1])
    same = associate(data.exposures, drifted, data.before, data.weekdays, [1])
    assert same.effect == pytest.approx(fits.effect, rel=1e-6, abs=1e-9)
    assert same.se == pytest.approx(fits.se, rel=1e-6)


def test_refusals_are_named() -> None:
    data = diary(7, 80, exposures=6, outcomes=2, missing=0.0)
    rng = np.random.default_rng(7)
    data.exposures[0] = 3.3
    data.exposures[1] = np.arange(80) * 0.5 + rng.normal(0, 0.01, 80)
    data.exposures[2] = 0.0
    data.exposures[2, 40] = 1.0
    data.exposures[3, 10:] = np.nan
    data.exposures[4] = (np.arange(80) % 7 == 2).astype(float)
    data.outcomes[1] = 6.0
    fits = associate(*data, [1])
    assert [Refusal(int(code)).name for code in fits.refusal[0, 0]] == [
        "CONSTANT_EXPOSURE",
        "COLLINEAR",
        "ONE_DAY",
        "FEW_PAIRS",
        "COLLINEAR",
        "NONE",
    ]
    assert Refusal(int(fits.refusal[0, 1, 5])) is Refusal.CONSTANT_OUTCOME
    for name in ("effect", "se", "df", "p", "contrast", "low", "high"):
        values = getattr(fits, name)
        assert np.isnan(values[0, 0, :5]).all(), name
        assert np.isfinite(values[0, 0, 5]), name
    assert fits.n[0, 0].tolist() == [78, 78, 78, 9, 78, 78]


@pytest.mark.parametrize(("pairs", "fitted"), [(23, False), (24, True)])
def test_ten_degrees_of_freedom_are_enough(pairs: int, fitted: bool) -> None:
    # Eight cosines, constant, before, trend, weekend and two exposures are 14 coefficients
    data = diary(8, 405, exposures=1, outcomes=1, missing=0.0)
    kept = np.unique(np.linspace(2, 404, pairs).astype(int))
    dropped = np.setdiff1d(np.arange(405), kept)
    data.outcomes[0, dropped] = np.nan
    fits = associate(*data, [1])
    assert fits.n[0, 0, 0] == pairs
    span = kept[-1] - kept[0] + 1
    assert span // 45 == 8
    assert (fits.refusal[0, 0, 0] == Refusal.NONE) == fitted
    assert (fits.refusal[0, 0, 0] == Refusal.FEW_DF) != fitted


@pytest.mark.parametrize(("pairs", "dummies"), [(55, 1), (56, 6)])
def test_fifty_six_pairs_carry_the_whole_week(pairs: int, dummies: int) -> None:
    columns = Calendar(np.arange(60) % 7).nuisance(np.arange(pairs), np.zeros(pairs))
    assert columns.shape == (pairs, 3 + 1 + dummies)


def test_few_degrees_of_freedom() -> None:
    # 21 pairs over two years: sixteen cosines leave too little
    data = diary(8, 730, exposures=1, outcomes=1, missing=0.0)
    kept = np.zeros(730, dtype=bool)
    kept[::35] = True
    data.outcomes[0, ~kept] = np.nan
    fits = associate(*data, [1])
    assert fits.n[0, 0, 0] == 20
    assert fits.refusal[0, 0, 0] == Refusal.FEW_DF


@pytest.mark.parametrize("days", [0, 1, 2, 5, 14])
def test_short_diaries_are_refused(days: int) -> None:
    fits = associate(*diary(1, days, missing=0.0), [0, 1, 7])
    assert (fits.refusal == Refusal.FEW_PAIRS).all()
    assert np.isnan(fits.effect).all()


def test_nothing_at_all() -> None:
    fits = associate(np.zeros((0, 50)), np.zeros((0, 50)), np.zeros((0, 50)), np.zeros(50), [1])
    assert fits.effect.shape == (1, 0, 0)


def test_an_outcome_that_the_exposure_makes_exactly() -> None:
    data = diary(9, 100, exposures=1, outcomes=1, missing=0.0)
    data.outcomes[0, 1:] = 2 * data.exposures[0, :-1]
    data.outcomes[0, 0] = 1.0
    fits = associate(*data, [1])
    assert fits.effect[0, 0, 0] == pytest.approx(2)
    assert fits.p[0, 0, 0] < 1e-12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lags": [-1]}, "negative"),
        ({"before": np.zeros((1, 60))}, "before has shape"),
        ({"weekdays": np.zeros(59, dtype=int)}, "unequal numbers of days"),
        ({"weekdays": np.full(60, 7)}, "from 0 .Monday. to 6"),
        ({"weekdays": np.full(60, np.nan)}, "from 0 .Monday. to 6"),
        ({"exposures": np.zeros(60)}, "expected 2 dimensions"),
        ({"outcomes": np.full((2, 60), np.inf)}, "infinite"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    arguments = {**diary(1, 60)._asdict(), "lags": [1], **change}
    with pytest.raises(ValueError, match=message):
        associate(**arguments)


def test_inputs_are_left_as_they_were() -> None:
    data = diary(2, 90)
    copies = [array.copy() for array in data]
    associate(*data, [0, 1])
    for array, copy in zip(data, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_contrast() -> None:
    x = np.array([[0.0, 1, 2, 3], [1, 1, 1, 0], [0, 0, 0, 5], [0, 1, 1, 2]])
    # above 1.5; none above 1, so at it against below; above 0; above 1
    assert contrasts(x).tolist() == [2.0, 1.0, 5.0, pytest.approx(4 / 3)]


def test_cosines_are_slow_and_end_with_the_span() -> None:
    calendar = Calendar(np.arange(200) % 7)
    columns = calendar.nuisance(np.arange(20, 110), np.zeros(90))
    assert columns.shape == (90, 1 + 1 + 1 + 2 + 6)  # k = 2 and 3 over 90 days; 90 pairs
    s = np.arange(90)
    for place, k in ((2, 2), (3, 3)):
        assert columns[:, place] == pytest.approx(np.cos(np.pi * k * (s + 0.5) / 90))


def test_complete_pairs_are_those_that_are_fitted() -> None:
    data = diary(11, 70, exposures=2)
    data.exposures[1, 20:30] = np.nan
    for lag in (0, 1, 2):
        counted = complete_pairs(*data[:3], lag).sum(axis=-1)
        np.testing.assert_array_equal(counted, associate(*data, [lag]).n[0])
    assert not complete_pairs(*data[:3], 69).any()


def test_a_pair_in_full_agrees_with_its_estimate() -> None:
    data = diary(12, 110)
    fits = associate(*data, [1])
    pair = pair_in_full(data.exposures[1], data.outcomes[0], data.before[0], data.weekdays, 1)
    assert pair.days.size == fits.n[0, 0, 1]
    slope = pair.partial_x @ pair.partial_y / (pair.partial_x @ pair.partial_x)
    assert slope == pytest.approx(fits.effect[0, 0, 1])
    assert pair.residuals == pytest.approx(pair.partial_y - slope * pair.partial_x)
    np.testing.assert_array_equal(pair.outcome, data.outcomes[0, pair.days])
    np.testing.assert_array_equal(pair.exposure, data.exposures[1, pair.days - 1])
    assert -1 <= pair.residual_correlation <= 1


def test_a_pair_in_full_below_its_pairs_is_an_error() -> None:
    data = diary(13, 15)
    with pytest.raises(ValueError, match="complete pairs, 20 needed"):
        pair_in_full(data.exposures[0], data.outcomes[0], data.before[0], data.weekdays, 1)


@pytest.mark.parametrize("days", [45, 130])
@pytest.mark.parametrize("held", [True, False])
def test_whether_use_follows_the_rating_before_is_the_whole_regressions_test(
    days: int, held: bool
) -> None:
    """p of the rating in x ~ past x + rating + nuisance, from all columns at once."""
    data = diary(days, days, exposures=3, missing=0.1)
    b = np.nan_to_num(data.before[0], nan=5.0)
    x = data.exposures + 0.4 * b
    rows = np.arange(1, days)
    nuisance = Calendar(data.weekdays).nuisance(rows, b[rows])
    past = x[:, rows - 1] if held else None
    slopes = partial_slopes(nuisance, data.weekdays[rows] * 1.0 + b[rows], x[:, rows], past)
    for exposure in range(3):
        columns = [] if past is None else [past[exposure]]
        matrix = np.column_stack([nuisance, *columns])
        target = x[exposure, rows]
        coefficients = np.linalg.lstsq(matrix, target, rcond=None)[0]
        residuals = target - matrix @ coefficients
        df = rows.size - matrix.shape[1]
        place = nuisance.shape[1] - 1
        variance = residuals @ residuals / df * np.linalg.inv(matrix.T @ matrix)[place, place]
        p = 2 * stats.t.sf(abs(coefficients[place]) / np.sqrt(variance), df)
        assert slopes.sums.follows_p[exposure] == pytest.approx(p, rel=1e-6)


def test_a_rating_that_never_varies_is_followed_by_nothing() -> None:
    data = diary(3, 80)
    data.before[:] = 5.0
    fits = associate(*data, [1])
    assert np.isnan(fits.follows_p).all()
    assert np.isfinite(fits.effect).all()
