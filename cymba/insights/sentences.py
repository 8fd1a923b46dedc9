"""From numbers to the sentences of `words`, for one finding, side effect or response."""

import math
from collections.abc import Iterator
from datetime import date
from typing import Any

from cymba.devices.models import MODELS
from cymba.insights import words
from cymba.insights.experiments.before import BeforeTrial
from cymba.insights.experiments.results import LEAST_ADHERENCE
from cymba.insights.exposures import EXPOSURES, LEVEL, PROGRAMME, programme_parts
from cymba.insights.outcomes import OUTCOMES, Outcome
from cymba.insights.statistics import (
    MILESTONES,
    SIDE_EFFECT_MILESTONES,
    Course,
    Grade,
    Interval,
    Reason,
    Response,
    ResponseGrade,
    Trend,
)
from cymba.insights.statistics.grades import EARLY_SIGNAL_P
from cymba.insights.tables import Finding
from cymba.insights.told import Told
from cymba.voice import Voice

SMALLEST_OF_THREE_DIGITS = 0.001
CLEAR_P = 0.05  # over all looks: above it a primary question's early signal may well be chance
POINTS_IN_TENTHS = 0.5  # an outcome whose smallest difference that matters is this or more
_EXPOSURES = {exposure.name: exposure for exposure in EXPOSURES}


def exposure_title(voice: Voice, name: str) -> str:
    """An exposure's title; a programme's share is named by the programme itself, and a level by its
    model, as it means nothing on another."""
    if name in _EXPOSURES:
        return voice.translate(_EXPOSURES[name].title)
    if name.startswith(LEVEL):
        model = name.removeprefix(LEVEL)
        titles = MODELS[model].titles if model in MODELS else {"en": model}
        return voice.say(words.LEVEL_USE, model=voice.title(titles))
    parts = programme_parts(name.removeprefix(PROGRAMME))
    if parts is None:
        return name
    written = {
        part: voice.number(float(value), len(value.partition(".")[2]))
        for part, value in parts.items()
    }
    return voice.say(words.PROGRAMME_USE, **written)


def outcome_title(voice: Voice, name: str) -> str:
    return voice.translate(OUTCOMES[name].title)


def of_finding(voice: Voice, finding: Finding | Told) -> str:
    """What the finding says to its person, ending with what it does not show."""
    names = {
        "exposure": inside(voice, exposure_title(voice, finding.exposure)),
        "outcome": inside(voice, outcome_title(voice, finding.outcome)),
    }
    n = voice.number(finding.milestone, 0)
    more = _more_days(voice, finding)
    match finding.grade:
        case "collecting":
            first = voice.number(MILESTONES[0], 0)
            pairs = voice.number(finding.pairs_now, 0)
            return _join(voice.say(words.COLLECTING, n=pairs, first=first), more)
        case "tested" if finding.trial is not None:
            planned = finding.trial["completed_pairs"]
            return of_trial(
                voice, finding.outcome, finding.trial, planned_pairs=planned, stopped=False
            )
        case "no_clear_link":
            return _small(voice, finding, n=n, **names)
        case "not_enough" if finding.effect is None:
            title = exposure_title(voice, finding.exposure)
            return voice.say(
                words.NOT_ENOUGH_REFUSED, exposure_title=title, outcome=names["outcome"]
            )
        case "not_enough":
            return _join(voice.say(words.NOT_ENOUGH, n=n, **names), *_why(voice, finding), more)
    observed = voice.say(
        _observed(finding),
        **names,
        **difference(voice, finding.outcome, finding.effect, finding.low, finding.high),
    )
    over = voice.say(words.SEEN_OVER, n=n)
    return _join(observed, over, *_why(voice, finding), voice.translate(words.DISCLAIMER))


def _small(voice: Voice, finding: Finding | Told, **values: str) -> str:
    """A difference, if there is one, that is smaller than what matters."""
    outcome = OUTCOMES[finding.outcome]
    in_days, mid = outcome.is_side_effect, outcome.minimal_difference
    values["mid"] = voice.number(100 * mid, 0) if in_days else voice.number(mid)
    if (finding.low or 0) <= 0 <= (finding.high or 0):
        nothing = words.NO_CLEAR_LINK_DAYS if in_days else words.NO_CLEAR_LINK
        return voice.say(nothing, **values)
    values["exposure_title"] = exposure_title(voice, finding.exposure)
    little = words.SMALL_LINK_DAYS if in_days else words.SMALL_LINK
    return _join(voice.say(little, **values), voice.translate(words.DISCLAIMER))


def _observed(finding: Finding | Told) -> str:
    if OUTCOMES[finding.outcome].is_side_effect:
        return words.OBSERVED_DAYS[finding.lag]
    if Reason.EVENING_AND_MORNING in finding.reasons:
        return words.BOTH_TIMES
    return words.OBSERVED[finding.lag]


