"""From days to graded pairs: every look that the data have reached, and what stands after the last.

Pure: arrays in, values out. `cymba.insights.findings` stores what comes of it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from cymba.insights.days import Days
from cymba.insights.exposures import Exposure
from cymba.insights.outcomes import Outcome
from cymba.insights.pair_inputs import PairInputs
from cymba.insights.statistics import (
    MILESTONES,
    PRIMARY_LEVEL,
    Associations,
    Direction,
    Fit,
    Look,
    Reason,
    Tier,
    Verdict,
    adjust_bh,
    any_follows,
    complete_pairs,
    exploratory_discoveries,
    grade,
    looks,
    sequential_p,
    use_follows,
)

LAGS = (0, 1, 2, 3)
PRIMARY_LAG = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LookTaken:
    """What one milestone said of a pair, in the outcome's points; None where it was refused.

    Everything later is computed from this, so that the same inputs are estimated only once.

    contrast   : in the exposure's unit
    half_signs : of the effect in either half of the days, each -1, 0 or 1
    follows_p  : of the exposure following the rating before it
    """

    milestone: int
    effect: float | None
    se: float | None
    df: float | None
    low: float | None
    high: float | None
    p: float | None
    contrast: float | None
    half_signs: tuple[int, int]
    sequential_p: float
    follows_p: float | None
    input_hash: str

    @classmethod
    def known(cls, stored: Mapping[str, Any]) -> Self | None:
        """As it was stored; None of one with less in it, from before."""
        if stored.keys() != cls.__dataclass_fields__.keys():
            return None
        return cls(**{**stored, "half_signs": tuple(stored["half_signs"])})

    def stored(self) -> dict[str, Any]:
        """As JSON holds it, which has lists alone."""
        values = dict(zip(_NAMES, _values_of(self), strict=True))
        return values | {"half_signs": list(self.half_signs)}


_NAMES = tuple(LookTaken.__dataclass_fields__)
_values_of = attrgetter(*_NAMES)  # dataclasses.asdict copies deeply: a tenth of a refresh


@dataclass(slots=True)
class Pair:
    """One exposure and outcome at one lag, through all its looks to its grade.

    pooled : the outcome is the evening's and the next morning's in one
    days   : from the first on which both are known to the last; the coverages are of these
    """

    exposure: Exposure
    outcome: Outcome
    lag: int
    pooled: bool
    pairs_now: int
    days: int
    exposure_coverage: float
    outcome_coverage: float
    taken: list[LookTaken] = field(default_factory=list)
    sequential_p: float = 1.0
    follows_p: float = 1.0  # the smallest of all looks
    follows: Reason | None = None
    verdict: Verdict | None = None

    @property
    def tier(self) -> Tier:
        is_primary = self.exposure.primary and self.outcome.primary and self.lag == PRIMARY_LAG
        return Tier.PRIMARY if is_primary else Tier.EXPLORATORY

    @property
    def key(self) -> tuple[str, str, int]:
        return self.exposure.name, self.outcome.name, self.lag

    @property
    def last(self) -> LookTaken | None:
        return self.taken[-1] if self.taken else None

    def take(self, look: LookTaken) -> None:
        """Add the next look. Its hash covers all days up to it, so also those of earlier looks; its
        `sequential_p` is over all of them."""
        self.sequential_p = look.sequential_p
        if look.follows_p is not None:
            self.follows_p = min(self.follows_p, look.follows_p)
        self.taken.append(look)


def analyse(
    days: Days,
    exposures: Sequence[Exposure],
    outcomes: Sequence[Outcome],
    *,
    tested: frozenset[tuple[str, str]] = frozenset(),
    known: Mapping[str, LookTaken] = MappingProxyType({}),
) -> list[Pair]:
    """Grade every pair.

    tested : (exposure, outcome) of the person's own completed trials
    known  : looks taken before, by their `input_hash`; the same inputs say the same again
    """
    all_exposures, all_outcomes = list(enumerate(exposures)), list(enumerate(outcomes))
    apart = [
        pair
        for lags in ((0,), LAGS[1:])
        for pair in _look_at(days, lags, all_exposures, all_outcomes, known)
    ]
    pooled = _look_at(
        days,
        (PRIMARY_LAG,),
        [(e, one) for e, one in all_exposures if one.primary],
        [
            (o, one)
            for o, one in all_outcomes
            if one.primary and not one.reaches_before(0) and np.isfinite(days.same_day[o]).any()
        ],
        known,
        pooled=True,
    )
    by_question = {pair.key: pair for pair in (*apart, *pooled)}
    _flag((*apart, *pooled), by_question.values())
    # That evening lies nearest to the pain that brings use about, so only where use follows none.
    chosen = [one if (one := by_question[pair.key]).follows is None else pair for pair in apart]
    _grade(chosen, tested)
    return chosen


def _look_at(
    days: Days,
    lags: Sequence[int],
    exposures: Sequence[tuple[int, Exposure]],
    outcomes: Sequence[tuple[int, Outcome]],
    known: Mapping[str, LookTaken],
    *,
    pooled: bool = False,
) -> list[Pair]:
    """The pairs of these, which come with their rows in `days`, through every look there is."""
    if not exposures or not outcomes:
        return []
    rows_e, rows_o = [e for e, _ in exposures], [o for o, _ in outcomes]
    felt, hours = days.felt(lags[0], pooled=pooled)
    felt, exposed, before = felt[rows_o], days.exposures[rows_e], days.before[rows_o]
    hours = None if hours is None else hours[rows_o]
    pairs = np.empty((len(lags), len(outcomes), len(exposures)), dtype=object)
    hashes: dict[tuple[int, ...], list[str]] = {}
    inputs: dict[tuple[int, int], PairInputs] = {}
    for row, lag in enumerate(lags):
        complete = complete_pairs(exposed, felt, before, lag)
        for o, e in np.ndindex(complete.shape[:2]):
            if outcomes[o][1].reaches_before(lag):
                continue  # it says nothing of a session this long ago
            rows = np.flatnonzero(complete[o, e])
            has, rated = np.isfinite(exposed[e]), np.isfinite(felt[o])
            both = max(_first(has), _first(rated))
            pairs[row, o, e] = Pair(
                exposures[e][1],
                outcomes[o][1],
                lag,
                pooled,
                pairs_now=rows.size,
                days=has.size - both,
                exposure_coverage=float(has[both:].mean()) if both < has.size else 0.0,
                outcome_coverage=float(rated[both:].mean()) if both < has.size else 0.0,
            )
            ends = [int(rows[number - 1]) + 1 for number in MILESTONES if number <= rows.size]
            if ends:
                # The lags share all but their number.
                if (o, e) not in inputs:
                    inputs[o, e] = PairInputs.of(days, rows_e[e], rows_o[o], lag, pooled=pooled)
                hashes[row, o, e] = replace(inputs[o, e], lag=lag).hashes_until(ends)
    stand = {
        (index, *place)
        for place, of_pair in hashes.items()
        for index, one in enumerate(of_pair)
        if one in known
    }
    nothing_asked = [place for place in np.ndindex(pairs.shape) if pairs[place] is None]
    stand.update((index, *place) for place in nothing_asked for index in range(len(MILESTONES)))
    for look in looks(
        exposed, felt, before, days.weekdays, lags, hours=hours, cycle=days.cycle, known=stand
    ):
        made: list[_Numbers] = []
        places = zip(*(index.tolist() for index in np.nonzero(look.reached)), strict=True)
        for number, place in enumerate(places):
            pair = pairs[place]
            if pair is None:
                continue
            input_hash = hashes[place][look.index]
            taken = known.get(input_hash)
            if taken is None:
                made = made or _numbers(look)
                taken = _taken(look.milestone, made[number], pair.sequential_p, input_hash)
            pair.take(taken)
    return [pair for pair in pairs.ravel() if pair is not None]


def _first(known: NDArray[np.bool_]) -> int:
    return int(known.argmax()) if known.any() else known.size


class _Numbers(NamedTuple):
    """What a look says of one pair; NaN where it was refused."""

    effect: float
    se: float
    df: float
    low: float
    high: float
    p: float
    contrast: float
    follows_p: float
    first_half: float
    second_half: float


def _numbers(look: Look) -> list[_Numbers]:
    """Of those pairs that have reached it, in the order of their places."""
    numbers: Associations = look.associations
    columns = (
        numbers.shown_effect,
        numbers.shown_se,
        numbers.df,
        numbers.shown_low,
        numbers.shown_high,
        numbers.p,
        numbers.contrast,
        numbers.follows_p,
        *numbers.half_effects,
    )
    reached = (column[look.reached].tolist() for column in columns)
    return [_Numbers(*of_pair) for of_pair in zip(*reached, strict=True)]


def _taken(milestone: int, numbers: _Numbers, p_before: float, input_hash: str) -> LookTaken:
    return LookTaken(
        milestone=milestone,
        effect=_known(numbers.effect),
        se=_known(numbers.se),
        df=_known(numbers.df),
        low=_known(numbers.low),
        high=_known(numbers.high),
        p=_known(numbers.p),
        contrast=_known(numbers.contrast),
        half_signs=(_sign(numbers.first_half), _sign(numbers.second_half)),
        sequential_p=sequential_p(numbers.p, p_before),
        follows_p=_known(numbers.follows_p),
        input_hash=input_hash,
    )


def _flag(pairs: Iterable[Pair], questions: Iterable[Pair]) -> None:
    """Set for which pairs the exposure follows the rating before it: the pair's own rating, or that
    of any primary question, because who acts on pain also acts on what goes with pain."""
    asked: dict[str, list[Pair]] = {}
    for pair in questions:
        if pair.outcome.primary and pair.lag == PRIMARY_LAG:
            asked.setdefault(pair.exposure.name, []).append(pair)
    followed: dict[str, Reason] = {}
    for name, of_exposure in asked.items():
        if any_follows([pair.follows_p for pair in of_exposure]):
            followed[name] = _of_rating(min(of_exposure, key=lambda pair: pair.follows_p).outcome)
    for pair in pairs:
        own = _of_rating(pair.outcome) if use_follows(pair.follows_p) else None
        pair.follows = own or followed.get(pair.exposure.name)


def _of_rating(outcome: Outcome) -> Reason:
    return Reason.USE_FOLLOWS_PAIN if outcome.is_pain else Reason.USE_FOLLOWS_RATING


def _grade(pairs: Sequence[Pair], tested: frozenset[tuple[str, str]]) -> None:
    passed = _primaries_passed(pairs) | _exploratories_passed(pairs)
    for pair in pairs:
        last = pair.last
        numbers = (last.effect, last.se, last.df, last.low, last.high) if last else (None,) * 5
        effect, se, df, low, high = (_or_nan(value) for value in numbers)
        pair.verdict = grade(
            Fit(
                effect=effect,
                se=se,
                low=low,
                high=high,
                df=df,
                n=last.milestone if last is not None else 0,
                pairs_now=pair.pairs_now,
                days=pair.days,
                sequential_p=pair.sequential_p,
                tier=pair.tier,
                tier_passed=id(pair) in passed,
                half_signs=last.half_signs if last else (0, 0),
                direction=Direction.LOWER_IS_BETTER
                if pair.outcome.worse == "higher"
                else Direction.HIGHER_IS_BETTER,
                minimal_difference=pair.outcome.minimal_difference,
                follows=pair.follows,
            ),
            is_pooled=pair.pooled,
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
    return (value > 0) - (value < 0)  # of NaN 0


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
