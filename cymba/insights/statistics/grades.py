"""From a fit's numbers to what may be said of it: a grade, its reasons, and how many more days.

Grades rise from `collecting` to `tested`. Three rules hold one down whatever the numbers. An
interval within the item's minimal important difference is `no_clear_link` however small p is. "More
stimulation, worse symptom" stays at `early_signal`, because people who stimulate when it hurts
produce just that. So does every pair whose exposure follows the rating before it, in either
direction: the days cannot show which came first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import stdtrit

from cymba.insights.statistics.associate import LOOK_ALPHA
from cymba.insights.statistics.sequential import MILESTONES, next_milestone

STRONG_P = 0.01
STRONG_PAIRS = 56
EARLY_SIGNAL_P = 0.10
# Measured on simulated people: where the number of pairs truly needed lay, as a multiple of n*; and
# the days to a milestone, as a multiple of what the pace so far says. The days named hold the day
# in nine cases of ten: a row of the calibration.
NEEDED_RANGE = (0.54, 2.06)
PACE_RANGE = (0.4, 2.06)
FOLLOWS_P = 0.01  # of an exposure following the rating before it, at any look
FARTHEST_DAYS = 3650  # beyond ten years an extrapolation says only "not this way"


class Tier(StrEnum):
    PRIMARY = "primary"
    EXPLORATORY = "exploratory"


class Direction(StrEnum):
    """Which way the outcome is better."""

    LOWER_IS_BETTER = "lower_is_better"
    HIGHER_IS_BETTER = "higher_is_better"


class Grade(StrEnum):
    COLLECTING = "collecting"
    NOT_ENOUGH = "not_enough"
    NO_CLEAR_LINK = "no_clear_link"
    EARLY_SIGNAL = "early_signal"
    MODERATE = "moderate"
    STRONG = "strong"
    TESTED = "tested"


class Reason(StrEnum):
    FEW_PAIRS = "few_pairs"
    REFUSED = "refused"  # Associations.refusal says why
    INTERVAL_WIDE = "interval_wide"
    WITHIN_MINIMAL_DIFFERENCE = "within_minimal_difference"
    SEQUENTIAL_P = "sequential_p"  # p over all looks is at or below .10
    TIER_TEST_PASSED = "tier_test_passed"
    HALVES_AGREE = "halves_agree"
    HALVES_DISAGREE = "halves_disagree"
    VERY_SMALL_P = "very_small_p"  # p over all looks is at or below .01
    SHORT = "short"  # too few pairs for `strong`
    MORE_IS_WORSE = "more_is_worse"
    USE_FOLLOWS_PAIN = "use_follows_pain"
    USE_FOLLOWS_RATING = "use_follows_rating"  # of another item
    EVENING_AND_MORNING = "evening_and_morning"  # both in one rating
    OWN_TRIAL = "own_trial"


@dataclass(frozen=True)
class Fit:
    """What a grade rests on, at the pair's last milestone; effects (`shown_…`) in points.

    n           : complete pairs at the milestone; pairs_now: by today
    days        : from the first day of both series to today
    half_signs  : signs of the two halves' effects, each -1, 0 or 1
    tier_passed : Benjamini-Hochberg at .10 for a primary; exploratory_discoveries for the rest
    follows     : the reason why the exposure's days cannot separate cause from consequence, if any
    """

    effect: float
    se: float
    low: float
    high: float
    df: float
    n: int
    pairs_now: int
    days: int
    sequential_p: float
    tier: Tier
    tier_passed: bool
    half_signs: tuple[int, int]
    direction: Direction
    minimal_difference: float
    follows: Reason | None = None


@dataclass(frozen=True)
class MoreDays:
    """How many more days until the question can be answered: a range, as it is uncertain."""

    low: int
    high: int


@dataclass(frozen=True)
class Verdict:
    """more_days is None where nothing is missing, or no number of days within reach would do."""

    grade: Grade
    reasons: tuple[Reason, ...]
    more_days: MoreDays | None


def grade(fit: Fit, *, own_trial: bool = False, is_pooled: bool = False) -> Verdict:
    """The grade of one finding.

    own_trial : a randomised trial of this pair has been completed
    is_pooled : its outcome is the evening's and the next morning's rating in one
    """
    verdict = _graded(fit, own_trial=own_trial)
    if is_pooled and verdict.grade not in (Grade.COLLECTING, Grade.TESTED):
        reasons = (*verdict.reasons, Reason.EVENING_AND_MORNING)
        verdict = Verdict(verdict.grade, reasons, verdict.more_days)
    return verdict


def _graded(fit: Fit, *, own_trial: bool) -> Verdict:
    verdict = _link(fit)
    if own_trial:
        verdict = Verdict(Grade.TESTED, (Reason.OWN_TRIAL,), None)
    elif fit.n < MILESTONES[0]:
        verdict = Verdict(Grade.COLLECTING, (Reason.FEW_PAIRS,), more_days(fit))
    elif math.isnan(fit.effect) or math.isnan(fit.se):
        verdict = Verdict(Grade.NOT_ENOUGH, (Reason.REFUSED,), None)
    elif fit.low >= -fit.minimal_difference and fit.high <= fit.minimal_difference:
        verdict = Verdict(Grade.NO_CLEAR_LINK, (Reason.WITHIN_MINIMAL_DIFFERENCE,), None)
    return verdict if fit.follows is None else _held(verdict, fit.follows)


def use_follows(p: float) -> bool:
    """Whether p of the exposure following the rating before it sets the flag."""
    return p < FOLLOWS_P


def any_follows(ps: Sequence[float]) -> bool:
    """The same of several ratings at once: that of one of them is so for the exposure."""
    return use_follows(min(ps, default=1.0) * len(ps))


def _held(verdict: Verdict, follows: Reason) -> Verdict:
    """No higher than `early_signal`, and no days that would settle it, as only a trial can."""
    match verdict.grade:
        case Grade.TESTED | Grade.COLLECTING:
            return verdict
        case Grade.NOT_ENOUGH if Reason.REFUSED in verdict.reasons:
            return verdict
        case Grade.NOT_ENOUGH:
            return Verdict(Grade.NOT_ENOUGH, (*verdict.reasons, follows), None)
        case _:
            return Verdict(Grade.EARLY_SIGNAL, (*verdict.reasons, follows), None)


def _link(fit: Fit) -> Verdict:
    """How far up the ladder the tests carry a fit that nothing else stops."""
    early = fit.tier is Tier.PRIMARY and fit.sequential_p <= EARLY_SIGNAL_P
    if not (early or fit.tier_passed):
        return Verdict(Grade.NOT_ENOUGH, (Reason.INTERVAL_WIDE,), more_days(fit))
    reasons = [Reason.SEQUENTIAL_P] if early else []
    if fit.tier_passed:
        reasons.append(Reason.TIER_TEST_PASSED)
    if _more_is_worse(fit):
        return Verdict(Grade.EARLY_SIGNAL, (*reasons, Reason.MORE_IS_WORSE), None)
    sign = 1 if fit.effect > 0 else -1
    halves_agree = -sign not in fit.half_signs
    reasons.append(Reason.HALVES_AGREE if halves_agree else Reason.HALVES_DISAGREE)
    if not (fit.tier_passed and halves_agree):
        # An exploratory pair whose halves disagree has no early signal to fall back on.
        lower = Grade.EARLY_SIGNAL if early else Grade.NOT_ENOUGH
        return Verdict(lower, tuple(reasons), more_days(fit))
    if fit.sequential_p > STRONG_P:
        return Verdict(Grade.MODERATE, tuple(reasons), None)
    reasons.append(Reason.VERY_SMALL_P)
    # Its p is the smallest of all looks: what the first days showed the later ones may not.
    spans_0 = fit.low <= 0 <= fit.high
    if fit.n < STRONG_PAIRS or spans_0:
        reasons.append(Reason.INTERVAL_WIDE if spans_0 else Reason.SHORT)
        return Verdict(Grade.MODERATE, tuple(reasons), None)
    return Verdict(Grade.STRONG, tuple(reasons), None)


def more_days(fit: Fit) -> MoreDays | None:
    """Days until the interval reaches the minimal important difference to either side.

    n* = N (c x se / target)² pairs, c the t quantile of a look's interval and the target the
    minimal difference, times 0.54 to 2.06; up to the milestones that hold so many, as nothing moves
    between; in days by the pairs so far. Before the first fit, the days to the first milestone.
    """
    following = next_milestone(fit.pairs_now)
    if following is None or fit.pairs_now <= 0 or fit.days <= 0:
        return None
    if fit.n < MILESTONES[0] or math.isnan(fit.se):
        return _days_to(following, following, fit)
    if not fit.minimal_difference > 0:
        return None
    c = float(stdtrit(fit.df, 1 - LOOK_ALPHA / 2))
    times_too_wide = c * fit.se / fit.minimal_difference
    fewest, most = (
        _milestone_of(max(times * fit.n * times_too_wide * times_too_wide, following))
        for times in NEEDED_RANGE
    )
    return _days_to(fewest, most, fit)


def _days_to(fewest: float, most: float, fit: Fit) -> MoreDays | None:
    """Until the fit has so many pairs, which come one a day at most."""
    days_a_pair = max(fit.days / fit.pairs_now, 1.0)
    wanting = fewest - fit.pairs_now
    low = max(PACE_RANGE[0] * wanting * days_a_pair, wanting)
    high = PACE_RANGE[1] * (most - fit.pairs_now) * days_a_pair
    if low > FARTHEST_DAYS:
        return None
    return MoreDays(math.ceil(low), math.ceil(min(high, FARTHEST_DAYS)))


def _milestone_of(pairs: float) -> float:
    """The first milestone that holds so many pairs; beyond the last, so many."""
    return min((float(look) for look in MILESTONES if look >= pairs), default=pairs)


def _more_is_worse(fit: Fit) -> bool:
    return fit.effect > 0 if fit.direction is Direction.LOWER_IS_BETTER else fit.effect < 0
