"""The ratings that a trial goes by."""

from uuid import UUID

from sqlalchemy.orm import Session

from cymba.errors import Rejected
from cymba.insights.days import Days, build_days
from cymba.insights.inputs import entry_facts
from cymba.insights.outcomes import OUTCOMES, PRIMARY_OUTCOMES
from cymba.voice import said


def check_outcome(outcome: str) -> None:
    if outcome not in PRIMARY_OUTCOMES:
        raise Rejected(
            "Trials are made of the primary outcomes only.",
            code="validation",
            errors=[
                {
                    "pointer": "/outcome",
                    "detail": said("must be one of {names}", names=", ".join(PRIMARY_OUTCOMES)),
                }
            ],
        )


def rated_days(session: Session, account_id: UUID, outcome: str) -> Days:
    """The diary by the clock alone, without any session: a finding leaves out what was felt in the
    morning after a session, and that would choose the ratings of one arm and not of the other."""
    return build_days(
        (),
        entry_facts(session, account_id),
        exposures=(),
        outcomes=(OUTCOMES[outcome],),
    )
