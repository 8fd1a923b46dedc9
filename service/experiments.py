"""Trials of one's own: planned, sealed, agreed to block by block, and honest about their end."""

from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import marshmallow as ma
from flask import Response
from sqlalchemy.orm import Session

from cymba.accounts import consent
from cymba.accounts.tokens import Caller
from cymba.devices.programme import Refused
from cymba.insights.experiments import trials
from cymba.insights.experiments.plans import Block
from cymba.insights.experiments.trials import AGREE_AHEAD, MAX_PAIRS, MIN_PAIRS
from cymba.insights.outcomes import PRIMARY_OUTCOMES
from cymba.insights.sentences import of_trial
from cymba.insights.tables import Experiment
from cymba.insights.words import Voice
from cymba.stimulation.messages import DEVICE_ID_PATTERN
from service.answers import answer, tagged
from service.bearer import current_account
from service.edge import edge
from service.openapi import Resource
from service.strict import Pattern, Schema, Text, Whole
from service.transaction import transaction

blp = Resource("experiments", "Trials of one's own")

MAX_BLOCK_DAYS = 14
STATUSES = ("running", "stopped", "finished")

WANTED_EXAMPLE = {
    "device_id": "ey5f0c4e0b7c1d2a39",
    "outcome": "pain_now",
    "pairs": 14,
    "block_days": 3,
    "comparison_amplitude_ua": 0,
}
BLOCK_EXAMPLE = {
    "number": 0,
    "pair": 0,
    "first_day": "2026-03-02",
    "last_day": "2026-03-04",
    "arm": "comparison",
    "agreed_at": "2026-03-01T20:11:00Z",
    "programme_version": 4,
}
EXPERIMENT_EXAMPLE = WANTED_EXAMPLE | {
    "id": "c1d2e3f4-a5b6-4789-8abc-def012345678",
    "first_day": "2026-03-02",
    "time_zone": "Europe/Berlin",
    "plan": {"outcome": "pain_now", "pairs": 14, "block_days": 3},
    "seal": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "seed": None,
    "status": "running",
    "stop_reason": None,
    "sealed_at": "2026-03-01T18:00:00Z",
    "ended_at": None,
    "blocks": [BLOCK_EXAMPLE],
    "deviations": [{"block": 0, "code": "no_session", "days": 1}],
    "result": None,
    "sentence": None,
    "version": 2,
}
POWER_EXAMPLE = {
    "pairs": 14,
    "days": 84,
    "smallest_difference": 0.92,
    "sd": 1.6,
    "phi": 0.55,
    "from_own_diary": True,
}


def _outcome() -> Text:
    return Text(required=True, validate=ma.validate.OneOf(PRIMARY_OUTCOMES))


def _block_days() -> Whole:
    return Whole(
        load_default=trials.DEFAULT_BLOCK_DAYS,
        validate=ma.validate.Range(min=1, max=MAX_BLOCK_DAYS),
        metadata={"description": "Days of one block"},
    )


class PowerQuestionSchema(Schema):
    outcome = _outcome()
    block_days = _block_days()
    pairs = ma.fields.List(
        Whole(validate=ma.validate.Range(min=MIN_PAIRS, max=MAX_PAIRS)),
        load_default=lambda: [6, 10, 14, 20],
        validate=ma.validate.Length(min=1, max=8),
    )


class PowerSchema(Schema):
    pairs = ma.fields.Integer(required=True)
    days = ma.fields.Integer(required=True)
    smallest_difference = ma.fields.Float(
        required=True,
        metadata={"description": "That the trial finds with probability .8, in points"},
    )
    sd = ma.fields.Float(required=True)
    phi = ma.fields.Float(
        required=True, metadata={"description": "How much a morning resembles the one before"}
    )
    from_own_diary = ma.fields.Boolean(
        required=True, metadata={"description": "false: the diary is too short, usual values"}
    )


class PowersSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(PowerSchema), required=True)


class WantedExperimentSchema(Schema):
    device_id = Text(required=True, validate=Pattern(DEVICE_ID_PATTERN))
    outcome = _outcome()
    pairs = Whole(
        load_default=trials.DEFAULT_PAIRS,
        validate=ma.validate.Range(min=MIN_PAIRS, max=MAX_PAIRS),
    )
    block_days = _block_days()
    comparison_amplitude_ua = Whole(
        load_default=0,
        validate=ma.validate.Range(min=0, max=60_000),
        metadata={"description": "The most current in comparison blocks; 0: off"},
    )


