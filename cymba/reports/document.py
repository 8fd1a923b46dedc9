"""The printed report: what the API shows of it, put into blocks for the template.

Its numbers are those of the answer, rounded already, so that both say the same.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from cymba.insights.outcomes import OUTCOMES
from cymba.insights.pictures import Picture
from cymba.insights.pictures.ratings import Rated, picture_of_ratings
from cymba.insights.words import DISCLAIMER
from cymba.reports import words
from cymba.reports.blocks import (
    Block,
    Shown,
    Teller,
    heading,
    items,
    of_person,
    table,
    text,
    without_nan,
)
from cymba.reports.findings_told import findings_told
from cymba.reports.programmes_told import made_told, name_of, programme_line, programmes_told
from cymba.voice import Voice

RATINGS_PICTURE = "ratings.svg"
KINDS = (("pain_now", "pain_average", "pain_worst"), ("mood",), ("sleep_quality", "sleep_hours"))
_PERIODS = {"day": words.DAY_FROM, "week": words.WEEK_FROM, "month": words.MONTH_FROM}


@dataclass(frozen=True, slots=True)
class PrintedReport:
    """`data`: for the template. `pictures`: by the name that it knows them by."""

    data: dict[str, Any]
    pictures: dict[str, Picture]


def document_of(report: Shown, days: Sequence[Shown], voice: Voice) -> PrintedReport:
    """`report` and `days` as the API shows them (`/v1/report`, and `/v1/history` by day)."""
    report, days = without_nan(report), without_nan(days)
    teller = Teller(voice, ZoneInfo(report["time_zone"]))
    over_time = _over_time(report)
    picture = _picture(report, days, over_time, voice)
    asked = {
        "first_day": teller.day(report["first_day"]),
        "last_day": teller.day(report["last_day"]),
    }
    blocks = [
        *_use(report, teller),
        heading(teller.say(words.RATINGS)),
        *_ratings(report, teller),
        *([{"kind": "picture", "file": RATINGS_PICTURE, "alt": picture.alt}] if picture else []),
        *_by_period(report, over_time, teller),
        *_side_effects(report, teller),
        *_conditions(report, teller),
        *_takings(report, "medication", words.MEDICATION, teller),
        *_takings(report, "other_treatment", words.OTHER_TREATMENT, teller),
        *findings_told(report, teller),
        *programmes_told(report, teller),
        *made_told(report, len(days), teller),
    ]
    data = {
        "language": voice.language,
        "title": voice.translate(words.TITLE),
        "name": of_person(report["name"]),
        "days": teller.say(words.DAYS_OF, **asked, days=teller.number(len(days))),
        "made": teller.say(words.MADE, day=teller.day(report["made_on"]), zone=report["time_zone"]),
        "notice": voice.translate(words.NOTICE),
        "page": voice.translate(words.PAGE),
        "blocks": blocks,
    }
    return PrintedReport(data, {RATINGS_PICTURE: picture} if picture else {})


def _use(report: Shown, teller: Teller) -> Iterator[Block]:
    use, say = report["use"], teller.say
    whole = use["whole"]
    yield heading(say(words.USE))
    days = (whole["last_day"] - whole["first_day"]).days + 1
    written = whole["sessions_written"]
    unknown = report["gaps"]["use"]["days"]
    known = teller.number(whole["days_known"])
    yield {"kind": "figures", "figures": [
        _figure(teller, words.SESSIONS, whole["sessions"],
                say(words.BY_HAND, n=teller.number(written)) if written else ""),
        _figure(teller, words.MINUTES, whole["stimulating_min"], ""),
        {"title": say(words.DAYS_USED), "value": teller.number(whole["days_with_session"]),
         "note": say(words.OF_KNOWN, known=known, days=teller.number(days))},
        {"title": say(words.NOT_UPLOADED), "value": teller.number(unknown),
         "note": say(words.NOT_UPLOADED_NOTE)},
    ]}  # fmt: skip
    if use["devices"]:
        head = (words.DEVICE, words.SESSIONS, words.MINUTES, words.CURRENT_MA, words.LEVEL,
                words.CHARGE_MC, words.AS_PLANNED, words.OTHERWISE)  # fmt: skip
        yield table(
            [say(one) for one in head],
            [_used(one, report, teller) for one in use["devices"]],
            wide=(4, 2, 2, 4, 3, 2, 2, 2),
        )
        yield from teller.more(use["more_devices"])
        if len(use["devices"]) > 1:
            yield text(say(words.BY_MODEL), look="quiet")
    for device in report["devices"]:
        yield text(f"{say(words.PROGRAMME_NOW)}, {name_of(device)}: "
                   f"{programme_line(device, teller)}")  # fmt: skip


def _figure(teller: Teller, title: str, value: float | None, note: str) -> dict[str, str]:
    shown = teller.say(words.NOT_KNOWN_CELL) if value is None else teller.number(value)
    return {"title": teller.say(title), "value": shown, "note": note}


def _used(use: Shown, report: Shown, teller: Teller) -> list[str]:
    ended = use["end_reasons"]
    completed = ended.get("completed", 0)
    named = {one["id"]: one for one in report["devices"]}.get(use["device_id"])
    title = use["model_title"] or use["device_id"] or "–"
    ends = ("mean", "least", "most")
    ua = [use[f"{which}_amplitude_ua"] for which in ends]
    current = [None if one is None else one / 1000 for one in ua]
    return [
        name_of(named) if named else title,
        teller.number(use["sessions"]),
        teller.number(use["stimulating_min"]),
        teller.spread(current, 2),
        teller.spread([use[f"{which}_native_level"] for which in ends], 1),
        teller.number(use["delivered_charge_mc"], 1),
        teller.number(completed) if ended else "–",
        teller.number(sum(ended.values()) - completed) if ended else "–",
    ]


def _over_time(report: Shown) -> list[str]:
    """The symptoms that are shown over time: one of each kind, that which was rated most."""
    rated = {one["item"]: one["ratings"] for one in report["use"]["whole"]["symptoms"]}
    return [max(kind, key=lambda name: (rated.get(name, 0), -kind.index(name))) for kind in KINDS]


def _ratings(report: Shown, teller: Teller) -> Iterator[Block]:
    say = teller.say
    compared = {one["outcome"]: one for one in report["then_and_now"] or ()}
    symptoms = report["use"]["whole"]["symptoms"]
    if not symptoms:
        yield text(say(words.NOTHING_NOTED))
        return
    head = (words.SYMPTOM, words.MEAN, words.RATED, words.AT_FIRST_COLUMN, words.FOUR_WEEKS,
            words.CHANGE, words.HOW_SURE)  # fmt: skip
    yield table(
        [say(one) for one in head],
        [_rated(one, compared.get(one["item"]), teller) for one in symptoms],
        wide=(4, 1, 2, 3, 3, 4, 4),
    )
    if compared:
        quoted = {"at_first": say(words.AT_FIRST_COLUMN), "last_look": say(words.FOUR_WEEKS)}
        yield text(say(words.THEN_AND_NOW_NOTE, **quoted), look="quiet")
        yield text(teller.voice.translate(DISCLAIMER), look="quiet")


def _rated(rated: Shown, compared: Shown | None, teller: Teller) -> list[str]:
    title = teller.voice.translate(OUTCOMES[rated["item"]].title)
    row = [title, teller.number(rated["mean"], 1), teller.number(rated["ratings"])]
    if compared is None:
        return [*row, "–", "–", "–", "–"]
    for part in ("baseline", "current"):
        of_part = compared[part]
        mean, n = teller.number(of_part["mean"], 1), teller.number(of_part["rated_days"])
        row.append("–" if of_part["mean"] is None else teller.say(words.OVER_DAYS, mean=mean, n=n))
    return [*row, _change(compared, teller), teller.say(words.RESPONSE_GRADES[compared["grade"]])]


def _change(compared: Shown, teller: Teller) -> str:
    if compared["grade"] == "not_enough":
        return "–"
    if compared["change_ratio"] is None:
        points = ("change_points", "points_low", "points_high")
        change, low, high = (teller.number(compared[name], 1) for name in points)
        return teller.say(words.POINTS_RANGE, mean=change, low=low, high=high)
    shares = (compared[name] for name in ("change_ratio", "low", "high"))
    mean, low, high = ("–" if one is None else teller.voice.percent(one) for one in shares)
    return teller.say(words.RANGE, mean=mean, low=low, high=high)


def _by_period(report: Shown, over_time: Sequence[str], teller: Teller) -> Iterator[Block]:
    use, say = report["use"], teller.say
    titles = [teller.voice.translate(OUTCOMES[name].title) for name in over_time]
    head = [say(one) for one in (_PERIODS[use["period"]], words.SESSIONS, words.MINUTES,
                                 words.DAYS_USED, words.NOT_UPLOADED)]  # fmt: skip
    yield table(
        [*head, *titles],
        [_of_period(one, over_time, teller) for one in use["periods"]],
        wide=(3, 2, 2, 2, 2, 2, 2, 2),
    )
    marks = {"none": say(words.NO_SESSION), "not_known": say(words.NOT_KNOWN_CELL)}
    yield text(say(words.NO_SESSION_MARKS, **marks), look="quiet")


def _of_period(period: Shown, over_time: Sequence[str], teller: Teller) -> list[str]:
    means = {one["item"]: one["mean"] for one in period["symptoms"]}
    days = (period["last_day"] - period["first_day"]).days + 1
    sessions = teller.number(period["sessions"])
    if period["sessions"] is None:
        sessions = teller.say(words.NOT_KNOWN_CELL)
    elif not period["sessions"]:
        sessions = teller.say(words.NO_SESSION)
    return [
        teller.day(period["first_day"]),
        sessions,
        teller.number(period["stimulating_min"]),
        teller.number(period["days_with_session"]),
        teller.number(days - period["days_known"]),
        *(teller.number(means.get(name), 1) for name in over_time),
    ]


def _picture(
    report: Shown, days: Sequence[Shown], over_time: Sequence[str], voice: Voice
) -> Picture | None:
    """None: nothing was rated, and no session is known of."""
    whole = report["use"]["whole"]
    if not whole["symptoms"] and not whole["sessions"]:
        return None
    compared = {one["outcome"]: one for one in report["then_and_now"] or ()}
    means = [{one["item"]: one["mean"] for one in day["symptoms"]} for day in days]

    def rated(name: str) -> Rated:
        felt = np.array([of_day.get(name, np.nan) for of_day in means], dtype=np.float64)
        at_first = compared[name]["baseline"]["mean"] if name in compared else None
        return Rated(OUTCOMES[name], felt, math.nan if at_first is None else at_first)

    sessions = [math.nan if day["sessions"] is None else day["sessions"] for day in days]
    return picture_of_ratings(
        report["first_day"], [rated(name) for name in over_time], np.array(sessions, float), voice
    )


def _side_effects(report: Shown, teller: Teller) -> Iterator[Block]:
    say, translate = teller.say, teller.voice.translate
    yield heading(say(words.SIDE_EFFECTS))
    if report["side_effects"]:
        head = (words.SIDE_EFFECT, words.ANSWERS, *words.SEVERITIES, words.BOTHERSOME,
                words.LAST_ON)  # fmt: skip
        yield table(
            [translate(one) for one in head],
            [_effect(one, teller) for one in report["side_effects"]],
            wide=(5, 2, 2, 2, 2, 2, 3),
        )
        yield text(say(words.STRENGTH_NOTE), look="quiet")
    else:
        yield text(say(words.NOTHING_NOTED))
    if report["side_effect_courses"]:
        yield items([one["sentence"] for one in report["side_effect_courses"]])
    yield heading(say(words.RED_FLAGS), level=2)
    if not report["red_flags"]:
        yield text(say(words.NO_RED_FLAG))
    else:
        yield items([_red_flag(one, teller) for one in report["red_flags"]])


def _effect(noted: Shown, teller: Teller) -> list[str]:
    counts = (noted[name] for name in ("answers", "mild", "moderate", "severe", "bothersome"))
    last = noted["last_day"]
    return [
        noted["title"],
        *map(teller.number, counts),
        teller.say(words.NEVER) if last is None else teller.day(last),
    ]


def _red_flag(flag: Shown, teller: Teller) -> str:
    values = {"symptom": flag["title"], "day": teller.day(flag["felt_at"])}
    if flag["lifted_at"] is None:
        return teller.say(words.RED_FLAG_STANDS, **values)
    return teller.say(words.RED_FLAG_LIFTED, **values, note=of_person(flag["lifted_note"] or "–"))


def _conditions(report: Shown, teller: Teller) -> Iterator[Block]:
    yield heading(teller.say(words.CONDITIONS_TITLE))
    if not report["conditions"]:
        yield text(teller.say(words.NOTHING_NOTED))
        return
    told = []
    for one in report["conditions"]:
        title = one["title"]
        if not one["stands"]:
            title = teller.say(words.CONDITION_GONE, condition=title)
        elif one["first_day"] is not None:
            day = teller.day(one["first_day"])
            title = teller.say(words.CONDITION_SINCE, condition=title, day=day)
        told.append(title)
    yield text("; ".join(told))


def _takings(report: Shown, name: str, title: str, teller: Teller) -> Iterator[Block]:
    say, takings = teller.say, report[name]
    yield heading(say(title))
    if not takings["items"]:
        yield text(say(words.NOTHING_NOTED))
        return
    head = (words.NAME, words.DOSE, words.DAYS_NOTED, words.FIRST_ON, words.LAST_ON, words.CHANGES)
    known = [one["name"].lower() for one in takings["items"]]
    yield table(
        [say(one) for one in head],
        [_taking(one, known.count(one["name"].lower()) > 1, teller) for one in takings["items"]],
        wide=(5, 4, 2, 3, 3, 3),
    )
    yield from teller.more(takings["more"])


def _taking(one: Shown, has_doses: bool, teller: Teller) -> list[str]:
    change = ""
    if not one["noted_before"]:
        change = teller.say(words.NEW_DOSE if has_doses else words.NEW_HERE)
    return [
        of_person(one["name"]),
        "–" if one["dose"] is None else of_person(one["dose"]),
        teller.number(one["days"]),
        teller.day(one["first_day"]),
        teller.day(one["last_day"]),
        change,
    ]
