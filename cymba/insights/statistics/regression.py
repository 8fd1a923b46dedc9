"""Least squares for one coefficient at a time, after everything else has been taken out.

By the Frisch-Waugh-Lovell theorem (Frisch & Waugh 1933; Lovell 1963) the coefficient of x in
`y ~ x + held + nuisance` is the slope of y on what `held` and `nuisance` leave of x. So one QR
of the nuisance serves every exposure.

Series are rows here, so that each lies in one piece in memory: NumPy then spends its time on
numbers and not on calls.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dgeqrf, dorgqr
from scipy.special import stdtr

from cymba.insights.statistics.arrays import Booleans, Floats

# A column with less than this share of its length its own is a combination of those before it.
_NEW_SHARE = 1e-9


class Sums(NamedTuple):
    """What coefficients and their errors are made from, over the rows of each regression.

    All arrays have one shape; u is what all else leaves of x, e the residuals, h the leverages.

    df                : rows minus the number of coefficients
    x, own            : squares of x about its mean; of u, NaN where x has nothing of its own
    shared            : of u and y
    residual          : squares of e
    robust            : u²e²/(1-h), so that the variance is HC2 (MacKinnon & White 1985)
    last_x, last_held : of x, and of what is held beside it, with the last column's own direction;
                        NaN where that column has nothing of its own
    held, held_x      : length of what the nuisance leaves of what is held; its direction with x
    """

    df: Floats
    x: Floats
    own: Floats
    shared: Floats
    residual: Floats
    robust: Floats
    last_x: Floats
    last_held: Floats
    held: Floats
    held_x: Floats

    @property
    def slope(self) -> Floats:
        return self.shared / self.own

    @property
    def se_ols(self) -> Floats:
        return np.sqrt(self.residual / np.where(self.df > 0, self.df, np.nan) / self.own)

    @property
    def se_hc2(self) -> Floats:
        return np.sqrt(self.robust) / self.own

    @property
    def se(self) -> Floats:
        """The larger: HC2 alone is too small in small samples (Imbens & Kolesár 2016)."""
        return np.fmax(self.se_ols, self.se_hc2)

    @property
    def vif(self) -> Floats:
        """Variance inflation; NaN where x has nothing of its own."""
        return self.x / self.own

    @property
    def follows_p(self) -> Floats:
        """Two-sided p of the nuisance's last column in the regression of x on all else: whether x
        follows it; NaN where one of them, or what is held, has nothing of its own."""
        df = np.where(self.df > -1, self.df + 1, np.nan)
        # What the last column explains of x once `held` is out of both (Frisch-Waugh-Lovell again)
        length = np.where(self.held > 0, np.hypot(self.held, self.last_held), np.nan)
        explained = (self.last_x * self.held - self.last_held * self.held_x) / length
        p: Floats = 2 * stdtr(df, -np.abs(explained) * np.sqrt(df / self.own))
        return p


@dataclass(frozen=True)
class Slopes:
    """E regressions over the same N rows, which differ in x and what is held.

    sums                 : (E,) each
    partial_x, partial_y : (E, N) x and y after all else but x
    residuals            : (E, N) of y after x too
    leverage             : (E, N) diagonal of the hat matrix of the whole regression
    """

    sums: Sums
    partial_x: Floats
    partial_y: Floats
    residuals: Floats
    leverage: Floats


def orthonormal(columns: Floats) -> Floats:
    """An orthonormal basis (N, K') of the space that `columns` (N, K) span."""
    return _basis(columns)[0]


def _basis(columns: Floats) -> tuple[Floats, bool]:
    """The basis, and whether its last vector is what the last column has of its own."""
    lengths = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    # LAPACK's own two steps: numpy.linalg.qr copies around them, for half as long again.
    triangle, reflections, _, _ = dgeqrf(columns)
    new = np.abs(np.diagonal(triangle)) > _NEW_SHARE * lengths[: reflections.size]
    if new.all() and columns.shape[0] >= columns.shape[1]:
        basis, _, _ = dorgqr(triangle, reflections, overwrite_a=True)
        return basis, True
    # What QR returns for a dependent column is arbitrary, and the columns after it were cleared
    # of that, so the basis is made again without it.
    kept: Booleans = np.zeros(columns.shape[1], dtype=np.bool_)
    kept[: new.size] = new
    basis, is_last = _basis(columns[:, kept])
    return basis, is_last and bool(kept[-1])


def partial_slopes(nuisance: Floats, y: Floats, x: Floats, held: Floats | None = None) -> Slopes:
    """Regress y on each of x, with `nuisance` and its own one of `held` taken out.

    Parameters
    ----------
    nuisance : (N, K), with a constant among its columns, and last what x might follow
    y        : (N,)
    x        : (E, N)
    held     : (E, N) or None; one further regressor for each of x
    """
    basis, is_last = _basis(nuisance)
    rows, rank = basis.shape
    exposures = x.shape[0]
    series = np.concatenate([y[None], x] if held is None else [y[None], x, held])
    series -= series.mean(axis=1, keepdims=True)
    squares = np.vecdot(series, series)
    shares = series @ basis
    rests = series - shares @ basis.T
    rest_y, partial_x = rests[0], rests[1 : exposures + 1]
    x_squares = squares[1 : exposures + 1]
    leverage = np.vecdot(basis, basis)
    df = np.full(exposures, rows - rank - 1.0)
    last = shares[:, -1] if is_last else np.full(squares.size, np.nan)
    last_held, lengths, products = np.zeros(exposures), np.ones(exposures), np.zeros(exposures)
    if held is None:
        partial_y = np.repeat(rest_y[None], exposures, axis=0)
    else:
        rest = rests[exposures + 1 :]
        own = np.vecdot(rest, rest)
        has_own = own > _NEW_SHARE * squares[exposures + 1 :]
        lengths = np.sqrt(own) * has_own
        rest *= (has_own / np.where(has_own, lengths, 1.0))[:, None]
        products = np.vecdot(rest, partial_x)
        last_held = last[exposures + 1 :]
        partial_x -= rest * products[:, None]
        partial_y = rest_y - rest * (rest @ rest_y)[:, None]
        leverage = leverage + rest * rest
        df -= has_own

    own = np.vecdot(partial_x, partial_x)
    own = np.where(own > _NEW_SHARE * x_squares, own, np.nan)
    shared = np.vecdot(partial_x, partial_y)
    residuals = partial_y - (shared / own)[:, None] * partial_x
    leverage = leverage + partial_x * partial_x / own[:, None]
    # A row that the model fits whatever its y (leverage 1) has residual 0 and says nothing.
    robust = partial_x * residuals
    robust *= robust
    robust /= np.maximum(1 - leverage, 1e-9)
    sums = Sums(
        df,
        x_squares,
        own,
        shared,
        np.vecdot(residuals, residuals),
        robust.sum(axis=1),
        last[1 : exposures + 1],
        last_held,
        lengths,
        products,
    )
    return Slopes(sums, partial_x, partial_y, residuals, leverage)
