"""Where a side effect tends, and how far a symptom has come, as the API shows it."""

from typing import Any

from cymba.insights import sentences
from cymba.insights.pictures import picture_of_response, picture_of_side_effect
from cymba.insights.responses import Comparison
from cymba.insights.side_effects import SideEffect
from cymba.insights.statistics import Course, Interval, ResponseGrade, Threshold
from cymba.voice import Voice
from service.http import out
from service.http.examples import example_of
from service.http.fields import Schema
from service.http.writing import writer


class SideEffectSchema(Schema):
    item = out.text("tingling", source="outcome.name")
    title = out.text("Tingling", source=out.GIVEN)
    course = out.text("fading", one_of=Course, source="trend.course")
    sentence = out.text(
        "Tingling was noted less often with each session. It went from 81 % of early sessions to "
        "6 % of recent ones, over 56 answers.",
        source=out.GIVEN,
    )
    slope = out.number(
        -0.74,
        "Change of the log odds with each doubling of the sessions",
        null=True,
        source="trend.slope",
    )
    low = out.number(
        -1.2,
        "Of the slope's interval over all looks, which leaves 0 out exactly where the course is "
        "`fading` or `growing`; null too where nothing bounds it",
        null=True,
        source="trend.low",
    )
    high = out.number(-0.28, null=True, source="trend.high")
    interval = out.text(
        "bounded",
        "`no_lower_bound`: every yes came before every no; `no_upper_bound`: the other way round; "
        "`not_converged`: it could not be computed",
        one_of=Interval,
        source="trend.interval",
    )
    p = out.number(
        0.0021,
        "Over all looks: at most 0.02 where the course is `fading`, at most 0.08 where it is "
        "`growing`",
        null=True,
    )
    milestone = out.whole(
        56, "Answers that the course rests on; 0 before the first look", source="trend.n"
    )
    answers = out.whole(69)
    yes = out.whole(14)
    sessions = out.whole(114, source="present.size")
    alt = out.text("Tingling was noted less often with each session.", source=out.GIVEN)
    input_hash = out.text("1b0c9a4c1c1a5a9b0a5f0f1f7a8f1b6f3f0a7c6f9be2a4f0a1b2c3d4e5f60718")


class ComparedPeriodSchema(Schema):
    first_day = out.day("2026-01-05")
    last_day = out.day("2026-02-01")
    mean = out.number(6.1, null=True, source=out.GIVEN)
    rated_days = out.whole(24, source=out.GIVEN)


class ThenAndNowSchema(Schema):
    """Then and now; that it came from stimulation is not said, as nothing else was compared."""

    outcome = out.text("pain_now", source="outcome.name")
    title = out.text("Pain now", source=out.GIVEN)
    grade = out.text("likely", one_of=ResponseGrade, source="response.grade")
    threshold = out.text(
        "moderate",
        "That `confirmed` and `likely` refer to: 30 % or 50 % lower",
        null=True,
        one_of=Threshold,
        source="response.threshold",
    )
    sentence = out.text(
        "In the four weeks up to June 3, 2026, pain now looks about 34 % lower than in your first "
        "weeks (12 % to 52 %). This is less certain. This does not show that stimulation caused "
        "it.",
        source=out.GIVEN,
    )
    change_ratio = out.number(-0.34, null=True, source="response.change_ratio")
    low = out.number(-0.52, null=True, source="response.low")
    high = out.number(-0.12, null=True, source="response.high")
    change_points = out.number(-2.1, null=True, source="response.change_points")
    points_low = out.number(
        None,
        "Of the change in points, which is shown where higher is better; its ratios are null then",
        null=True,
        source="response.points_low",
    )
    points_high = out.number(None, null=True, source="response.points_high")
    two_points = out.flag(True, "Lower by at least 2 points", source="response.two_points")
    baseline_kind = out.text(
        "before_first_session", one_of=["before_first_session", "first_weeks"], source="kind"
    )
    baseline = out.nested(ComparedPeriodSchema, source=out.GIVEN)
    current = out.nested(
        ComparedPeriodSchema,
        source=out.GIVEN,
        example=example_of(
            ComparedPeriodSchema, first_day="2026-05-07", last_day="2026-06-03", mean=4.0
        ),
    )
    alt = out.text("The mean was 6.1 at first and 4.0 in the last 28 days.", source=out.GIVEN)
    input_hash = out.text("2c0c9a4c1c1a5a9b0a5f0f1f7a8f1b6f3f0a7c6f9be2a4f0a1b2c3d4e5f60718")


_side_effect_shown = writer(SideEffectSchema)
_period_shown = writer(ComparedPeriodSchema)
_comparison_shown = writer(ThenAndNowSchema)


def side_effect_shown(found: SideEffect, voice: Voice) -> dict[str, Any]:
    return _side_effect_shown(
        found,
        title=voice.translate(found.outcome.title),
        sentence=sentences.of_side_effect(voice, found.outcome, found.trend, found.answers),
        alt=picture_of_side_effect(found, voice).alt,
    )


def comparison_shown(compared: Comparison, voice: Voice) -> dict[str, Any]:
    found, then, now = compared.response, compared.baseline, compared.current
    return _comparison_shown(
        compared,
        title=voice.translate(compared.outcome.title),
        sentence=sentences.of_response(voice, compared.outcome, found, until=now.last_day),
        baseline=_period_shown(then, mean=found.baseline_mean, rated_days=found.baseline_n),
        current=_period_shown(now, mean=found.current_mean, rated_days=found.current_n),
        alt=picture_of_response(compared, voice).alt,
    )