def _why(voice: Voice, finding: Finding | Told) -> Iterator[str]:
    """Why the finding is no more than it is, by its reasons."""
    reasons, p = finding.reasons, finding.sequential_p
    if Reason.USE_FOLLOWS_PAIN in reasons:
        yield voice.translate(words.FOLLOWS_PAIN)
    elif Reason.USE_FOLLOWS_RATING in reasons:
        yield voice.translate(words.FOLLOWS_RATING)
    elif Reason.MORE_IS_WORSE in reasons and not OUTCOMES[finding.outcome].is_side_effect:
        yield voice.translate(words.MORE_IS_WORSE)
    if finding.grade == Grade.EARLY_SIGNAL:
        # Where the numbers are clear, that it may be chance would be the wrong reason.
        if p is not None and CLEAR_P < p <= EARLY_SIGNAL_P:
            yield voice.translate(words.EARLY)
        elif Reason.HALVES_DISAGREE in reasons:
            yield voice.translate(words.HALVES)
        elif p is not None and p <= CLEAR_P and Reason.TIER_TEST_PASSED not in reasons:
            yield voice.translate(words.ONE_OF_MANY)
    # Of a side effect "people stimulate more when they feel worse" would explain a harm away.
    if _is_harm(finding):
        yield voice.translate(words.MORE_SIDE_EFFECT)


def _is_harm(finding: Finding | Told) -> bool:
    more = finding.effect is not None and finding.effect > 0
    shown = finding.grade == Grade.EARLY_SIGNAL
    return shown and more and OUTCOMES[finding.outcome].is_side_effect


def of_side_effect(voice: Voice, outcome: Outcome, trend: Trend, answers: int) -> str:
    """What the last milestone said; answers: all so far."""
    title = voice.translate(outcome.title)
    n = voice.number(trend.n, 0)
    match trend.course:
        case Course.FADING:
            shares = trend.probability([1.0, float(trend.sessions)])
            first, last = (voice.percent(float(share)) for share in shares)
            return voice.say(
                words.FADING, effect_title=title, first_share=first, last_share=last, n=n
            )
        case Course.STEADY:
            return voice.say(words.STEADY, effect_title=title, n=n)
        case Course.GROWING:
            return voice.say(words.GROWING, effect_title=title, n=n)
        case Course.NOT_ENOUGH if trend.interval is Interval.NOT_ENOUGH:
            return voice.say(
                words.SIDE_EFFECT_NOT_ENOUGH,
                effect=inside(voice, title),
                n=voice.number(answers, 0),
                first=voice.number(SIDE_EFFECT_MILESTONES[0], 0),
            )
        case Course.NOT_ENOUGH:
            return voice.say(words.SIDE_EFFECT_UNCLEAR, effect=inside(voice, title), n=n)


def of_response(voice: Voice, outcome: Outcome, found: Response, *, until: date) -> str:
    """How the 28 days `until` compare with the baseline: as a share of it, or in points where
    higher is better. It ends with what a change does not show."""
    if found.grade is ResponseGrade.NOT_ENOUGH:
        return voice.translate(words.RESPONSE_NOT_ENOUGH)
    if outcome.worse == "lower":
        return _of_response_in_points(voice, outcome, found, until)
    # A fall is shown as "lower by": its ends change places.
    low, high = sorted((-found.high, -found.low))
    values = {
        "outcome": inside(voice, voice.translate(outcome.title)),
        "low": voice.percent(low),
        "high": voice.percent(high),
        "share": voice.percent(-found.change_ratio),
        "until": voice.day(until),
    }
    as_it_is = {
        "low": voice.percent(found.low),
        "high": voice.percent(found.high),
        "share": voice.percent(found.change_ratio),
    }
    match found.grade:
        case ResponseGrade.CONFIRMED:
            said = voice.say(words.RESPONSE_CONFIRMED, **values)
        case ResponseGrade.LIKELY | ResponseGrade.SMALL:
            said = voice.say(words.RESPONSE_LIKELY, **values)
        case ResponseGrade.WORSE:
            said = voice.say(words.RESPONSE_HIGHER, **values | as_it_is)
        case _:
            return voice.say(words.RESPONSE_NONE, **values | as_it_is)
    return _join(said, voice.translate(words.DISCLAIMER))


def _of_response_in_points(voice: Voice, outcome: Outcome, found: Response, until: date) -> str:
    names = {
        "outcome": inside(voice, voice.translate(outcome.title)),
        "until": voice.day(until),
    }
    low, high = found.points_low, found.points_high
    if found.grade is ResponseGrade.NO_CLEAR_CHANGE:
        ends = {"low": voice.number(low), "high": voice.number(high)}
        return voice.say(words.RESPONSE_POINTS_NONE, **names, **ends)
    said = voice.say(words.RESPONSE_POINTS, **names, **size(voice, found.change_points, low, high))
    return _join(said, voice.translate(words.DISCLAIMER))


