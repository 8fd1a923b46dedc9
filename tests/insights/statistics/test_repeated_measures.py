import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cymba.insights.statistics import repeated_measures_correlation

Floats = NDArray[np.float64]
RNG = np.random.default_rng(1)
SUBJECT = np.repeat(np.arange(6), 8)
X = RNG.normal(size=48) + SUBJECT * 5
Y = 0.5 * X + RNG.normal(size=48) - SUBJECT * 7


def test_same_as_the_analysis_of_covariance() -> None:
    """r² = SS(x) / (SS(x) + SS(residual)), x after a mean for each subject."""
    dummies = (SUBJECT[:, None] == np.arange(6)).astype(float)
    whole = np.column_stack([dummies, X])

    def residual(design: Floats) -> float:
        return float(((Y - design @ np.linalg.lstsq(design, Y, rcond=None)[0]) ** 2).sum())

    explained = residual(dummies) - residual(whole)
    f = explained / (residual(whole) / (48 - 7))
    result = repeated_measures_correlation(SUBJECT, X, Y)
    assert result.r**2 == pytest.approx(explained / residual(dummies))
    assert result.r > 0 > np.corrcoef(X, Y)[0, 1]  # between subjects it runs the other way
    assert result.df == 41
    assert result.p == pytest.approx(stats.f.sf(f, 1, 41))


def test_neither_order_nor_names_nor_levels_matter() -> None:
    result = repeated_measures_correlation(SUBJECT, X, Y)
    order = RNG.permutation(48)
    names = np.array(list("abcdef"))[SUBJECT]
    other = repeated_measures_correlation(names[order], (X - 40 * SUBJECT)[order], 3 * Y[order])
    assert (other.r, other.p, other.low) == pytest.approx((result.r, result.p, result.low))


def test_gaps_are_left_out() -> None:
    gappy = X.copy()
    gappy[[0, 20]] = np.nan
    result = repeated_measures_correlation(SUBJECT, gappy, Y)
    kept = np.isfinite(gappy)
    assert result == repeated_measures_correlation(SUBJECT[kept], X[kept], Y[kept])
    assert result.df == 39


@pytest.mark.parametrize(
    ("subject", "x", "y"),
    [
        ([], [], []),
        ([1, 1, 1], [1.0, 2, 3], [2.0, 1, 5]),
        ([1, 2, 3, 4, 5, 6], [1.0, 2, 3, 4, 5, 6], [3.0, 1, 2, 5, 4, 6]),
        ([1, 1, 1, 2, 2, 2], [4.0, 4, 4, 5, 5, 5], [3.0, 1, 2, 5, 4, 6]),
    ],
)
def test_too_little_is_refused(subject: list[int], x: list[float], y: list[float]) -> None:
    result = repeated_measures_correlation(subject, x, y)
    assert np.isnan([result.r, result.p, result.low, result.high]).all()


def test_a_straight_line_within_everybody() -> None:
    result = repeated_measures_correlation(SUBJECT, X, 2 * X - SUBJECT)
    assert result.r == pytest.approx(1)
    assert result.p == pytest.approx(0, abs=1e-12)


def test_unequal_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match="subject has shape"):
        repeated_measures_correlation([1, 2], X, Y)
