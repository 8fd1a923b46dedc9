"""Least squares for one coefficient at a time, after everything else has been taken out.

By the Frisch-Waugh-Lovell theorem (Frisch & Waugh 1933; Lovell 1963) the coefficient of x in
`y ~ x + held + nuisance` is the slope of y on what `held` and `nuisance` leave of x. So one QR
of the nuisance serves every exposure.
"""

from dataclasses import dataclass

import numpy as np

from cymba.insights.statistics.arrays import Booleans, Floats, Integers

# A column with less than this share of its length its own is a combination of those before it.
_NEW_SHARE = 1e-9


@dataclass(frozen=True)
class Slopes:
    """Of E regressions over the same N rows, the coefficients of interest.

    slope, se_ols, se_hc2 : (E,) in units of y per unit of x; NaN where x has nothing of its own
    df                    : (E,) N minus the number of coefficients
    vif                   : (E,) variance inflation, SS(x) / SS(x given all else)
    partial_x, residuals  : (N, E) x and y after all else (y after x too)
    partial_y             : (N, E) y after all but x
    leverage              : (N, E) diagonal of the hat matrix of the whole regression
    """

    slope: Floats
    se_ols: Floats
    se_hc2: Floats
    df: Integers
    vif: Floats
    partial_x: Floats
    partial_y: Floats
    residuals: Floats
    leverage: Floats

    @property
    def se(self) -> Floats:
        """The larger: HC2 alone is too small in small samples (Imbens & Kolesár 2016)."""
        return np.fmax(self.se_ols, self.se_hc2)


def orthonormal(columns: Floats) -> Floats:
    """An orthonormal basis (N, K') of the space that `columns` (N, K) span."""
    lengths = np.sqrt(_squares(columns))
    q, r = np.linalg.qr(columns)
    new = np.abs(np.diagonal(r)) > _NEW_SHARE * lengths[: r.shape[0]]
    if new.all() and columns.shape[0] >= columns.shape[1]:
        return q
    # What QR returns for a dependent column is arbitrary, and the columns after it were cleared
    # of that, so the basis is made again without it.
    kept: Booleans = np.zeros(columns.shape[1], dtype=np.bool_)
    kept[: new.size] = new
    return orthonormal(columns[:, kept])


def partial_slopes(nuisance: Floats, y: Floats, x: Floats, held: Floats | None = None) -> Slopes:
    """Regress y on each column of x, with `nuisance` and the same column of `held` taken out.

    Parameters
    ----------
    nuisance : (N, K), with a constant among its columns
    y        : (N,)
    x        : (N, E)
    held     : (N, E) or None; one further regressor for each of x's columns

    Variances are e'e/df / u'u and, with leverage h, HC2: Σ u²e²/(1-h) / (u'u)² (MacKinnon & White
    1985), where u is what is left of x.
    """
    basis = orthonormal(nuisance)
    rows, rank = basis.shape
    exposures = x.shape[1]
    columns = np.column_stack([y, x] if held is None else [y, x, held])
    columns -= columns.mean(axis=0)
    rests = columns - basis @ (basis.T @ columns)
    centred, partial_x = columns[:, 1 : exposures + 1], rests[:, 1 : exposures + 1]
    partial_y = np.repeat(rests[:, :1], exposures, axis=1)
    leverage = np.einsum("ij,ij->i", basis, basis)[:, None]
    coefficients = np.full(exposures, rank + 1)
    if held is not None:
        rest = rests[:, exposures + 1 :]
        squares = _squares(rest)
        has_own = squares > _NEW_SHARE * _squares(columns[:, exposures + 1 :])
        rest *= np.where(has_own, 1 / np.sqrt(np.where(has_own, squares, 1.0)), 0.0)
        partial_x -= rest * np.einsum("ij,ij->j", rest, partial_x)
        partial_y -= rest * np.einsum("ij,ij->j", rest, partial_y)
        leverage = leverage + rest * rest
        coefficients += has_own

    df = rows - coefficients
    own = _squares(partial_x)
    with np.errstate(divide="ignore", invalid="ignore"):
        vif = _squares(centred) / own
        own = np.where(own > _NEW_SHARE * _squares(centred), own, np.nan)
        slope = np.einsum("ij,ij->j", partial_x, partial_y) / own
        residuals = partial_y - slope * partial_x
        x_squares = partial_x * partial_x
        leverage = leverage + x_squares / own
        residual_squares = residuals * residuals
        se_ols = np.sqrt(residual_squares.sum(axis=0) / np.where(df > 0, df, np.nan) / own)
        # A row that the model fits whatever its y (leverage 1) has residual 0 and says nothing.
        free = np.maximum(1 - leverage, 1e-9)
        se_hc2 = np.sqrt((x_squares * residual_squares / free).sum(axis=0)) / own
    return Slopes(slope, se_ols, se_hc2, df, vif, partial_x, partial_y, residuals, leverage)


def _squares(columns: Floats) -> Floats:
    squares: Floats = np.einsum("ij,ij->j", columns, columns)
    return squares
