"""Side effects over a person's sessions: which answer is about which session, and their trend."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from cymba.insights.days import EntryFact, Floats
from cymba.insights.exposures import SessionFact
from cymba.insights.inputs import entry_facts, session_facts
from cymba.insights.outcomes import OUTCOMES, Outcome
from cymba.insights.pair_inputs import inputs_hash
from cymba.insights.statistics import (
    SIDE_EFFECT_MILESTONES,
    Trend,
    latest_trend,
    sequential_p,
)

REACH = timedelta(hours=24)  # after a session's end; later answers are about something else


@dataclass(frozen=True, slots=True)
class SideEffect:
    """present: (S,) by session, the first at index 0; 1, 0, or NaN where it was not answered.

    trend: what the last milestone said; the counts are of today.
    """

    outcome: Outcome
    present: Floats
    trend: Trend

    @property
    def answers(self) -> int:
        return int(np.isfinite(self.present).sum())

    @property
    def yes(self) -> int:
        return int(np.nansum(self.present))

    @property
    def p(self) -> float:
        """Of the last milestone, over all looks; NaN where there was none."""
        return self.trend.p if np.isnan(self.trend.p) else sequential_p(self.trend.p)

    @property
    def input_hash(self) -> str:
        """Of what the trend was made from."""
        looks = np.array(SIDE_EFFECT_MILESTONES)
        return inputs_hash(0, looks, self.present[: self.trend.sessions])

    @property
    def shown_hash(self) -> str:
        """Of all that a picture shows."""
        return inputs_hash(0, np.array(SIDE_EFFECT_MILESTONES), self.present)


def load_side_effects(session: Session, account_id: UUID) -> list[SideEffect]:
    """Every side effect that the person has answered to after a session; in the diary's order."""
    return side_effects(session_facts(session, account_id), entry_facts(session, account_id))


def side_effects(sessions: Sequence[SessionFact], entries: Sequence[EntryFact]) -> list[SideEffect]:
    ordered = sorted(sessions, key=lambda fact: fact.started_at)
    about = [(entry, _session_of(ordered, entry)) for entry in entries]
    found = []
    for outcome in OUTCOMES.values():
        if not outcome.is_side_effect:
            continue
        present = np.full(len(ordered), np.nan)
        for entry, place in about:
            value = outcome.value(entry.items)
            if place is not None and value is not None:
                # One yes is a yes, whatever else was said of the same session.
                present[place] = np.fmax(present[place], value)
        if np.isfinite(present).any():
            found.append(SideEffect(outcome, present, latest_trend(present)))
    return found


def _session_of(ordered: Sequence[SessionFact], entry: EntryFact) -> int | None:
    """The session that the entry names, or else the last one begun before, if it is not long over.

    An entry that names a session which is not here is about no other.
    """
    if entry.session_id is not None:
        places = (i for i, fact in enumerate(ordered) if fact.id == entry.session_id)
        return next(places, None)
    place = bisect_right(ordered, entry.felt_at, key=lambda fact: fact.started_at) - 1
    if place < 0 or entry.felt_at > ordered[place].ended_at + REACH:
        return None
    return place
