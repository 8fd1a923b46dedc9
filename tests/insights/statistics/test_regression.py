"""Against the whole regression written out, with nothing taken out beforehand."""

import numpy as np
import pytest

from cymba.insights.statistics.regression import orthonormal, partial_slopes


def test_same_as_the_whole_regression() -> None:
    rng = np.random.default_rng(1)
    nuisance = np.column_stack([np.ones(60), np.arange(60), rng.normal(size=(60, 3))])
    x, held = rng.normal(size=(2, 60, 4))
    y = rng.normal(size=60) * (1 + np.abs(x[:, 0])) + x[:, 0]
    slopes = partial_slopes(nuisance, y, x, held)
    for column in range(4):
        design = np.column_stack([x[:, column], held[:, column], nuisance])
        coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
        inverse = np.linalg.inv(design.T @ design)
        leverage = np.array([row @ inverse @ row for row in design])
        residuals = y - design @ coefficients
        hc2 = inverse @ (design.T * (residuals**2 / (1 - leverage))) @ design @ inverse
        df = 60 - 7
        assert slopes.slope[column] == pytest.approx(coefficients[0])
        assert slopes.df[column] == df
        assert slopes.se_ols[column] == pytest.approx(
            np.sqrt(residuals @ residuals / df * inverse[0, 0])
        )
        assert slopes.se_hc2[column] == pytest.approx(np.sqrt(hc2[0, 0]))
        assert slopes.se[column] == max(slopes.se_ols[column], slopes.se_hc2[column])
        assert slopes.residuals[:, column] == pytest.approx(residuals)
        assert slopes.leverage[:, column] == pytest.approx(leverage)
        others = np.column_stack([held[:, column], nuisance])
        rest = x[:, column] - others @ np.linalg.lstsq(others, x[:, column], rcond=None)[0]
        assert slopes.vif[column] == pytest.approx(60 * x[:, column].var() / (rest @ rest))


def test_dependent_columns_cost_no_degree_of_freedom() -> None:
    rng = np.random.default_rng(2)
    once = np.column_stack([np.ones(40), rng.normal(size=(40, 2))])
    twice = np.column_stack([once, once[:, 1] * 3 - 2, np.zeros(40), once])
    x, y = rng.normal(size=(40, 1)), rng.normal(size=40)
    expected, got = partial_slopes(once, y, x), partial_slopes(twice, y, x)
    assert got.df == expected.df
    assert got.slope == pytest.approx(expected.slope)
    assert got.se_hc2 == pytest.approx(expected.se_hc2)


def test_a_held_column_without_anything_of_its_own_is_left_out() -> None:
    rng = np.random.default_rng(3)
    nuisance = np.column_stack([np.ones(40), np.arange(40.0)])
    x, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    held = np.column_stack([np.full(40, 7.0), 5 - 2 * np.arange(40.0)])
    expected, got = partial_slopes(nuisance, y, x), partial_slopes(nuisance, y, x, held)
    assert got.df.tolist() == expected.df.tolist()
    assert got.slope == pytest.approx(expected.slope)


def test_x_within_the_nuisance_has_no_slope() -> None:
    days = np.arange(30.0)
    nuisance = np.column_stack([np.ones(30), days])
    slopes = partial_slopes(nuisance, np.sin(days), np.column_stack([days * 2 + 1, days**2]))
    assert np.isnan(slopes.slope[0])
    assert np.isfinite(slopes.slope[1])


def test_basis_of_more_columns_than_rows() -> None:
    basis = orthonormal(np.random.default_rng(4).normal(size=(3, 5)))
    assert basis.T @ basis == pytest.approx(np.eye(3))


def test_a_row_of_leverage_one_adds_nothing() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(30, 1)), rng.normal(size=30)
    own = np.zeros(30)
    own[4] = 1.0
    slopes = partial_slopes(np.column_stack([np.ones(30), own]), y, x)
    kept = np.arange(30) != 4
    without = partial_slopes(np.ones((29, 1)), y[kept], x[kept])
    assert slopes.slope == pytest.approx(without.slope)
    assert slopes.se_hc2 == pytest.approx(without.se_hc2)
