"""What the printed report says of links, and of trials: with the grade, the interval, and what it
does not show."""

from collections.abc import Iterator

from cymba.reports import words
from cymba.reports.blocks import Block, Shown, Teller, heading, text


def findings_told(report: Shown, teller: Teller) -> Iterator[Block]:
    say, found = teller.say, report["findings"]
    yield heading(say(words.FINDINGS))
    if found is None:
        yield text(say(words.NO_CONSENT))
    else:
        yield text(found["disclaimer"], look="strong")
        yield text(say(words.FINDINGS_OVER), look="quiet")
        if not found["primary"]:
            yield text(say(words.NO_FINDINGS))
        for title, of_tier in (
            (words.ASKED_FIRST, found["primary"]),
            (words.ASKED_OF_ALL, found["exploratory"]),
        ):
            if of_tier:
                yield heading(say(title), level=2)
            for one in of_tier:
                yield _finding(one, teller)
    yield heading(say(words.TRIALS))
    if not report["trials"]:
        yield text(say(words.NO_TRIAL))
    for one in report["trials"]:
        yield _trial(one, teller)


def _finding(one: Shown, teller: Teller) -> Block:
    say = teller.say
    pair = {"exposure": one["exposure_title"], "outcome": one["outcome_title"]}
    figures = say(words.NO_FIGURES, n=teller.number(one["pairs_now"]))
    if one["effect"] is not None:
        figures = say(words.FIGURES, **_ends(one, teller), n=teller.number(one["n"]))
    lag = say(words.LAGS[min(one["lag"], len(words.LAGS) - 1)])
    return {
        "kind": "told",
        "title": f"{say(words.PAIR_OF, **pair)}, {lag}",
        "mark": say(words.GRADES[one["grade"]]),
        "figures": figures,
        "text": one["sentence"],
    }


def _trial(one: Shown, teller: Teller) -> Block:
    say, result = teller.say, one["result"]
    plan = say(
        words.TRIAL_PLAN,
        pairs=teller.number(one["pairs"]),
        days=teller.number(one["block_days"]),
        day=teller.day(one["first_day"]),
    )
    figures = f"{plan} {say(words.TRIAL_STATES[one['status']])}"
    if result is not None and result["effect"] is not None and result["p"] is not None:
        p, n = teller.number(result["p"], 3), teller.number(result["pairs"])
        figures = f"{figures} {say(words.TRIAL_FIGURES, **_ends(result, teller), p=p, n=n)}"
    return {
        "kind": "told",
        "title": one["outcome_title"],
        "mark": "",
        "figures": figures,
        "text": one["sentence"] or "",
    }


def _ends(one: Shown, teller: Teller) -> dict[str, str]:
    return {name: teller.number(one[name], 2) for name in ("effect", "low", "high")}