class StopSchema(Schema):
    reason = Text(required=True, validate=ma.validate.Length(min=1, max=200))


class BlockSchema(Schema):
    number = ma.fields.Integer(required=True)
    pair = ma.fields.Integer(required=True)
    first_day = ma.fields.Date(required=True)
    last_day = ma.fields.Date(required=True)
    arm = ma.fields.String(
        required=True,
        allow_none=True,
        validate=ma.validate.OneOf(["full", "comparison"]),
        metadata={"description": "null until it can be agreed to"},
    )
    agreed_at = ma.fields.DateTime(required=True, allow_none=True)
    programme_version = ma.fields.Integer(required=True, allow_none=True)


class DeviationSchema(Schema):
    block = ma.fields.Integer(required=True)
    code = ma.fields.String(required=True)
    days = ma.fields.Integer(required=True)


class ExperimentSchema(Schema):
    id = ma.fields.UUID(required=True)
    device_id = ma.fields.String(required=True)
    outcome = ma.fields.String(required=True)
    pairs = ma.fields.Integer(required=True)
    block_days = ma.fields.Integer(required=True)
    comparison_amplitude_ua = ma.fields.Integer(required=True)
    first_day = ma.fields.Date(required=True)
    time_zone = ma.fields.String(required=True)
    plan = ma.fields.Dict(required=True, metadata={"description": "As it was sealed"})
    seal = ma.fields.String(
        required=True,
        metadata={"description": "SHA-256 of the seed followed by the plan as canonical JSON"},
    )
    seed = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Hexadecimal; revealed when the trial has ended"},
    )
    status = ma.fields.String(required=True, validate=ma.validate.OneOf(STATUSES))
    stop_reason = ma.fields.String(required=True, allow_none=True)
    sealed_at = ma.fields.DateTime(required=True)
    ended_at = ma.fields.DateTime(required=True, allow_none=True)
    blocks = ma.fields.List(ma.fields.Nested(BlockSchema), required=True)
    deviations = ma.fields.List(
        ma.fields.Nested(DeviationSchema),
        required=True,
        metadata={"description": "Where blocks that are over were not lived as planned"},
    )
    result = ma.fields.Dict(required=True, allow_none=True)
    sentence = ma.fields.String(required=True, allow_none=True)
    version = ma.fields.Integer(required=True)


class ExperimentsSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(ExperimentSchema), required=True)


@blp.post("/v1/experiments/preview")
@blp.body(
    PowerQuestionSchema, example={"outcome": "pain_now", "block_days": 3, "pairs": [6, 14, 20]}
)
@blp.answers(200, PowersSchema, example={"items": [POWER_EXAMPLE]})
def preview_experiment(given: dict[str, Any]) -> Response:
    """Learn what a trial could find, before deciding on one"""
    with transaction() as session:
        account = current_account(session)
        found = trials.power(
            session,
            account.id,
            given["outcome"],
            block_days=given["block_days"],
            pairs=given["pairs"],
        )
    items = [{name: getattr(one, name) for name in POWER_EXAMPLE} for one in found]
    return answer({"items": items})


@blp.post("/v1/experiments")
@blp.body(WantedExperimentSchema, example=WANTED_EXAMPLE)
@blp.answers(201, ExperimentSchema, example=EXPERIMENT_EXAMPLE)
@blp.etag
@blp.problems("not-found", "consent-required", "no-programme", "experiment-running")
def begin_experiment(given: dict[str, Any]) -> Response:
    """Plan a trial and draw its coin

    It begins at the next 04:00 by the person's wall clock. The coin and the plan are sealed now:
    `seal` is published, the seed when the trial has ended. Nothing goes to the device before the
    person agrees to each block.
    """
    now = edge().now()
    with transaction() as session:
        account = current_account(session)
        consent.require(session, account.id, "insights")
        begun = trials.begin(session, account.id, **given, now=now)
        body, version = experiment_shown(session, account, begun, now), begun.version
    return tagged(body, status=201, version=version)


@blp.get("/v1/experiments")
@blp.answers(200, ExperimentsSchema, example={"items": [EXPERIMENT_EXAMPLE]})
@blp.etag
def list_experiments() -> Response:
    """List the trials, the latest first"""
    now = edge().now()
    with transaction() as session:
        account = current_account(session)
        items = [
            experiment_shown(session, account, one, now) for one in trials.mine(session, account.id)
        ]
    return tagged({"items": items})


