"""What a device had before a trial that left it otherwise, wherever the API tells of it."""

from typing import Any

from sqlalchemy.orm import Session

from cymba.accounts.tokens import Caller
from cymba.insights.experiments import before
from cymba.insights.experiments.before import BeforeTrial
from cymba.insights.sentences import of_before_trial
from cymba.insights.words import Voice
from service.http.services import services
from service.http.writing import writer
from service.shapes.programmes import BeforeTrialSchema

_shown = writer(BeforeTrialSchema)


def before_trials(session: Session, account: Caller) -> dict[str, dict[str, Any]]:
    """By device, what is to be told, as `BeforeTrialSchema`."""
    told = before.standing(session, account.id, now=services().now())
    voice = Voice.of(account.locale)
    return {device_id: _told(one, voice) for device_id, one in told.items()}


def _told(told: BeforeTrial, voice: Voice) -> dict[str, Any]:
    arm = told.experiment.plan["arms"]["full"]
    sentence = of_before_trial(voice, told)
    return _shown(told, programme=arm["programme"], limits=arm["limits"], sentence=sentence)
