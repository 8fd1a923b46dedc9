"""One pair over many people who agreed to research: each person's own fit first, then their mean.

People appear under pseudonyms that only the holder of the key could make again. Below ten people
nothing is shown at all, not even how many there are.
"""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.audit import Actor, note
from cymba.accounts.tables import Consent
from cymba.errors import NotFound
from cymba.insights.analysis import PRIMARY_LAG
from cymba.insights.days import Floats
from cymba.insights.exposures import EXPOSURES
from cymba.insights.inputs import load_days
from cymba.insights.outcomes import OUTCOMES
from cymba.insights.statistics import (
    CohortMean,
    RepeatedMeasures,
    associate,
    cohort_mean,
    complete_pairs,
    repeated_measures_correlation,
)

MIN_COHORT = 10
PSEUDONYM_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class PersonFit:
    """effect, se: in the outcome's points between the person's higher and lower days.

    exposed, felt: (N,) the complete pairs.
    """

    pseudonym: str
    effect: float
    se: float
    exposed: Floats
    felt: Floats


@dataclass(frozen=True, slots=True)
class Cohort:
    """`within` describes the pairs of all people; nothing is concluded from it."""

    people: list[PersonFit]
    mean: CohortMean
    within: RepeatedMeasures


@dataclass(frozen=True, slots=True)
class TooFew:
    """Fewer than ten people have an estimate: a mean would disclose something of each."""


def load_cohort(
    session: Session, exposure: str, outcome: str, *, lag: int = PRIMARY_LAG, key: bytes, by: Actor
) -> Cohort | TooFew:
    """The pair over all who agreed to research; each finds it in their audit log.

    Raises:
        NotFound: there is no such exposure or outcome.
    """
    if exposure not in {one.name for one in EXPOSURES} or outcome not in OUTCOMES:
        raise NotFound("There is no such exposure or outcome.")
    people: dict[UUID, PersonFit] = {}
    for account_id in _consenting(session):
        fit = _fit(session, account_id, exposure, outcome, lag=lag, key=key)
        if fit is not None:
            people[account_id] = fit
    if len(people) < MIN_COHORT:
        return TooFew()
    for account_id in people:
        note(session, account_id, by, "insights.cohort", exposure=exposure, outcome=outcome)
    return pool(list(people.values()))


def pool(people: Sequence[PersonFit]) -> Cohort:
    ordered = sorted(people, key=lambda fit: fit.pseudonym)
    return Cohort(
        people=ordered,
        mean=cohort_mean([fit.effect for fit in ordered], [fit.se for fit in ordered]),
        within=repeated_measures_correlation(
            np.repeat(np.arange(len(ordered)), [fit.felt.size for fit in ordered]),
            np.concatenate([fit.exposed for fit in ordered]),
            np.concatenate([fit.felt for fit in ordered]),
        ),
    )


def pseudonym(key: bytes, account_id: UUID) -> str:
    """One person has one pseudonym under one key. Without the key it identifies nobody."""
    return hmac.new(key, account_id.bytes, "sha256").hexdigest()[:PSEUDONYM_CHARACTERS]


def _consenting(session: Session) -> Iterator[UUID]:
    query = select(Consent.account_id).where(
        Consent.purpose == "research", Consent.withdrawn_at.is_(None)
    )
    yield from session.scalars(query.order_by(Consent.account_id)).all()


def _fit(
    session: Session, account_id: UUID, exposure: str, outcome: str, *, lag: int, key: bytes
) -> PersonFit | None:
    """The person's own estimate over all their days; None where there are too few."""
    days, exposures, outcomes = load_days(session, account_id)
    e = next((i for i, one in enumerate(exposures) if one.name == exposure), None)
    o = next((i for i, one in enumerate(outcomes) if one.name == outcome), None)
    if e is None or o is None or not days.dates:
        return None
    exposed = days.exposures[e : e + 1]
    felt = (days.mornings if lag else days.same_day)[o : o + 1]
    before = days.before[o : o + 1]
    found = associate(exposed, felt, before, days.weekdays, (lag,))
    effect, se = float(found.shown_effect[0, 0, 0]), float(found.shown_se[0, 0, 0])
    if not (np.isfinite(effect) and np.isfinite(se) and se > 0):
        return None
    rows = np.flatnonzero(complete_pairs(exposed, felt, before, lag)[0, 0])
    return PersonFit(pseudonym(key, account_id), effect, se, exposed[0, rows - lag], felt[0, rows])