@blp.get("/v1/experiments/<uuid:experiment_id>")
@blp.answers(200, ExperimentSchema, example=EXPERIMENT_EXAMPLE)
@blp.etag
@blp.problems("not-found")
def get_experiment(experiment_id: UUID) -> Response:
    """Read one trial"""
    now = edge().now()
    with transaction() as session:
        account = current_account(session)
        found = trials.get(session, account.id, experiment_id)
        body, version = experiment_shown(session, account, found, now), found.version
    return tagged(body, version=version)


@blp.post("/v1/experiments/<uuid:experiment_id>/blocks/<int:number>/agree")
@blp.answers(200, ExperimentSchema, example=EXPERIMENT_EXAMPLE)
@blp.etag
@blp.problems(
    "not-found",
    "not-this-blocks-time",
    "experiment-ended",
    "beyond-limits",
    "limits-widened",
    "red-flag",
    "screening-required",
    "screening-outdated",
    "screening-expired",
    "contraindicated",
    "clearance-needed",
)
def agree_to_block(experiment_id: UUID, number: int) -> Response:
    """Agree to one block's programme, which then goes to the device

    Possible from twelve hours before the block begins until it ends. A lock (screening, a red
    flag) holds here as for every programme; a block that is not agreed to is a deviation.
    """
    now = edge().now()
    with transaction() as session:
        account = current_account(session)
        found = trials.get(session, account.id, experiment_id, lock=True)
        outcome = trials.agree(session, edge().programme_key, found, number, now=now)
        body, version = experiment_shown(session, account, found, now), found.version
    if isinstance(outcome, Refused):
        raise outcome.error
    return tagged(body, version=version)


@blp.post("/v1/experiments/<uuid:experiment_id>/stop")
@blp.body(StopSchema, example={"reason": "I do not want to go on"})
@blp.answers(200, ExperimentSchema, example=EXPERIMENT_EXAMPLE)
@blp.etag
@blp.problems("not-found", "experiment-ended")
def stop_experiment(given: dict[str, Any], experiment_id: UUID) -> Response:
    """Stop a trial early

    Always possible. The result rests on the completed pairs, and says that it was stopped.
    """
    now = edge().now()
    with transaction() as session:
        account = current_account(session)
        found = trials.get(session, account.id, experiment_id, lock=True)
        trials.stop(session, found, reason=given["reason"], now=now)
        body, version = experiment_shown(session, account, found, now), found.version
    return tagged(body, version=version)


def experiment_shown(
    session: Session, account: Caller, found: Experiment, now: datetime
) -> dict[str, Any]:
    """A trial as the API shows it (`ExperimentSchema`)."""
    has_ended = found.status != "running"
    agreed = trials.agreements(session, found)
    zone = ZoneInfo(found.time_zone)
    result = found.result
    departed = (
        result["deviations"]
        if result is not None
        else [
            {"block": one.block, "code": one.code, "days": one.days}
            for one in trials.deviations(session, found, now=now)
        ]
    )

    def block_shown(block: Block) -> dict[str, Any]:
        is_told = has_ended or now >= block.begins_at(zone) - AGREE_AHEAD
        agreement = agreed.get(block.number)
        return {
            "number": block.number,
            "pair": block.pair,
            "first_day": block.first_day,
            "last_day": block.last_day,
            "arm": block.arm if is_told else None,
            "agreed_at": agreement.agreed_at if agreement else None,
            "programme_version": agreement.programme_version if agreement else None,
        }

    return {
        "id": found.id,
        "device_id": found.device_id,
        "outcome": found.outcome,
        "pairs": found.pairs,
        "block_days": found.block_days,
        "comparison_amplitude_ua": found.plan["arms"]["comparison"]["limits"]["amplitude_ua"],
        "first_day": found.first_day,
        "time_zone": found.time_zone,
        "plan": found.plan,
        "seal": found.seal,
        "seed": found.seed.hex() if has_ended else None,
        "status": found.status,
        "stop_reason": found.stop_reason,
        "sealed_at": found.sealed_at,
        "ended_at": found.ended_at,
        "blocks": [block_shown(block) for block in trials.all_blocks(found)],
        "deviations": departed,
        "result": result,
        "sentence": of_trial(
            Voice.of(account.locale),
            found.outcome,
            result,
            planned_pairs=found.pairs,
            stopped=found.status == "stopped",
        )
        if result is not None
        else None,
        "version": found.version,
    }
