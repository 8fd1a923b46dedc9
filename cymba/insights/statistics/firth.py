"""Logistic regression with Firth's (1993) penalty, and its profile likelihood intervals.

Maximises l(b) + ½ log|I(b)|, I the information X'WX with W = diag(π(1 - π)): finite even where the
yeses come first and the noes after them (Heinze & Schemper 2002).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dgeqrf, dorgqr, dposv
from scipy.special import expit

from cymba.insights.statistics.arrays import Booleans, Floats

_STEPS = 100
_HALVINGS = 60
_FIRST_REACH = 10.0  # log odds that a first step may change
# Of log likelihoods: far below what changes a p or an interval, far above rounding.
_CLOSE = 1e-9


@dataclass(frozen=True)
class FirthFit:
    """The penalised likelihood where some coefficients are best.

    likelihood : l(b) + ½ log|I(b)|
    score      : (K,) its gradient: 0 but for what was held
    covariance : (K, K) the inverse of I(b)
    """

    coefficients: Floats
    likelihood: float
    score: Floats
    covariance: Floats


def firth_logistic(design: Floats, y: Floats) -> FirthFit | None:
    """The fit of y (N,) of 0/1 on design (N, K) of rank K; None if it does not converge."""
    free = np.ones(design.shape[1], dtype=np.bool_)
    return _maximise(design, y, np.zeros(design.shape[1]), free)


def penalised_likelihood(design: Floats, y: Floats, coefficients: Floats) -> float:
    return _Point.of(design, y, coefficients).likelihood


def profile_end(
    design: Floats, y: Floats, best: FirthFit, *, column: int, fall: float, side: int
) -> float | None:
    """Where the profile of a coefficient has fallen so far below its maximum, on one side of it.

    The profile is the penalised likelihood with this coefficient held and all others at their best
    (Venzon & Moolgavkar 1988; Heinze & Schemper 2002). Its slope is the score of the coefficient
    that is held, so Newton's method finds the end; a bracket guards it.

    Parameters
    ----------
    best : what `firth_logistic` gave
    fall : in log likelihood, above 0
    side : -1 for the lower end, 1 for the upper

    None if it does not converge.
    """
    free = np.arange(design.shape[1]) != column
    center, sought = float(best.coefficients[column]), float(np.sqrt(2 * fall))
    inside, outside = center, side * np.inf
    at = center + side * sought * float(np.sqrt(best.covariance[column, column]))
    nearest = best  # of those inside
    for _ in range(_STEPS):
        # The others begin where the curvature of the nearest fit says that they will be best.
        moved = nearest.covariance[:, column] / nearest.covariance[column, column]
        start = nearest.coefficients + moved * (at - inside)
        start[column] = at
        fit = _maximise(design, y, start, free)
        if fit is None:  # too far from the nearest
            at = (inside + at) / 2
            continue
        fallen = best.likelihood - fit.likelihood
        if abs(fallen - fall) < _CLOSE:
            return at
        # Newton's method for √(2 x fallen), which is nearly straight
        root, slope = float(np.sqrt(max(2 * fallen, 0.0))), -float(fit.score[column])
        proposed = at + (sought - root) * root / slope if slope * side > 0 else np.nan
        if fallen < fall:
            inside, nearest = at, fit
        else:
            outside = at
        if not min(inside, outside) < proposed < max(inside, outside):
            proposed = (inside + outside) / 2 if np.isfinite(outside) else 2 * at - center
        at = proposed
    return None


def _maximise(design: Floats, y: Floats, start: Floats, free: Booleans) -> FirthFit | None:
    """Newton's method over the coefficients that are free; None if it does not converge.

    Steps are halved until the penalised likelihood rises.
    """
    at = _Point.of(design, y, start)
    for _ in range(_STEPS):
        step = at.newton_step(free)
        if step is None:
            return None
        gain = float(at.score @ step)
        # Where the curvature is slight a step goes far too far: at most it doubles the log odds.
        reach = float(np.abs(design @ step).max())
        farthest = _FIRST_REACH + float(np.abs(design @ at.coefficients).max())
        step *= min(1.0, farthest / max(reach, farthest))
        for halving in range(_HALVINGS):
            proposed = _Point.of(design, y, at.coefficients + step / 2**halving)
            if proposed.likelihood >= at.likelihood - _CLOSE / 1000:
                break
        else:
            return None
        at = proposed
        if gain < _CLOSE:  # before this step: by Newton's next to nothing is left after it
            return at.fit()
    return None


@dataclass(frozen=True)
class _Point:
    """The penalised likelihood and its derivatives at some coefficients.

    With √W X = QR the leverages h are the squared rows' lengths of Q, |I| is |R|², and the score is
    X'(y - π + h(½ - π)). It is made of logarithms and scaled weights, as the interval of a steep
    slope has π so near 0 or 1 that 1 - π would vanish.
    """

    coefficients: Floats
    likelihood: float
    score: Floats
    _design: Floats
    _weights: Floats  # scaled
    _log_scale: float
    _basis: Floats  # Q of the scaled weights
    _packed: Floats  # R of them, and LAPACK's own numbers below it
    _leverage: Floats
    _tilt: Floats  # 1 - 2π

    @classmethod
    def of(cls, design: Floats, y: Floats, coefficients: Floats) -> "_Point":
        linear = design @ coefficients
        minus_log_no = np.logaddexp(0, linear)  # -log(1 - π)
        log_weights = linear - 2 * minus_log_no
        log_scale = float(log_weights.max())
        weights = np.exp(log_weights - log_scale)
        # LAPACK's own two steps: numpy.linalg.qr takes three times as long for few rows.
        packed, reflections, _, _ = dgeqrf(np.sqrt(weights)[:, None] * design)
        basis, _, _ = dorgqr(packed, reflections)
        leverage = (basis * basis).sum(axis=1)
        tilt = -np.tanh(linear / 2)
        with np.errstate(divide="ignore"):
            half_log_determinant = float(np.log(np.abs(np.diagonal(packed))).sum())
        half_log_determinant += design.shape[1] * log_scale / 2
        return cls(
            coefficients,
            float(y @ linear - minus_log_no.sum()) + half_log_determinant,
            design.T @ (y - expit(linear) + leverage * tilt / 2),
            design,
            weights,
            log_scale,
            basis,
            packed[: design.shape[1]],
            leverage,
            tilt,
        )

    def curvature(self) -> Floats:
        """(K, K) the penalised likelihood's second derivatives, negated."""
        design, tilt, leverage = self._design, self._tilt, self._leverage
        # The derivative of the leverages: Σ (1 - 2π)(1 - 2π)' H², and H² is of rank K².
        pairs = self._basis[:, :, None] * (tilt[:, None] * self._basis)[:, None, :]
        products = pairs.reshape(tilt.size, -1).T @ design
        weights = self._weights * np.exp(self._log_scale)
        own = weights * (1 + leverage) - tilt * tilt * leverage / 2
        curvature: Floats = (design.T * own) @ design + products.T @ products / 2
        return curvature

    def information(self) -> Floats:
        root = np.triu(self._packed)
        information: Floats = root.T @ root * np.exp(self._log_scale)
        return information

    def fit(self) -> FirthFit | None:
        try:
            inverse = np.linalg.inv(np.triu(self._packed))
        except np.linalg.LinAlgError:
            return None
        covariance = inverse @ inverse.T * np.exp(-self._log_scale)
        return FirthFit(self.coefficients, self.likelihood, self.score, covariance)

    def newton_step(self, free: Booleans) -> Floats | None:
        """(K,) with 0 where not free; by the information where the curvature is no maximum's."""
        step = np.zeros(free.size)
        for derivatives in (self.curvature, self.information):
            # Cholesky's way, which there is only of a maximum's curvature.
            _, solved, info = dposv(derivatives()[free][:, free], self.score[free])
            if info == 0:
                step[free] = solved
                return step
        return None
