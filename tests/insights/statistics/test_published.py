"""Values that others have published, or that R gives, for public data sets."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from cymba.insights.statistics import repeated_measures_correlation
from cymba.insights.statistics.firth import firth_logistic, profile_end
from cymba.insights.statistics.regression import partial_slopes

DATA = Path(__file__).parent / "data"


def columns(name: str) -> NDArray[np.float64]:
    return np.loadtxt(DATA / name, delimiter=",", skiprows=2, unpack=True)


def test_bland_and_altman_1995() -> None:
    subject, ph, paco2 = columns("bland1995.csv")
    result = repeated_measures_correlation(subject, paco2, ph)
    assert result.r == pytest.approx(-0.5067697, abs=5e-8)
    assert result.df == 38
    assert result.p == pytest.approx(0.0008471081, rel=1e-6)
    assert result.low == pytest.approx(-0.7067146, abs=5e-8)
    assert result.high == pytest.approx(-0.2318631, abs=5e-8)


def test_raz_2005() -> None:
    subject, age, volume = columns("raz2005.csv")
    result = repeated_measures_correlation(subject, age, volume)
    assert result.r == pytest.approx(-0.7044077, abs=5e-8)
    assert result.df == 71
    assert result.p == pytest.approx(3.56101e-12, rel=1e-5)


def test_hc2_of_lake_huron() -> None:
    level = columns("lake_huron.csv")
    year = np.arange(1875.0, 1973.0)
    slopes = partial_slopes(np.ones((98, 1)), level, year[None])
    assert slopes.sums.se_hc2[0] == pytest.approx(0.00415334, abs=5e-9)
    assert slopes.sums.slope[0] == pytest.approx(-0.0242011, abs=5e-8)  # R: lm(LakeHuron ~ year)
    assert slopes.sums.df[0] == 96


def test_profile_intervals_of_heinze_and_schemper_2002() -> None:
    """Nobody with neovascularisation has a low grade: separated. Values of R's logistf."""
    *measured, grade = columns("endometrial.csv")
    design = np.column_stack([np.ones(79), *measured])
    fit = firth_logistic(design, grade)
    assert fit is not None
    assert fit.coefficients == pytest.approx(
        [3.77455951, 2.92927330, -0.03475175, -2.60416387], rel=1e-6
    )
    expected = [
        (1.0825371, 7.20928050),
        (0.6097244, 7.85463171),
        (-0.1244587, 0.04045547),
        (-4.3651832, -1.23272106),
    ]
    fall = float(chi2.ppf(0.95, 1)) / 2
    for column, ends in enumerate(expected):
        found = [
            profile_end(design, grade, fit, column=column, fall=fall, side=side) for side in (-1, 1)
        ]
        assert found == pytest.approx(ends, rel=1e-4)
