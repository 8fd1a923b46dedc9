"""What a day's stimulation is summed up as: one entry here adds an exposure to every finding."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

NAN = float("nan")
DAY_STARTS_HOUR = 4
EVENING_FROM_HOUR = 18
MAX_PROGRAMMES = 3
MAX_LEVELS = 3  # models
_PROGRAMME_NAME = re.compile(
    r"(?P<frequency_hz>[0-9.]+)hz-(?P<pulse_width_us>[0-9.]+)us-(?P<on_s>[0-9.]+)s-(?P<off_s>[0-9.]+)s"
)
PROGRAMME = "programme:"  # begins the name of a programme's share
LEVEL = "level:"  # begins the name of the level on one model


class SessionFact(NamedTuple):
    """What insights need of one session. `local_start` is by the zone stored with it."""

    local_start: datetime
    started_at: datetime
    ended_at: datetime
    stimulating_s: float | None  # null: not known
    charge_uc: float | None = None
    amplitude_over_threshold: float | None = None
    max_amplitude_ua: int | None = None
    native_level: float | None = None  # its mean; of a model's own scale, so of no other's
    model: str | None = None
    programme: str | None = None
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Exposure:
    name: str
    title: str
    unit: str  # UCUM
    of_day: Callable[[Sequence[SessionFact]], float]  # of at least one session
    # A day without a session is 0 for an amount, and has no value for a property of sessions.
    is_amount: bool = True
    primary: bool = False


def _mean_over_threshold(sessions: Sequence[SessionFact]) -> float:
    """Mean amplitude over the sensory threshold, each session by the seconds it stimulated."""
    known = [
        (s.amplitude_over_threshold, s.stimulating_s)
        for s in sessions
        if s.amplitude_over_threshold is not None and s.stimulating_s
    ]
    total_s = sum(seconds for _, seconds in known)
    return sum(over * seconds for over, seconds in known) / total_s if total_s else NAN


def _charge_mc(sessions: Sequence[SessionFact]) -> float:
    # A charge that is not known would make the day's sum a lower bound posing as a value.
    if any(s.charge_uc is None for s in sessions):
        return NAN
    return sum(s.charge_uc or 0 for s in sessions) / 1000


def _stimulating_s(sessions: Sequence[SessionFact]) -> float:
    return sum(NAN if s.stimulating_s is None else s.stimulating_s for s in sessions)


EXPOSURES: tuple[Exposure, ...] = (
    Exposure("charge", "Stimulation", "mC", _charge_mc, primary=True),
    Exposure("sessions", "Sessions", "{session}", lambda sessions: float(len(sessions))),
    Exposure(
        "minutes",
        "Minutes of stimulation",
        "min",
        lambda sessions: _stimulating_s(sessions) / 60,
    ),
    Exposure(
        "amplitude_over_threshold",
        "Strength above what you just feel",
        "1",
        _mean_over_threshold,
        is_amount=False,
    ),
    Exposure(
        "evening_use",
        "Use in the evening",
        "1",
        lambda sessions: float(
            any(
                s.local_start.hour >= EVENING_FROM_HOUR or s.local_start.hour < DAY_STARTS_HOUR
                for s in sessions
            )
        ),
    ),
)


def exposures_of(sessions: Sequence[SessionFact]) -> tuple[Exposure, ...]:
    """What the person's sessions can be summed up as.

    The primary exposure goes by what they report, never by what was found: the charge, where at
    least half of them report one, else the minutes, which every session has.
    """
    with_charge = sum(s.charge_uc is not None for s in sessions)
    primary = "charge" if 2 * with_charge >= len(sessions) else "minutes"
    fixed = (replace(one, primary=one.name == primary) for one in EXPOSURES)
    return (*fixed, *programme_exposures(sessions), *level_exposures(sessions))


def level_exposures(sessions: Sequence[SessionFact]) -> tuple[Exposure, ...]:
    """The level on each model that reports no current, where it varies. Levels are compared neither
    between models nor with a current."""
    levels: dict[str, list[float]] = {}
    for s in sessions:
        if s.model is not None and s.native_level is not None and s.max_amplitude_ua is None:
            levels.setdefault(s.model, []).append(s.native_level)
    varied = [model for model, used in levels.items() if len(set(used)) > 1]
    ranked = sorted(varied, key=lambda model: (-len(levels[model]), model))[:MAX_LEVELS]
    return tuple(
        Exposure(LEVEL + model, LEVEL + model, "1", _level_on(model), is_amount=False)
        for model in ranked
    )


def _level_on(model: str) -> Callable[[Sequence[SessionFact]], float]:
    """The mean level of a day, weighted by each session's stimulating time; NaN where another model
    was used, or a session has no level."""

    def level(sessions: Sequence[SessionFact]) -> float:
        if any(s.model != model or s.native_level is None for s in sessions):
            return NAN
        levels = [(s.native_level or 0.0, s.stimulating_s) for s in sessions]
        total_s = _stimulating_s(sessions)
        if not total_s > 0:
            return NAN
        return sum(level * (seconds or 0.0) for level, seconds in levels) / total_s

    return level


def programme_exposures(sessions: Sequence[SessionFact]) -> tuple[Exposure, ...]:
    """The share of a day's stimulation under each programme, where the person has used several."""
    used = Counter(s.programme for s in sessions if s.programme is not None)
    if len(used) < 2:
        return ()
    # By use and then by name, so that the same sessions always give the same exposures.
    ranked = sorted(used, key=lambda name: (-used[name], name))[:MAX_PROGRAMMES]
    return tuple(
        Exposure(
            PROGRAMME + name,
            PROGRAMME + name,  # `sentences` names it in the person's language
            "1",
            _share_of(name),
            is_amount=False,
        )
        for name in ranked
    )


def _share_of(programme: str) -> Callable[[Sequence[SessionFact]], float]:
    def share(sessions: Sequence[SessionFact]) -> float:
        seconds = _stimulating_s(sessions)
        own = _stimulating_s([s for s in sessions if s.programme == programme])
        return own / seconds if seconds else NAN

    return share


def programme_name(programme: dict[str, Any] | None) -> str | None:
    """How people tell programmes apart: frequency, pulse width and duty cycle; not the current,
    which they adjust every day. Fit for a path of the API. None where the model does not
    report them all."""
    parts = ("frequency_hz", "pulse_width_us", "on_s", "off_s")
    if programme is None or any(programme.get(part) is None for part in parts):
        return None
    return (
        f"{programme['frequency_hz']:g}hz-{programme['pulse_width_us']}us-"
        f"{programme['on_s']}s-{programme['off_s']}s"
    )


def programme_parts(name: str) -> dict[str, str] | None:
    """The numbers of a `programme_name`, by their names in a programme; None: it is not one."""
    parts = _PROGRAMME_NAME.fullmatch(name)
    return parts.groupdict() if parts else None