def of_trial(
    voice: Voice, outcome: str, result: dict[str, Any], *, planned_pairs: int, stopped: bool
) -> str:
    """The result in words: a tested difference, or why there is none."""
    parts = []
    numbers = result["low"], result["high"], result["p"]
    # A finding of an earlier version carries a result that did not ask whether it was carried out.
    blocks, as_drawn = result.get("blocks", 0), result.get("delivered_blocks", 0)
    if None in numbers:
        parts.append(voice.translate(words.NOT_TESTED))
    elif not result.get("carried_out", True):
        parts.append(
            voice.say(
                words.NOT_CARRIED_OUT,
                delivered=voice.number(as_drawn, 0),
                blocks=voice.number(blocks, 0),
                least=voice.number(math.ceil(LEAST_ADHERENCE * blocks), 0),
            )
        )
    else:
        parts.append(_of_tested(voice, outcome, result))
        if as_drawn < blocks:
            departed = voice.number(blocks - as_drawn, 0)
            parts.append(
                voice.say(words.DEPARTED, departed=departed, blocks=voice.number(blocks, 0))
            )
    if stopped:
        parts.append(
            voice.say(
                words.STOPPED_EARLY,
                pairs=voice.number(result["completed_pairs"], 0),
                planned=voice.number(planned_pairs, 0),
            )
        )
    return " ".join(parts)


def _of_tested(voice: Voice, outcome: str, result: dict[str, Any]) -> str:
    pairs = voice.number(result["pairs"], 0)
    inside_title = inside(voice, outcome_title(voice, outcome))
    few = digits(outcome)
    if result["low"] <= 0 <= result["high"]:
        return voice.say(
            words.NO_DIFFERENCE,
            pairs=pairs,
            outcome=inside_title,
            down=voice.number(-result["low"], few),
            up=voice.number(result["high"], few),
        )
    return voice.say(
        words.TESTED,
        pairs=pairs,
        outcome=inside_title,
        # The smallest there is, one of 4,096 orders, is not 0 to four digits.
        p=voice.number(result["p"], 3 if result["p"] >= SMALLEST_OF_THREE_DIGITS else 4),
        **size(voice, result["effect"], result["low"], result["high"], digits=few),
    )


def of_before_trial(voice: Voice, before: BeforeTrial) -> str:
    """That the device is still as a trial left it, and what the person can do about it."""
    if before.state == "sent":
        return voice.translate(words.SENT_TO_DEVICE)
    held_ua = 0.0 if before.now is None else before.ceiling_ua(before.now)
    return _join(
        voice.say(words.HELD_DOWN, now=_ma(voice, held_ua))
        if held_ua
        else voice.translate(words.HELD_OFF),
        voice.say(words.SET_BACK, before=_ma(voice, before.ceiling_ua(before.wanted))),
    )


def _ma(voice: Voice, current_ua: float) -> str:
    return voice.number(current_ua / 1000)


def difference(
    voice: Voice, outcome: str, effect: float | None, low: float | None, high: float | None
) -> dict[str, str]:
    """A difference as `size`: in points, or of what was there or not in days of a hundred."""
    if not OUTCOMES[outcome].is_side_effect:
        return size(voice, effect, low, high, digits=digits(outcome))
    times_100 = [None if value is None else 100 * value for value in (effect, low, high)]
    in_days = size(voice, *times_100, digits=0)
    in_days["direction"] = voice.translate(words.FEWER if (effect or 0) < 0 else words.MORE)
    return in_days


def digits(outcome: str) -> int:
    """Decimals of its points: two where a tenth of a point matters, as of a yes or no."""
    return 1 if OUTCOMES[outcome].minimal_difference >= POINTS_IN_TENTHS else 2


def size(
    voice: Voice, effect: float | None, low: float | None, high: float | None, *, digits: int = 1
) -> dict[str, str]:
    """A difference by its size and direction; where the interval spans 0, its ends keep signs."""
    if effect is None or low is None or high is None or math.isnan(effect):
        raise ValueError("a finding of this grade has an effect")
    sign = -1 if effect < 0 else 1
    ends = sorted((sign * low, sign * high))
    return {
        "size": voice.number(abs(effect), digits),
        "direction": voice.translate(words.LOWER if effect < 0 else words.HIGHER),
        "low": voice.number(ends[0], digits),
        "high": voice.number(ends[1], digits),
    }


def _more_days(voice: Voice, finding: Finding | Told) -> str:
    if finding.more_days_low is None or finding.more_days_high is None:
        return ""
    return voice.say(
        words.MORE_DAYS,
        low_days=voice.number(finding.more_days_low, 0),
        high_days=voice.number(finding.more_days_high, 0),
    )


def inside(voice: Voice, title: str) -> str:
    """A title in the middle of a sentence: in English it loses its capital."""
    if voice.language == "en" and not title[:2].isupper():
        return title[:1].lower() + title[1:]
    return title


def _join(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
