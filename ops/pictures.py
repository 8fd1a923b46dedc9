"""The pictures of three simulated people, for the documentation: `python -m ops.pictures`.

They depend on the seeds alone, so the same code makes the same pictures.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import click
import numpy as np

from cymba.insights import findings
from cymba.insights.analysis import analyse
from cymba.insights.days import Days, EntryFact, Floats, build_days, local_day
from cymba.insights.exposures import EXPOSURES, SessionFact
from cymba.insights.outcomes import OUTCOMES
from cymba.insights.pairs import view_pair
from cymba.insights.pictures import (
    DARK,
    LIGHT,
    Picture,
    picture_of_around_use,
    picture_of_calendar,
    picture_of_pair,
    picture_of_response,
    picture_of_side_effect,
    picture_of_timeline,
)
from cymba.insights.responses import compare
from cymba.insights.side_effects import side_effects
from cymba.insights.symptom_days import SymptomDays, around_use
from cymba.voice import Voice
from simulator.diarist import Months, live_months
from simulator.people import World

FOLDER = Path("docs/pictures")
ZONE = "Europe/Berlin"
FIRST_DAY = date(2026, 1, 5)
SESSION = timedelta(minutes=30)
CHARGE_UC = 11_000.0
NOBODY = UUID(int=0)
HISTORY_DAYS = 91
# Without an effect these look much the same.
OF_ONE = (
    "timeline",
    "calendar",
    "around-use",
    "response-mood",
)
SESSIONS = [exposure.name for exposure in EXPOSURES].index("sessions")
SHOWN = ("pain_now", "mood", "fatigue", "sleep_quality")


@dataclass(frozen=True)
class Person:
    name: str
    world: World
    seed: int
    locale: str = "en-GB"


PEOPLE = (
    Person("effect", World(days=150, effect=-1.0, days_before_use=28), seed=3),
    Person("no-effect", World(days=150, days_before_use=28), seed=3),
    Person("two-weeks", World(days=14, effect=-1.0), seed=3, locale="de-DE"),
)


def pictures(person: Person) -> dict[str, Picture]:
    """By name: the primary pair, the side effect, the response, and the history of pain."""
    rng = np.random.default_rng(person.seed)
    months = live_months(person.world, rng, first_day=FIRST_DAY, time_zone=ZONE)
    sessions, entries = _facts(months, rng)
    outcomes = [OUTCOMES[name] for name in SHOWN]
    days = build_days(sessions, entries, exposures=EXPOSURES, outcomes=outcomes)
    found = [
        findings.of_pair(NOBODY, pair)
        for pair in analyse(days, EXPOSURES, outcomes)
        if (pair.exposure.name, pair.outcome.name) == ("charge", "pain_now")
        if pair.taken or pair.lag == 1
    ]
    shown = next(finding for finding in found if finding.lag == 1)
    voice = Voice.of(person.locale)
    made = {"pair": picture_of_pair(view_pair(days, EXPOSURES, outcomes, shown, found), voice)}
    for effect in side_effects(sessions, entries):
        made["side-effect"] = picture_of_side_effect(effect, voice)
    first_use = local_day(sessions[0].local_start)
    compared = compare(OUTCOMES["pain_now"], entries, first_use=first_use, today=days.dates[-1])
    mood = compare(OUTCOMES["mood"], entries, first_use=first_use, today=days.dates[-1])
    if mood is not None:
        made["response-mood"] = picture_of_response(mood, voice)
    if compared is not None:
        made["response"] = picture_of_response(compared, voice)
        made |= _of_history(days, compared.whole.values, voice)
    return made


def _of_history(days: Days, felt: Floats, voice: Voice) -> dict[str, Picture]:
    """The last weeks of pain: in a row, as a calendar, and around the sessions."""
    pain, sessions = OUTCOMES["pain_now"], days.exposures[SESSIONS]
    last = days.dates[-1]
    begins = last - timedelta(days=HISTORY_DAYS - 1)
    shown = SymptomDays(pain, begins, felt[-HISTORY_DAYS:], sessions[-HISTORY_DAYS:])
    asked = days.dates[0], last
    both = around_use(days, pain, SHOWN.index(pain.name), sessions, asked=asked)
    return {
        "timeline": picture_of_timeline(shown, voice),
        "calendar": picture_of_calendar(shown, voice),
        "around-use": picture_of_around_use(both, voice),
    }


def _facts(months: Months, rng: np.random.Generator) -> tuple[list[SessionFact], list[EntryFact]]:
    zone = ZoneInfo(ZONE)
    sessions = [
        SessionFact(
            local_start=start.astimezone(zone),
            started_at=start,
            ended_at=start + SESSION,
            stimulating_s=900.0,
            charge_uc=CHARGE_UC * float(rng.uniform(0.9, 1.1)),
        )
        for start in months.starts
    ]
    entries = [
        EntryFact(one.felt_at.astimezone(zone), one.felt_at, one.items) for one in months.entries
    ]
    return sessions, entries


@click.command()
@click.option(
    "--out", "folder", default=FOLDER, show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
)  # fmt: skip
def main(folder: Path) -> None:
    """Draw the primary finding, the side effect and the response of three simulated people."""
    folder.mkdir(parents=True, exist_ok=True)
    for person in PEOPLE:
        for name, picture in pictures(person).items():
            if name in OF_ONE and person is not PEOPLE[0]:
                continue
            for theme in (LIGHT, DARK) if name == "pair" else (LIGHT,):
                path = folder / f"{person.name}-{name}-{theme.name}.svg"
                path.write_bytes(picture.svg(theme))
            click.echo(f"{person.name} {name}: {picture.alt}")


if __name__ == "__main__":
    main()
