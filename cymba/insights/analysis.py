"""From days to graded pairs: every look that the data have reached, and what stands after the last.

Pure: arrays in, values out. `cymba.insights.findings` stores what comes of it.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cymba.insights.days import Days
from cymba.insights.exposures import Exposure
from cymba.insights.outcomes import Outcome
from cymba.insights.statistics import (
    PRIMARY_LEVEL,
    Associations,
    Direction,
    Fit,
    Look,
    Tier,
    Verdict,
    adjust_bh,
    complete_pairs,
    exploratory_discoveries,
    grade,
    looks,
    sequential_p,
)

METHOD_VERSION = "3"
LAGS = (0, 1, 2, 3)
PRIMARY_LAG = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LookTaken:
    """What one milestone said of a pair, in the outcome's points; None where it was refused."""

    milestone: int
    effect: float | None
    low: float | None
    high: float | None
    p: float | None
    sequential_p: float
    input_hash: str


@dataclass(slots=True)
class Pair:
    """One exposure and outcome at one lag, through all its looks to its grade."""

    exposure: Exposure
    outcome: Outcome
    lag: int
    pairs_now: int
    days: int
    exposure_coverage: float
    outcome_coverage: float
    taken: list[LookTaken] = field(default_factory=list)
    sequential_p: float = 1.0
    se: float = math.nan
    df: float = math.nan
    contrast: float = math.nan
    half_signs: tuple[int, int] = (0, 0)
    verdict: Verdict | None = None

    @property
    def tier(self) -> Tier:
        is_primary = self.exposure.primary and self.outcome.primary and self.lag == PRIMARY_LAG
        return Tier.PRIMARY if is_primary else Tier.EXPLORATORY

    @property
    def last(self) -> LookTaken | None:
        return self.taken[-1] if self.taken else None


def analyse(
    days: Days,
    exposures: Sequence[Exposure],
    outcomes: Sequence[Outcome],
    *,
    tested: frozenset[tuple[str, str]] = frozenset(),
) -> list[Pair]:
    """Grade every pair; `tested`: (exposure, outcome) of the person's own completed trials."""
    found: list[Pair] = []
    for lags, felt in (((0,), days.same_day), (LAGS[1:], days.mornings)):
        pairs = _begin(days, felt, lags, exposures, outcomes)
        for look in looks(days.exposures, felt, days.before, days.weekdays, lags):
            for place in zip(*np.nonzero(look.reached), strict=True):
                _take(pairs[place], look, place, days, felt)
        found.extend(pair for pair in pairs.ravel() if not pair.outcome.reaches_before(pair.lag))
    _grade(found, tested)
    return found


def _begin(
    days: Days,
    felt: Floats,
    lags: Sequence[int],
    exposures: Sequence[Exposure],
    outcomes: Sequence[Outcome],
) -> NDArray[Any]:
    """(L, O, E) of Pair, before any look."""
    pairs = np.empty((len(lags), len(outcomes), len(exposures)), dtype=object)
    length = max(len(days.dates), 1)
    exposure_coverage = np.isfinite(days.exposures).sum(axis=1) / length
    outcome_coverage = np.isfinite(felt).sum(axis=1) / length
    for row, lag in enumerate(lags):
        counts = complete_pairs(days.exposures, felt, days.before, lag).sum(axis=-1)
        for o, outcome in enumerate(outcomes):
            for e, exposure in enumerate(exposures):
                pairs[row, o, e] = Pair(
                    exposure,
                    outcome,
                    lag,
                    pairs_now=int(counts[o, e]),
                    days=len(days.dates),
                    exposure_coverage=float(exposure_coverage[e]),
                    outcome_coverage=float(outcome_coverage[o]),
                )
    return pairs


def _take(pair: Pair, look: Look, place: tuple[Any, ...], days: Days, felt: Floats) -> None:
    numbers: Associations = look.associations
    p = float(numbers.p[place])
    pair.sequential_p = sequential_p(p, pair.sequential_p)
    pair.se, pair.df = float(numbers.shown_se[place]), float(numbers.df[place])
    pair.contrast = float(numbers.contrast[place])
    halves = numbers.half_effects[(slice(None), *place)]
    pair.half_signs = (_sign(halves[0]), _sign(halves[1]))
    _, o, e = place
    end = slice(0, int(look.end_days[place]) + 1)
    pair.taken.append(
        LookTaken(
            milestone=look.milestone,
            effect=_known(numbers.shown_effect[place]),
            low=_known(numbers.shown_low[place]),
            high=_known(numbers.shown_high[place]),
            p=_known(p),
            sequential_p=pair.sequential_p,
            input_hash=inputs_hash(
                pair.lag,
                days.exposures[e, end],
                felt[o, end],
                days.before[o, end],
                days.weekdays[end],
            ),
        )
    )


def inputs_hash(lag: int, *arrays: NDArray[Any]) -> str:
    """What a finding was computed from, and by which method: the same hash, the same finding."""
    digest = hashlib.sha256(f"{METHOD_VERSION}/{lag}".encode())
    for array in arrays:
        # NaN has many bit patterns; one stands for "missing".
        canonical = np.where(np.isnan(array), np.nan, array) if array.dtype.kind == "f" else array
        digest.update(np.ascontiguousarray(canonical).tobytes())
    return digest.hexdigest()


def _grade(pairs: Sequence[Pair], tested: frozenset[tuple[str, str]]) -> None:
    passed = _primaries_passed(pairs) | _exploratories_passed(pairs)
    for pair in pairs:
        last = pair.last
        effect, low, high = (
            (last.effect, last.low, last.high) if last is not None else (None, None, None)
        )
        pair.verdict = grade(
            Fit(
                effect=_or_nan(effect),
                se=pair.se,
                low=_or_nan(low),
                high=_or_nan(high),
                df=pair.df,
                n=last.milestone if last is not None else 0,
                pairs_now=pair.pairs_now,
                days=pair.days,
                sequential_p=pair.sequential_p,
                tier=pair.tier,
                tier_passed=id(pair) in passed,
                half_signs=pair.half_signs,
                direction=Direction.LOWER_IS_BETTER
                if pair.outcome.worse == "higher"
                else Direction.HIGHER_IS_BETTER,
                minimal_difference=pair.outcome.minimal_difference,
            ),
            own_trial=pair.lag == PRIMARY_LAG and (pair.exposure.name, pair.outcome.name) in tested,
        )


def _primaries_passed(pairs: Sequence[Pair]) -> set[int]:
    # One without a look yet counts with its p of 1: the family was fixed in advance.
    primaries = [pair for pair in pairs if pair.tier is Tier.PRIMARY]
    adjusted = adjust_bh([pair.sequential_p for pair in primaries])
    return {id(pair) for pair, p in zip(primaries, adjusted, strict=True) if p <= PRIMARY_LEVEL}


def _exploratories_passed(pairs: Sequence[Pair]) -> set[int]:
    """A family is an outcome; a refused pair was not tested."""
    families: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.tier is Tier.EXPLORATORY and pair.last is not None:
            families.setdefault(pair.outcome.name, []).append(pair)
    if not families:
        return set()
    width = max(map(len, families.values()))
    p = np.full((len(families), width), np.nan)
    for row, members in enumerate(families.values()):
        p[row, : len(members)] = [pair.sequential_p for pair in members]
    discovered = exploratory_discoveries(p)
    return {
        id(pair)
        for row, members in enumerate(families.values())
        for column, pair in enumerate(members)
        if discovered[row, column]
    }


def _sign(value: float) -> int:
    return 0 if math.isnan(value) else int(np.sign(value))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
