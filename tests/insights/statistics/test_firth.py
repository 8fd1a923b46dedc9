import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from cymba.insights.statistics.firth import firth_logistic, penalised_likelihood, profile_end

Floats = NDArray[np.float64]


def test_two_by_two_is_a_half_added_to_each_cell() -> None:
    # For a saturated model Firth's penalty adds ½ to every count (Firth 1993)
    group = np.repeat([0.0, 1.0], [12, 9])
    y = np.concatenate([np.repeat([1.0, 0.0], [5, 7]), np.repeat([1.0, 0.0], [0, 9])])
    fit = firth_logistic(np.column_stack([np.ones(21), group]), y)
    assert fit is not None
    assert fit.coefficients[0] == pytest.approx(np.log(5.5 / 7.5))
    assert fit.coefficients[1] == pytest.approx(np.log(0.5 / 9.5) - np.log(5.5 / 7.5))


@pytest.mark.parametrize("seed", range(5))
def test_the_maximum_of_the_penalised_likelihood(seed: int) -> None:
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(40), np.log2(np.arange(1, 41))])
    y = (rng.random(40) < expit(1 - 0.5 * design[:, 1])).astype(float)

    def loss(b: Floats) -> float:
        p = expit(design @ b)
        information = (design.T * (p * (1 - p))) @ design
        likelihood = y @ np.log(p) + (1 - y) @ np.log1p(-p)
        return -float(likelihood + np.log(np.linalg.det(information)) / 2)

    best = minimize(
        loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
    )
    fit = firth_logistic(design, y)
    assert fit is not None
    assert fit.coefficients == pytest.approx(best.x, abs=1e-5)
    assert fit.likelihood == pytest.approx(-best.fun, abs=1e-9)
    p = expit(design @ fit.coefficients)
    information = (design.T * (p * (1 - p))) @ design
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(information), rtol=1e-8)


def test_an_end_of_the_profile_has_the_others_at_their_best() -> None:
    rng = np.random.default_rng(1)
    design = np.column_stack([np.ones(50), rng.normal(size=(50, 2))])
    y = (rng.random(50) < expit(design @ [0.3, 1.0, -0.5])).astype(float)
    fit = firth_logistic(design, y)
    assert fit is not None
    for side in (-1, 1):
        end = profile_end(design, y, fit, column=1, fall=3.0, side=side)
        assert end is not None
        assert (end - fit.coefficients[1]) * side > 0

        def loss(others: Floats, end: float = end) -> float:
            return -penalised_likelihood(design, y, np.array([others[0], end, others[1]]))

        best = minimize(loss, fit.coefficients[[0, 2]], options={"gtol": 1e-8})
        assert fit.likelihood + best.fun == pytest.approx(3.0, abs=1e-6)


def test_a_step_late_and_far_from_the_first_session() -> None:
    """The slope is in the thousands, and weights differ by many orders of magnitude."""
    doublings = np.log2(np.arange(3001, 3101))
    design = np.column_stack([np.ones(100), doublings - doublings.mean()])
    y = (np.arange(100) < 50).astype(float)
    fit = firth_logistic(design, y)
    assert fit is not None
    assert fit.coefficients[1] < -1000
    assert np.abs(fit.score).max() < 1e-3
    high = profile_end(design, y, fit, column=1, fall=2.0, side=1)
    assert high is not None
    assert fit.coefficients[1] < high < 0
