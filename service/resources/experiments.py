"""Trials of one's own: planned, sealed, and agreed to block by block."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response
from sqlalchemy.orm import Session

from cymba.accounts.tokens import Caller
from cymba.devices.programme import ProgrammeRefused
from cymba.insights.experiments import before, preview, trials
from cymba.insights.experiments.preview import Plan, Power
from cymba.insights.tables import Experiment
from service.http.answers import answer, tagged
from service.http.bearer import current_account
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.before_trial import before_trials
from service.shapes.experiments import (
    ENDED_EXAMPLE,
    ExperimentPowerRequestSchema,
    ExperimentPowerSchema,
    ExperimentPowersSchema,
    ExperimentRequestSchema,
    ExperimentSchema,
    ExperimentsSchema,
    ExperimentStopSchema,
)
from service.shapes.programmes import LOCKS
from service.shapes.trials import experiment_shown

blp = Resource("experiments", "Trials of one's own")

_LEFT_EXAMPLE = ENDED_EXAMPLE | {"before_trial": None}
_REFUSED = ("beyond-limits", "limits-widened", *LOCKS)  # as of every programme


@blp.post("/v1/experiments/preview")
@blp.body(ExperimentPowerRequestSchema)
@blp.answers(200, ExperimentPowersSchema)
def preview_experiment(given: dict[str, Any]) -> Response:
    """Learn what a trial could find, before deciding on one"""
    plans = [Plan(**one) for one in given["plans"]]
    with transaction() as session:
        account = current_account(session)
        found = preview.power(session, account.id, given["outcome"], plans=plans)
    return answer({"items": [_power(one) for one in found]})


@blp.post("/v1/experiments")
@blp.repeatable
@blp.body(ExperimentRequestSchema)
@blp.answers(201, ExperimentSchema)
@blp.etag
@blp.problems(
    "not-found",
    "consent-required",
    "no-programme",
    "programme-ends",
    "no-contrast",
    "experiment-running",
)
def begin_experiment(given: dict[str, Any]) -> Response:
    """Plan a trial and draw its coin

    It begins at the next 04:00 by the person's wall clock. The coin and the plan are sealed now:
    `seal` is published, the seed when the trial has ended. Nothing goes to the device before the
    person agrees to each block.
    """
    now = services().now()
    with transaction() as session:
        account = current_account(session)
        begun = trials.begin(session, account.id, **given, now=now)
        body, version = _shown(session, account, begun, now), begun.version
    return tagged(body, status=201, version=version)


@blp.get("/v1/experiments")
@blp.answers(200, ExperimentsSchema)
@blp.etag
def list_experiments() -> Response:
    """List the trials, the latest first"""
    now = services().now()
    with transaction() as session:
        account = current_account(session)
        standing = before_trials(session, account)
        items = [
            experiment_shown(session, one, standing, now)
            for one in trials.mine(session, account.id)
        ]
    return tagged({"items": items})


@blp.get("/v1/experiments/<uuid:experiment_id>")
@blp.answers(200, ExperimentSchema, example=ENDED_EXAMPLE)
@blp.etag
@blp.problems("not-found")
def get_experiment(experiment_id: UUID) -> Response:
    """Read one trial"""
    now = services().now()
    with transaction() as session:
        account = current_account(session)
        found = trials.get(session, account.id, experiment_id)
        body, version = _shown(session, account, found, now), found.version
    return tagged(body, version=version)


@blp.post("/v1/experiments/<uuid:experiment_id>/blocks/<int:number>/agree")
@blp.repeatable
@blp.answers(200, ExperimentSchema)
@blp.etag
@blp.problems("not-found", "not-this-blocks-time", "experiment-ended", *_REFUSED)
def agree_to_block(experiment_id: UUID, number: int) -> Response:
    """Agree to one block's programme, which then goes to the device

    Possible from twelve hours before the block begins until it ends. A lock (screening, a red
    flag) holds here as for every programme; a block that is not agreed to is a deviation.
    """
    now = services().now()
    with transaction() as session:
        account = current_account(session)
        found = trials.get(session, account.id, experiment_id, lock=True)
        outcome = trials.agree(session, services().programme_key, found, number, now=now)
        body, version = _shown(session, account, found, now), found.version
    if isinstance(outcome, ProgrammeRefused):
        raise outcome.error
    return tagged(body, version=version)


@blp.post("/v1/experiments/<uuid:experiment_id>/stop")
@blp.repeatable
@blp.body(ExperimentStopSchema)
@blp.answers(200, ExperimentSchema)
@blp.etag
@blp.problems("not-found", "experiment-ended")
def stop_experiment(given: dict[str, Any], experiment_id: UUID) -> Response:
    """Stop a trial early

    Always possible. The result rests on the completed pairs, and says that it was stopped.
    """
    now = services().now()
    with transaction() as session:
        account = current_account(session)
        found = trials.get(session, account.id, experiment_id, lock=True)
        trials.stop(session, found, reason=given["reason"], now=now)
        body, version = _shown(session, account, found, now), found.version
    return tagged(body, version=version)


@blp.post("/v1/experiments/<uuid:experiment_id>/before/agree")
@blp.repeatable
@blp.answers(200, ExperimentSchema, example=_LEFT_EXAMPLE)
@blp.etag
@blp.problems("not-found", "nothing-to-set-back", *_REFUSED)
def agree_to_before(experiment_id: UUID) -> Response:
    """Agree to set the device back to what it was before the trial

    The programme and limits of `before_trial` go to the device. A lock (screening, a red flag)
    holds here as for every programme; `before_trial` then stays.
    """
    now = services().now()
    with transaction() as session:
        account = current_account(session)
        found = trials.get(session, account.id, experiment_id, lock=True)
        outcome = before.set_back(session, services().programme_key, found, now=now)
        body, version = _shown(session, account, found, now), found.version
    if isinstance(outcome, ProgrammeRefused):
        raise outcome.error
    return tagged(body, version=version)


@blp.post("/v1/experiments/<uuid:experiment_id>/before/decline")
@blp.repeatable
@blp.answers(200, ExperimentSchema, example=_LEFT_EXAMPLE)
@blp.etag
@blp.problems("not-found", "nothing-to-set-back")
def decline_before(experiment_id: UUID) -> Response:
    """Leave the device as the trial left it

    A new trial then starts from there.
    """
    now = services().now()
    with transaction() as session:
        account = current_account(session)
        found = trials.get(session, account.id, experiment_id, lock=True)
        before.decline(session, found, now=now)
        body, version = _shown(session, account, found, now), found.version
    return tagged(body, version=version)


_power_shown = writer(ExperimentPowerSchema)


def _power(found: Power) -> dict[str, Any]:
    return _power_shown(found, least_pairs=preview.least_pairs(found.plan.block_days))


def _shown(session: Session, account: Caller, found: Experiment, now: datetime) -> dict[str, Any]:
    return experiment_shown(session, found, before_trials(session, account), now)
