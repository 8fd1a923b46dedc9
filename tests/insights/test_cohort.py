"""The view over many people: who is in it, what it says, and when it says nothing."""

from datetime import date

import numpy as np
import pytest
from sqlalchemy.orm import Session

from cymba.accounts import audit
from cymba.accounts.audit import Actor
from cymba.database import utc_now
from cymba.errors import NotFound
from cymba.insights.cohort import MIN_COHORT, Cohort, TooFew, load_cohort, pseudonym
from cymba.insights.statistics.associate import contrasts
from cymba.rights import consents
from simulator.people import World
from tests.insights.people import enrol, live_in_database

KEY = b"a key of this test"
BY = Actor("operator", "ada")
WORLD = World(days=90, effect=-1.0)


@pytest.fixture
def people(session: Session) -> list:
    made = []
    for seed in range(MIN_COHORT):
        account_id = enrol(session, purposes=("research",))
        live_in_database(session, account_id, WORLD, seed=seed, first_day=date(2026, 1, 5))
        made.append(account_id)
    session.commit()
    return made


def view(session: Session, exposure: str = "sessions") -> Cohort | TooFew:
    return load_cohort(session, exposure, "pain_now", key=KEY, by=BY)


def test_ten_people_give_a_mean_that_is_near_the_truth(session: Session, people: list) -> None:
    found = view(session)
    assert isinstance(found, Cohort)
    assert {fit.pseudonym for fit in found.people} == {pseudonym(KEY, one) for one in people}
    assert found.mean.people == MIN_COHORT
    # -1 for each session by which a person's higher days are above their lower ones
    truth = -np.mean([contrasts(fit.exposed[None])[0] for fit in found.people])
    assert found.mean.low < truth < found.mean.high < 0
    assert found.within.r < 0
    assert found.within.df == sum(fit.felt.size for fit in found.people) - MIN_COHORT - 1


def test_everybody_in_it_can_read_of_it(session: Session, people: list) -> None:
    view(session)
    entry, *_given = audit.page(session, people[0])
    assert (entry.actor_kind, entry.actor_id) == ("operator", "ada")
    assert entry.action == "insights.cohort"


def test_below_ten_nothing_is_said_and_nobody_was_looked_at(session: Session, people: list) -> None:
    consents.withdraw(session, people[0], "research", now=utc_now())
    assert view(session) == TooFew()
    assert {entry.action for entry in audit.page(session, people[1])} == {"consent.given"}


def test_who_agreed_to_other_things_is_not_in_it(session: Session, people: list) -> None:
    other = enrol(session, purposes=("insights",))
    live_in_database(session, other, WORLD, seed=99, first_day=date(2026, 1, 5))
    found = view(session)
    assert isinstance(found, Cohort)
    assert pseudonym(KEY, other) not in {fit.pseudonym for fit in found.people}
    assert len(found.people) == len(people)


def test_pseudonyms_are_the_keys(people: list) -> None:
    assert pseudonym(KEY, people[0]) == pseudonym(KEY, people[0])
    assert pseudonym(KEY, people[0]) != pseudonym(b"another", people[0])
    assert str(people[0])[:8] not in pseudonym(KEY, people[0])


def test_an_unknown_exposure_is_not_found(session: Session) -> None:
    with pytest.raises(NotFound):
        view(session, "moonlight")


def test_a_person_with_too_few_days_is_left_out(session: Session, people: list) -> None:
    short = enrol(session, purposes=("research",))
    live_in_database(session, short, World(days=14), seed=5, first_day=date(2026, 1, 5))
    found = view(session)
    assert isinstance(found, Cohort)
    assert len(found.people) == len(people)
    assert all(np.isfinite(fit.effect) for fit in found.people)
