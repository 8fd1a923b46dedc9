"""What a device was set to before a trial that changed it, as the API shows it."""

from typing import Any

from sqlalchemy.orm import Session

from cymba.accounts.tokens import Caller
from cymba.insights.experiments import before
from cymba.insights.experiments.before import BeforeTrial
from cymba.insights.sentences import of_before_trial
from cymba.voice import Voice
from service.http.language import spoken
from service.http.services import services
from service.http.writing import writer
from service.shapes.programmes import BeforeTrialSchema

_shown = writer(BeforeTrialSchema)


def before_trials(session: Session, account: Caller) -> dict[str, dict[str, Any]]:
    """By device, as `BeforeTrialSchema`."""
    standing = before.standing(session, account.id, now=services().now())
    voice = spoken()
    return {device_id: _one_shown(one, voice) for device_id, one in standing.items()}


def _one_shown(found: BeforeTrial, voice: Voice) -> dict[str, Any]:
    arm = found.experiment.plan["arms"]["full"]
    sentence = of_before_trial(voice, found)
    return _shown(found, programme=arm["programme"], limits=arm["limits"], sentence=sentence)
