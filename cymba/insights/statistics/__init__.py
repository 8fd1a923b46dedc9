"""What a diary can and cannot say of stimulation: pure functions over arrays, no database."""

from cymba.insights.statistics.associate import Associations, Refusal, associate
from cymba.insights.statistics.cohort import CohortMean, cohort_mean
from cymba.insights.statistics.cycle import cycle_terms
from cymba.insights.statistics.grades import (
    Direction,
    Fit,
    Grade,
    MoreDays,
    Reason,
    Tier,
    Verdict,
    any_follows,
    grade,
    more_days,
    use_follows,
)
from cymba.insights.statistics.multiplicity import (
    EXPLORATORY_LEVEL,
    PRIMARY_LEVEL,
    adjust_bh,
    exploratory_discoveries,
    simes,
)
from cymba.insights.statistics.pair import PairInFull, complete_pairs, pair_in_full
from cymba.insights.statistics.pooled import pooled_ratings
from cymba.insights.statistics.repeated_measures import (
    RepeatedMeasures,
    repeated_measures_correlation,
)
from cymba.insights.statistics.response import (
    Response,
    ResponseGrade,
    Threshold,
    response,
    response_in_points,
)
from cymba.insights.statistics.sequential import (
    MILESTONES,
    Look,
    latest_look,
    look_level,
    looks,
    milestone,
    next_milestone,
    sequential_p,
)
from cymba.insights.statistics.side_effects import (
    SIDE_EFFECT_MILESTONES,
    Course,
    Interval,
    Trend,
    latest_trend,
    side_effect_trend,
    trend_band,
)
from cymba.insights.statistics.trial import Trial, TrialPower, randomization_test, trial_power

__all__ = [
    "EXPLORATORY_LEVEL",
    "MILESTONES",
    "PRIMARY_LEVEL",
    "SIDE_EFFECT_MILESTONES",
    "Associations",
    "CohortMean",
    "Course",
    "Direction",
    "Fit",
    "Grade",
    "Interval",
    "Look",
    "MoreDays",
    "PairInFull",
    "Reason",
    "Refusal",
    "RepeatedMeasures",
    "Response",
    "ResponseGrade",
    "Threshold",
    "Tier",
    "Trend",
    "Trial",
    "TrialPower",
    "Verdict",
    "adjust_bh",
    "any_follows",
    "associate",
    "cohort_mean",
    "complete_pairs",
    "cycle_terms",
    "exploratory_discoveries",
    "grade",
    "latest_look",
    "latest_trend",
    "look_level",
    "looks",
    "milestone",
    "more_days",
    "next_milestone",
    "pair_in_full",
    "pooled_ratings",
    "randomization_test",
    "repeated_measures_correlation",
    "response",
    "response_in_points",
    "sequential_p",
    "side_effect_trend",
    "simes",
    "trend_band",
    "trial_power",
    "use_follows",
]
