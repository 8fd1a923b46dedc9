"""A person who stimulates because it hurts: what they are told after 60, 130 and 320 days."""

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy.orm import Session

from cymba.insights import findings, sentences
from cymba.insights.words import FOLLOWS_PAIN
from cymba.voice import Voice
from simulator.people import BECAUSE_IT_HURTS, World
from tests.insights.people import enrol, live_in_database, refresh

FIRST_DAY = date(2026, 1, 4)
HARMLESS = {"collecting", "not_enough", "early_signal"}


def pain(session: Session, world: World, seed: int) -> findings.Finding:  # type: ignore[name-defined]
    account_id = enrol(session)
    live_in_database(session, account_id, world, seed=seed, first_day=FIRST_DAY)
    session.commit()
    refresh(session, account_id)
    told = findings.mine(session, account_id)
    assert {one.grade for one in told if one.tier == "primary"} <= HARMLESS
    return next(one for one in told if (one.outcome, one.lag) == ("pain_now", 1))


@pytest.mark.parametrize("effect", [-1.0, 0.0])
@pytest.mark.parametrize("days", [60, 130, 320])
def test_who_stimulates_because_it_hurts_is_told_the_truth(
    session: Session, days: int, effect: float
) -> None:
    """Neither that it goes with less pain, nor with more, nor that there is no link."""
    world = replace(BECAUSE_IT_HURTS, days=days, effect=effect)
    found = pain(session, world, seed=3)
    if days > 60:  # by then nineteen of twenty such people are told so
        for tag in ("en", "de"):
            voice = Voice.of(tag)
            assert voice.translate(FOLLOWS_PAIN) in sentences.of_finding(voice, found)
        assert found.more_days_low is None


def test_whose_use_follows_nothing_is_told_of_the_same_effect(session: Session) -> None:
    account_id = enrol(session)
    world = World(days=130, effect=-1.0, rates_before_sessions=True)
    live_in_database(session, account_id, world, seed=3, first_day=FIRST_DAY)
    session.commit()
    refresh(session, account_id)
    (found,) = (
        one
        for one in findings.mine(session, account_id)
        if (one.exposure, one.outcome, one.lag) == ("charge", "pain_now", 1)
    )
    assert found.grade in ("moderate", "strong")
    assert found.effect is not None
    assert found.effect < 0
