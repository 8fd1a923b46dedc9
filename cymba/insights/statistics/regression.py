"""Least squares for one coefficient at a time, after everything else has been taken out.

By the Frisch-Waugh-Lovell theorem (Frisch & Waugh 1933; Lovell 1963) the coefficient of x in
`y ~ x + held + nuisance` is the slope of y on what `held` and `nuisance` leave of x. So one QR
of the nuisance serves every exposure.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

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
    follows_p             : (E,) two-sided p of the nuisance's last column in the regression of x on
                            all else: whether x follows it; NaN where either has nothing of its own
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
    follows_p: Floats

    @property
    def se(self) -> Floats:
        """The larger: HC2 alone is too small in small samples (Imbens & Kolesár 2016)."""
        return np.fmax(self.se_ols, self.se_hc2)


def orthonormal(columns: Floats) -> Floats:
    """An orthonormal basis (N, K') of the space that `columns` (N, K) span."""
    return _basis(columns)[0]


def _basis(columns: Floats) -> tuple[Floats, bool]:
    """The basis, and whether its last vector is what the last column has of its own."""
    lengths = np.sqrt(_squares(columns))
    q, r = np.linalg.qr(columns)
    new = np.abs(np.diagonal(r)) > _NEW_SHARE * lengths[: r.shape[0]]
    if new.all() and columns.shape[0] >= columns.shape[1]:
        return q, True
    # What QR returns for a dependent column is arbitrary, and the columns after it were cleared
    # of that, so the basis is made again without it.
    kept: Booleans = np.zeros(columns.shape[1], dtype=np.bool_)
    kept[: new.size] = new
    q, is_last = _basis(columns[:, kept])
    return q, is_last and bool(kept[-1])


def partial_slopes(nuisance: Floats, y: Floats, x: Floats, held: Floats | None = None) -> Slopes:
    """Regress y on each column of x, with `nuisance` and the same column of `held` taken out.

    Parameters
    ----------
    nuisance : (N, K), with a constant among its columns, and last what x might follow
    y        : (N,)
    x        : (N, E)
    held     : (N, E) or None; one further regressor for each of x's columns

    Variances are e'e/df / u'u and, with leverage h, HC2: Σ u²e²/(1-h) / (u'u)² (MacKinnon & White
    1985), where u is what is left of x.
    """
    basis, is_last = _basis(nuisance)
    rows, rank = basis.shape
    exposures = x.shape[1]
    columns = np.column_stack([y, x] if held is None else [y, x, held])
    columns -= columns.mean(axis=0)
    shares = basis.T @ columns
    rests = columns - basis @ shares
    centred, partial_x = columns[:, 1 : exposures + 1], rests[:, 1 : exposures + 1]
    partial_y = np.repeat(rests[:, :1], exposures, axis=1)
    leverage = np.einsum("ij,ij->i", basis, basis)[:, None]
    coefficients = np.full(exposures, rank + 1)
    # Of x, what the nuisance's last column explains beyond all else (Frisch-Waugh-Lovell again)
    explained = shares[-1, 1 : exposures + 1] ** 2
    if held is not None:
        rest = rests[:, exposures + 1 :]
        squares = _squares(rest)
        has_own = squares > _NEW_SHARE * _squares(columns[:, exposures + 1 :])
        rest *= np.where(has_own, 1 / np.sqrt(np.where(has_own, squares, 1.0)), 0.0)
        products = np.einsum("ij,ij->j", rest, partial_x)
        explained = _explained(shares[-1], products, np.sqrt(squares) * has_own, exposures)
        partial_x -= rest * products
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
        follows_df = np.where(df + 1 > 0, df + 1, np.nan)
        follows_t = np.sqrt(explained / own * follows_df)
        follows_p = 2 * stdtr(follows_df, -follows_t) if is_last else np.full(exposures, np.nan)
    return Slopes(
        slope, se_ols, se_hc2, df, vif, partial_x, partial_y, residuals, leverage, follows_p
    )


def _explained(last: Floats, products: Floats, lengths: Floats, exposures: int) -> Floats:
    """(E,) the squares of x that the last column explains once `held` is out of both.

    last     : (1 + 2E,) the last basis vector's products with y, x and held
    products : (E,) of what all the nuisance leaves of x with that of held, of length 1
    lengths  : (E,) of what it leaves of held
    """
    x, held = last[1 : exposures + 1], last[exposures + 1 :]
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(lengths > 0, lengths / np.hypot(lengths, held), np.nan)
        beside = held * products / np.hypot(lengths, held)
        explained: Floats = (x * own - beside) ** 2
    return explained


def _squares(columns: Floats) -> Floats:
    squares: Floats = np.einsum("ij,ij->j", columns, columns)
    return squares
