"""The rows of the method's promise: which people, which value, which bound."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.measures import (
    Measure,
    a_year_of_a_side_effect,
    a_year_of_looks,
    a_year_of_then_and_now,
    change_from_baseline,
    days_named,
    fading_side_effect,
    fourteen_days,
    one_look,
    own_trial,
    pearson_every_day,
    side_effect,
    sticky_side_effect,
    trial_as_stated,
)
from benchmarks.previews import trial_from_diary
from benchmarks.primaries import four_primaries
from simulator.people import (
    BECAUSE_IT_HURTS,
    CYCLE_IN_ANTIPHASE,
    FLARES,
    FULL,
    HALF_MISSING,
    MORNING_DRIVES_USE,
    NEAR_UNIT_ROOT,
    REGRESSION_TO_THE_MEAN,
    RISES_AFTER_THE_MORNING,
    SKIPPED_ON_BAD_DAYS,
    TOO_ILL,
    YESTERDAY_DRIVES_USE,
    World,
)

ANY = (float("-inf"), float("inf"))
YEAR_OF_ANSWERS = "side-effect trend, a year at milestones: ever told of one that is not there"


@dataclass(frozen=True)
class Check:
    """One cell of one row. Cells of the same `simulation` share its people."""

    row: str
    cell: str
    simulation: str
    measure: Measure
    value: str
    bounds: tuple[float, float] = ANY
    absolute: bool = False

    @property
    def bound(self) -> str:
        low, high = self.bounds
        if low == -float("inf"):
            return f"≤ {high:g}"
        return f"≥ {low:g}" if high == float("inf") else f"{low:g} to {high:g}"


WORLDS = {
    "full world": FULL,
    "φ .8, half missing": HALF_MISSING,
    "yesterday's pain drives use": YESTERDAY_DRIVES_USE,
    "entries skipped on bad days": SKIPPED_ON_BAD_DAYS,
    "regression to the mean": REGRESSION_TO_THE_MEAN,
    "near unit root": NEAR_UNIT_ROOT,
    "this morning's pain drives use": MORNING_DRIVES_USE,
    "flares": FLARES,
}
HARD = tuple(WORLDS)[1:6]
REVERSED = tuple(WORLDS)[6:]


def _look(row: str, name: str, world: World, value: str, bounds: tuple[float, float]) -> Check:
    cell = f"{name}, {world.days} days"
    if world.effect:
        cell += f", {world.effect:g}"
    return Check(
        row, cell, f"one look: {cell}", one_look(world), value, bounds, absolute=value == "bias"
    )


def _at_most(limit: float) -> tuple[float, float]:
    return (ANY[0], limit)


def _at_least(limit: float) -> tuple[float, float]:
    return (limit, ANY[1])


def _no_effect() -> Iterator[Check]:
    row = "type I at .05"
    for phi in (0.3, 0.5, 0.7):
        for days in (60, 120, 180, 365):
            world = replace(FULL, phi=phi, days=days)
            yield _look(row, f"full world, φ {phi:g}", world, "found", _at_most(0.06))
    for name in HARD:
        for days in (60, 180, 365):
            world = replace(WORLDS[name], days=days)
            yield _look(f"{row}, harder worlds", name, world, "found", _at_most(0.07))
    for name in REVERSED:
        for days in (60, 180, 365):
            limit = 0.07 if days <= 180 else 0.085
            world = replace(WORLDS[name], days=days)
            yield _look(f"{row}, reverse causation", name, world, "found", _at_most(limit))


def _with_effect() -> Iterator[Check]:
    worlds = [
        replace(FULL, effect=effect, days=days)
        for effect in (-0.5, -1.0)
        for days in (60, 120, 365)
    ]
    for world in worlds:
        yield _look("coverage of 95 % intervals", "full world", world, "covered", (0.935, 0.98))
    for world in worlds:
        yield _look("bias, points a session", "full world", world, "bias", _at_most(0.06))
    for effect in (-0.5, -1.0):
        for days in (60, 120, 365):
            world = replace(MORNING_DRIVES_USE, effect=effect, days=days)
            name = "this morning's pain drives use"
            yield _look("bias, points a session", name, world, "bias", _at_most(0.09))
    for effect, days, least in (
        (-1.0, 60, 0.68),
        (-1.0, 120, 0.90),
        (-0.5, 120, 0.42),
        (-0.5, 365, 0.86),
    ):
        world = replace(FULL, effect=effect, days=days)
        yield _look("power", "full world", world, "found", _at_least(least))


def _a_year() -> Iterator[Check]:
    for effect in (0.0, -0.5, -1.0):
        simulation = f"a year of looks: {effect}"
        measure = a_year_of_looks(replace(FULL, effect=effect))
        if not effect:
            row = "a year of looking at milestones: ever a false finding"
            yield Check(row, "no effect", simulation, measure, "found", _at_most(0.055))
        row = "a year of looking at milestones: ever an interval that misses"
        cell = f"{effect:g} a session" if effect else "no effect"
        yield Check(row, cell, simulation, measure, "missed", _at_most(0.055))
    row = "four primaries, a year, no effect: told of any"
    measure = four_primaries(FULL)
    yield Check(row, "full world", "four primaries", measure, "shown", _at_most(0.09))


def _use_follows_pain() -> Iterator[Check]:
    """What a person who stimulates because it hurts, or not because it does, is told in a year."""
    row = "flagged by 56 pairs: use follows pain"
    cell = "stimulates because it hurts"
    yield Check(row, cell, f"primaries: {cell}", four_primaries(BECAUSE_IT_HURTS), "flagged_by_56",
                _at_least(0.75))  # fmt: skip
    row = "told of pain, a year, no effect"
    for cell, world in (
        ("stimulates because it hurts", BECAUSE_IT_HURTS),
        ("too ill for a session", TOO_ILL),
        ("cycle in antiphase", CYCLE_IN_ANTIPHASE),
    ):
        measure = four_primaries(world)
        yield Check(row, cell, f"primaries: {cell}", measure, "told", _at_most(0.06))
    row = "four primaries, a year, no effect: told of any"
    cell = "cycle in antiphase, logged"
    measure = four_primaries(CYCLE_IN_ANTIPHASE, logs_cycle=True)
    yield Check(row, cell, f"primaries: {cell}", measure, "shown", _at_most(0.09))
    told = "evening and morning in one: told of pain's effect"
    for effect, when, value, row, least in (
        (-1.0, "by 130 days", "by_130", told, 0.85),
        (-0.5, "in a year", "told", told, 0.78),
        (-0.5, "in a year", "answered", f"{told}, or that it is smaller than what matters", 0.85),
    ):
        cell = f"{effect:g} a session, {when}"
        measure = four_primaries(replace(FULL, effect=effect))
        yield Check(row, cell, f"primaries: {effect:g}", measure, value, _at_least(least))
    world = replace(MORNING_DRIVES_USE, rates_before_sessions=True, days=365)
    row = "type I at .05, rated on all days"
    yield _look(row, "this morning's pain drives use, rated", world, "found", _at_most(0.07))


def _then_and_now() -> Iterator[Check]:
    for value, limit in (("likely", 0.03), ("worse", 0.05)):
        row = f'then and now, no change, a year of reading: ever "{value}"'
        measure = a_year_of_then_and_now(0.6)
        yield Check(row, "φ 0.6", "then and now: φ 0.6", measure, value, _at_most(limit))


def _days_named() -> Iterator[Check]:
    for cell, world in (
        ("a third of ratings missing", FULL),
        ("half of ratings missing", replace(FULL, missing=0.5)),
    ):
        measure = days_named(world)
        for when in ("collecting", "later"):
            row = f"more days, as named: hold the day, {when}"
            yield Check(row, cell, f"days named: {cell}", measure, when, _at_least(0.9))


def _as_stated() -> Iterator[Check]:
    row = "own trial: the difference stated to be found with .8"
    for pairs, block_days in ((21, 2), (14, 3)):
        for missing, used in ((0.0, 1.0), (0.3, 1.0), (0.0, 0.7), (0.3, 0.7)):
            cell = f"{pairs} x {block_days} days, {missing:.0%} missing, used {used:.0%}"
            measure = trial_as_stated(pairs, block_days, missing, used)
            yield Check(row, cell, f"trial stated: {cell}", measure, "found", (0.75, 0.85))


def _from_a_diary() -> Iterator[Check]:
    for value, row in (
        ("probability", "own trial: stated from a diary to be found with .8: the probability"),
        ("far", "own trial: stated from a diary to be found with .8: people with less than .65"),
    ):
        for days in (45, 90):
            cell = f"{days} days"
            measure = trial_from_diary(days)
            yield Check(row, cell, f"trial from a diary: {cell}", measure, value)


def _the_rest() -> Iterator[Check]:
    for pairs in (8, 14):
        for phi in (0.3, 0.6, 0.9):
            cell = f"{pairs} pairs, φ {phi:g}"
            measure = own_trial(pairs, phi)
            row = "own trial, no effect"
            yield Check(row, cell, f"trial: {cell}", measure, "found", _at_most(0.06))
    for phi, limit in ((0.0, 0.05), (0.5, 0.05), (0.8, 0.085)):
        for sessions in (60, 120, 365):
            cell = f"φ {phi:g}, {sessions} sessions"
            measure = side_effect(sessions, phi, 0.35)
            row = "side-effect trend, none there"
            yield Check(row, cell, f"side effect: {cell}", measure, "found", _at_most(limit))
    for phi, row, value, limit in (
        (0.0, YEAR_OF_ANSWERS, "told", 0.055),
        (0.5, YEAR_OF_ANSWERS, "told", 0.055),
        (0.5, f"{YEAR_OF_ANSWERS}, that it fades", "fading", 0.025),
        (0.8, f"{YEAR_OF_ANSWERS}, that it fades", "fading", 0.085),
    ):
        cell = f"φ {phi:g}"
        measure = a_year_of_a_side_effect(phi, 0.35)
        yield Check(row, cell, f"year of answers: {cell}", measure, value, _at_most(limit))
    for slope, share in ((-0.5, 0.7), (-1.0, 0.9)):
        for sessions in (30, 60, 120):
            cell = f"{sessions} sessions, {slope:g} a doubling"
            measure = fading_side_effect(sessions, slope, share)
            row = "side-effect trend, fading: coverage of 95 % intervals"
            yield Check(row, cell, f"fading: {cell}", measure, "covered", _at_least(0.94))
    for baseline_days in (21, 28, 45):
        for change in (0.0, -0.3):
            cell = f"{baseline_days} days of baseline, change {change:g}"
            measure = change_from_baseline(baseline_days, 0.6, change)
            simulation = f"response: {cell}"
            row = "response, φ .6: coverage"
            yield Check(row, cell, simulation, measure, "covered", _at_least(0.94))
    for baseline_days in (21, 28, 45):
        cell = f"{baseline_days} days of baseline, change 0"
        measure = change_from_baseline(baseline_days, 0.6, 0.0)
        row = 'response, φ .6: "confirmed" with no change'
        yield Check(row, cell, f"response: {cell}", measure, "confirmed", _at_most(0.01))
    row = "14 days: anything but collecting"
    for name, world in WORLDS.items():
        measure = fourteen_days(world)
        yield Check(row, name, f"fourteen days: {name}", measure, "otherwise", _at_most(0.0))


def _shown() -> Iterator[Check]:
    row = "Pearson p < .05, looked at daily for a year: ever"
    for name, world in WORLDS.items():
        yield Check(row, name, f"Pearson: {name}", pearson_every_day(world), "found")
    for days in (60, 180, 365):
        world = replace(RISES_AFTER_THE_MORNING, days=days)
        row = "type I at .05, pain rises after the morning rating"
        yield _look(row, "no rating before the session", world, "found", ANY)
        asked = replace(world, rates_before_sessions=True)
        yield _look(row, "rated right before each session", asked, "found", ANY)
    for effect in (-0.5, -1.0):
        world = replace(MORNING_DRIVES_USE, effect=effect, days=365)
        name = "this morning's pain drives use"
        yield _look("coverage of 95 % intervals", name, world, "covered", ANY)
    for sessions in (30, 60, 120):
        cell = f"successive answers correlate .8, {sessions} sessions"
        row = "side-effect trend, none there"
        measure = sticky_side_effect(sessions, 0.8, 0.35)
        yield Check(row, cell, f"sticky: {cell}", measure, "found")
    cell = "φ 0.8, 30 sessions"
    measure = side_effect(30, 0.8, 0.35)
    yield Check("side-effect trend, none there", cell, f"side effect: {cell}", measure, "found")
    cell = "φ 0.8"
    measure = a_year_of_a_side_effect(0.8, 0.35)
    yield Check(YEAR_OF_ANSWERS, cell, f"year of answers: {cell}", measure, "told")
    for slope, share in ((-0.5, 0.7), (-1.0, 0.9), (0.5, 0.1), (1.0, 0.03)):
        for phi in (0.0, 0.5):
            cell = f"φ {phi:g}, {slope:+g} a doubling"
            measure = a_year_of_a_side_effect(phi, share, slope)
            for value, when in (("by_112", "by 112 answers"), ("told", "in a year")):
                row = f"side-effect trend, at milestones: power {when}"
                yield Check(row, cell, f"year of answers: {cell}", measure, value)
    for slope, share in ((-0.5, 0.7), (-1.0, 0.9)):
        for sessions in (30, 60, 120):
            cell = f"{sessions} sessions, {slope:g} a doubling"
            measure = fading_side_effect(sessions, slope, share)
            row = "side-effect trend, fading: power"
            yield Check(row, cell, f"fading: {cell}", measure, "found")
    for phi in (0.6, 0.9):
        cell = f"14 pairs, φ {phi:g}, -1 on treated days"
        measure = own_trial(14, phi, -1.0)
        yield Check("own trial: power", cell, f"trial: {cell}", measure, "found")
        yield Check("own trial: coverage", cell, f"trial: {cell}", measure, "covered")
    cell = "φ 0.8, 28 days of baseline, change 0"
    measure = change_from_baseline(28, 0.8, 0.0)
    yield Check("response: coverage", cell, f"response: {cell}", measure, "covered")


def _held_back() -> Iterator[Check]:
    """What the flag is for, what it costs, and what it does not catch."""
    pain = "told of pain, a year, no effect"
    four = "four primaries, a year, no effect: told of any"
    for name, world in (
        ("stimulates because it hurts", BECAUSE_IT_HURTS),
        ("too ill for a session", TOO_ILL),
        ("cycle in antiphase", CYCLE_IN_ANTIPHASE),
    ):
        cell = f"{name}, without the flag"
        measure = four_primaries(world, flags=False)
        yield Check(pain, cell, f"primaries: {cell}", measure, "told")
        yield Check(four, name, f"primaries: {name}", four_primaries(world), "shown")
    for effect in (-1.0, -0.5):
        cell = f"{effect:g} a session"
        measure = four_primaries(replace(FULL, effect=effect))
        yield Check(
            "told of a true effect on pain", cell, f"primaries: {effect:g}", measure, "told"
        )
        row = "flagged in a year though use follows nothing"
        yield Check(row, cell, f"primaries: {effect:g}", measure, "flagged")
    cell = "this morning's pain drives use, 0.7 log odds a point"
    measure = four_primaries(MORNING_DRIVES_USE)
    for value, when in (("flagged_by_56", "by 56 pairs"), ("flagged", "in a year")):
        yield Check(f"flagged {when}", cell, f"primaries: {cell}", measure, value)
    world = replace(
        MORNING_DRIVES_USE, rates_before_sessions=True, rates_on_other_days=False, days=365
    )
    row = "type I at .05, rated before sessions alone"
    yield _look(row, "this morning's pain drives use", world, "found", ANY)
    for change, value, when in ((-0.4, "by_112", "by day 112"), (-0.4, "likely", "in a year")):
        cell = f"φ 0.6, {change:.0%}"
        measure = a_year_of_then_and_now(0.6, change)
        row = f"then and now: told of a fall {when}"
        yield Check(row, cell, f"then and now: {cell}", measure, value)


def _kept_in_waves() -> Iterator[Check]:
    cell = "a diary kept in waves of weeks"
    measure = days_named(replace(FULL, missing_waves=1.0))
    for when in ("collecting", "later"):
        row = f"more days, as named: hold the day, {when}"
        yield Check(row, cell, f"days named: {cell}", measure, when)


def _asked_of_the_past() -> Iterator[Check]:
    for world, row, value in (
        (MORNING_DRIVES_USE, "type I at .05, this morning's pain drives use", "found"),
        (replace(FULL, effect=-1.0), "points told of a session's -1, full world", "effect"),
    ):
        for lag, when in ((0, "same day"), (1, "next morning")):
            for last_day, asked in ((False, "pain now"), (True, "mean of the last 24 hours")):
                cell = f"{asked}, {when}, 180 days"
                measure = one_look(world, lag=lag, of_the_last_24_hours=last_day)
                yield Check(row, cell, f"asked: {row}: {cell}", measure, value)


CHECKS = (
    *_no_effect(),
    *_with_effect(),
    *_a_year(),
    *_use_follows_pain(),
    *_then_and_now(),
    *_days_named(),
    *_the_rest(),
    *_as_stated(),
)
SHOWN = (
    *_shown(),
    *_held_back(),
    *_kept_in_waves(),
    *_asked_of_the_past(),
    *_from_a_diary(),
)
