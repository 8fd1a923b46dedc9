"""Against the whole regression written out, with nothing taken out beforehand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cymba.insights.statistics.arrays import Floats
from cymba.insights.statistics.regression import orthonormal, partial_slopes


def whole_regression(
    nuisance: Floats, y: Floats, x: Floats, held: Floats | None
) -> dict[str, float | Floats]:
    """One exposure's numbers from all columns at once, as the textbook has them."""
    others = np.column_stack([nuisance] if held is None else [held, nuisance])
    design = np.column_stack([x, others])
    inverse = np.linalg.inv(design.T @ design)
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    residuals = y - design @ coefficients
    hc2 = inverse @ (design.T * (residuals**2 / (1 - leverage))) @ design @ inverse
    df = y.size - design.shape[1]
    of_others = np.linalg.lstsq(others, x, rcond=None)[0]
    rest = x - others @ of_others
    variance = rest @ rest / (df + 1) * np.linalg.inv(others.T @ others)[-1, -1]
    return {
        "slope": coefficients[0],
        "df": df,
        "se_ols": np.sqrt(residuals @ residuals / df * inverse[0, 0]),
        "se_hc2": np.sqrt(hc2[0, 0]),
        "vif": y.size * x.var() / (rest @ rest),
        "follows_p": 2 * stats.t.sf(abs(of_others[-1]) / np.sqrt(variance), df + 1),
        "partial_x": rest,
        "residuals": residuals,
        "leverage": leverage,
    }


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(14, 130),
    nuisances=st.integers(1, 5),
    exposures=st.integers(1, 5),
    is_held=st.booleans(),
    level=st.sampled_from([0.0, 5.0]),
    sparse=st.sampled_from([0.0, 0.5]),
)
def test_same_as_the_whole_regression(
    seed: int, rows: int, nuisances: int, exposures: int, is_held: bool, level: float, sparse: float
) -> None:
    rng = np.random.default_rng(seed)
    nuisance = np.column_stack([np.ones(rows), level + rng.normal(size=(rows, nuisances))])
    x, held = level + rng.normal(size=(2, exposures, rows)) * (rng.random(rows) >= sparse)
    y = level + rng.normal(size=rows) * (1 + np.abs(x[0] - level)) + x[0]
    slopes = partial_slopes(nuisance, y, x, held if is_held else None)
    for one in range(exposures):
        plain = whole_regression(nuisance, y, x[one], held[one] if is_held else None)
        for name, expected in plain.items():
            rows_of = slopes if hasattr(slopes, name) else slopes.sums
            got = getattr(rows_of, name)[one]
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-9), name
        assert slopes.sums.se[one] == max(slopes.sums.se_ols[one], slopes.sums.se_hc2[one])


def test_dependent_columns_cost_no_degree_of_freedom() -> None:
    rng = np.random.default_rng(2)
    once = np.column_stack([np.ones(40), rng.normal(size=(40, 2))])
    twice = np.column_stack([once, once[:, 1] * 3 - 2, np.zeros(40), once])
    x, y = rng.normal(size=(1, 40)), rng.normal(size=40)
    expected, got = partial_slopes(once, y, x), partial_slopes(twice, y, x)
    assert got.sums.df == expected.sums.df
    assert got.sums.slope == pytest.approx(expected.sums.slope)
    assert got.sums.se_hc2 == pytest.approx(expected.sums.se_hc2)


def test_a_held_column_without_anything_of_its_own_is_left_out() -> None:
    rng = np.random.default_rng(3)
    nuisance = np.column_stack([np.ones(40), np.arange(40.0)])
    x, y = rng.normal(size=(2, 40)), rng.normal(size=40)
    held = np.stack([np.full(40, 7.0), 5 - 2 * np.arange(40.0)])
    expected, got = partial_slopes(nuisance, y, x), partial_slopes(nuisance, y, x, held)
    assert got.sums.df.tolist() == expected.sums.df.tolist()
    assert got.sums.slope == pytest.approx(expected.sums.slope)


def test_x_within_the_nuisance_has_no_slope() -> None:
    days = np.arange(30.0)
    nuisance = np.column_stack([np.ones(30), days])
    slopes = partial_slopes(nuisance, np.sin(days), np.stack([days * 2 + 1, days**2]))
    assert np.isnan(slopes.sums.slope[0])
    assert np.isfinite(slopes.sums.slope[1])


def test_basis_of_more_columns_than_rows() -> None:
    basis = orthonormal(np.random.default_rng(4).normal(size=(3, 5)))
    assert basis.T @ basis == pytest.approx(np.eye(3))


def test_a_row_of_leverage_one_adds_nothing() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(1, 30)), rng.normal(size=30)
    own = np.zeros(30)
    own[4] = 1.0
    slopes = partial_slopes(np.column_stack([np.ones(30), own]), y, x)
    kept = np.arange(30) != 4
    without = partial_slopes(np.ones((29, 1)), y[kept], x[:, kept])
    assert slopes.sums.slope == pytest.approx(without.sums.slope)
    assert slopes.sums.se_hc2 == pytest.approx(without.sums.se_hc2)
