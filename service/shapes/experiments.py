"""What a trial, its plan and its result look like in the API."""

from typing import get_args

import marshmallow as ma

from cymba.insights.experiments.preview import OFFERED
from cymba.insights.experiments.results import LEAST_ADHERENCE, DeviationCode
from cymba.insights.experiments.trials import MAX_PAIRS
from cymba.insights.outcomes import PRIMARY_OUTCOMES
from cymba.insights.statistics.trial import MIN_PAIRS
from cymba.stimulation.wire.messages import DEVICE_ID_PATTERN
from service.http.fields import Pattern, Schema, Text, Whole
from service.shapes.programmes import (
    BEFORE_TRIAL_EXAMPLE,
    PROGRAMME_EXAMPLE,
    LimitsSchema,
    ShownProgrammeSchema,
    before_trial_field,
)

MAX_BLOCK_DAYS = 14
STATUSES = ("running", "stopped", "finished")

WANTED_EXAMPLE = {
    "device_id": "ey5f0c4e0b7c1d2a39",
    "outcome": "pain_now",
    "pairs": 21,
    "block_days": 2,
    "comparison_amplitude_ua": 0,
}
PLAN_EXAMPLE = {
    "outcome": "pain_now",
    "device_id": "ey5f0c4e0b7c1d2a39",
    "pairs": 21,
    "block_days": 2,
    "first_day": "2026-03-02",
    "time_zone": "Europe/Berlin",
    "arms": {
        "full": {"programme": PROGRAMME_EXAMPLE, "limits": {"amplitude_ua": 4000}},
        "comparison": {
            "programme": PROGRAMME_EXAMPLE | {"amplitude_ua": 0},
            "limits": {"amplitude_ua": 0},
        },
    },
    "test": "randomisation over pairs, two-sided, 0.05, by the blocks as planned",
}
BLOCK_EXAMPLE = {
    "number": 0,
    "pair": 0,
    "first_day": "2026-03-02",
    "last_day": "2026-03-03",
    "arm": "comparison",
    "agreed_at": "2026-03-01T20:11:00Z",
    "programme_version": 4,
}
EXPERIMENT_EXAMPLE = WANTED_EXAMPLE | {
    "id": "c1d2e3f4-a5b6-4789-8abc-def012345678",
    "first_day": "2026-03-02",
    "time_zone": "Europe/Berlin",
    "plan": PLAN_EXAMPLE,
    "seal": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "seed": None,
    "status": "running",
    "stop_reason": None,
    "sealed_at": "2026-03-01T18:00:00Z",
    "ended_at": None,
    "blocks": [BLOCK_EXAMPLE],
    "deviations": [{"block": 0, "code": "no_session", "days": 1}],
    "result": None,
    "before_trial": None,
    "sentence": None,
    "version": 2,
}
NUMBERS_EXAMPLE = {"effect": -0.84, "low": -1.43, "high": -0.24, "p": 0.0117, "pairs": 21, "n": 79}
RESULT_EXAMPLE = NUMBERS_EXAMPLE | {
    "sensitivity": NUMBERS_EXAMPLE | {"left_out_days": 1, "effect": -0.91, "n": 40},
    "completed_pairs": 21,
    "blocks": 42,
    "delivered_blocks": 40,
    "carried_out": True,
    "rated_days": 79,
    "planned_days": 84,
    "input_hash": "6d0c9a4c1c1a5a9b0a5f0f1f7a8f1b6f3f0a7c6f9be2a4f0a1b2c3d4e5f60718",
    "deviations": [{"block": 0, "code": "no_session", "days": 1}],
}
ENDED_EXAMPLE = EXPERIMENT_EXAMPLE | {
    "status": "finished",
    "seed": "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00",
    "ended_at": "2026-05-27T02:00:10Z",
    "result": RESULT_EXAMPLE,
    "before_trial": BEFORE_TRIAL_EXAMPLE,
    "sentence": "In your trial, next-morning pain now was 0.8 points lower (0.2 to 1.4) on days "
    "with the full programme.",
    "version": 30,
}
POWER_EXAMPLE = {
    "pairs": 21,
    "block_days": 2,
    "days": 84,
    "smallest_difference": 1.12,
    "power": 0.72,
    "minimal_difference": 1.0,
    "least_pairs": 10,
    "sd": 1.6,
    "phi": 0.55,
    "rated": 0.84,
    "rated_again": 0.88,
    "used": 0.91,
    "from_own_diary": True,
}


def _outcome() -> Text:
    return Text(required=True, validate=ma.validate.OneOf(PRIMARY_OUTCOMES))


def _block_days() -> Whole:
    return Whole(
        load_default=OFFERED[0].block_days,
        validate=ma.validate.Range(min=1, max=MAX_BLOCK_DAYS),
        metadata={"description": "Days of one block"},
    )


def _pairs() -> Whole:
    return Whole(
        load_default=OFFERED[0].pairs,
        validate=ma.validate.Range(min=MIN_PAIRS, max=MAX_PAIRS),
        metadata={"description": "Short blocks need more than six: `least_pairs` of the preview"},
    )


class PlanWantedSchema(Schema):
    pairs = _pairs()
    block_days = _block_days()


class PowerQuestionSchema(Schema):
    outcome = _outcome()
    plans = ma.fields.List(
        ma.fields.Nested(PlanWantedSchema),
        load_default=lambda: [plan._asdict() for plan in OFFERED],
        validate=ma.validate.Length(min=1, max=4),
        metadata={"description": "The two that are offered if absent"},
    )


class PowerSchema(Schema):
    """By simulation of the very test, with people who rate and stimulate as this person does."""

    pairs = ma.fields.Integer(required=True)
    block_days = ma.fields.Integer(required=True)
    days = ma.fields.Integer(required=True)
    smallest_difference = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "That the trial finds with probability .8, in points; null: none that "
            "is worth a trial"
        },
    )
    power = ma.fields.Float(
        required=True,
        metadata={"description": "The probability of finding `minimal_difference`"},
    )
    minimal_difference = ma.fields.Float(
        required=True, metadata={"description": "The smallest that matters, in points"}
    )
    least_pairs = ma.fields.Integer(
        required=True,
        metadata={"description": "A trial of such blocks takes no fewer: gaps cost whole pairs"},
    )
    sd = ma.fields.Float(
        required=True, metadata={"description": "Of a morning's rating, in points"}
    )
    phi = ma.fields.Float(
        required=True, metadata={"description": "How much a morning resembles the one before"}
    )
    rated = ma.fields.Float(
        required=True, metadata={"description": "Share of mornings with a rating"}
    )
    rated_again = ma.fields.Float(
        required=True, metadata={"description": "The same of mornings after one with a rating"}
    )
    used = ma.fields.Float(
        required=True, metadata={"description": "Share of days with a session, where it is known"}
    )
    from_own_diary = ma.fields.Boolean(
        required=True, metadata={"description": "false: the diary is too short, usual values"}
    )


class PowersSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(PowerSchema), required=True)


class WantedExperimentSchema(Schema):
    device_id = Text(required=True, validate=Pattern(DEVICE_ID_PATTERN))
    outcome = _outcome()
    pairs = _pairs()
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
        metadata={"description": "null until it can be agreed to, and without the seed"},
    )
    agreed_at = ma.fields.DateTime(required=True, allow_none=True)
    programme_version = ma.fields.Integer(required=True, allow_none=True)


class ArmSchema(Schema):
    """What the device is set to in the blocks of one arm."""

    programme = ma.fields.Nested(ShownProgrammeSchema, required=True)
    limits = ma.fields.Nested(
        LimitsSchema,
        required=True,
        metadata={"description": "Narrower than the model's; those left out are the model's"},
    )


class ArmsSchema(Schema):
    full = ma.fields.Nested(ArmSchema, required=True)
    comparison = ma.fields.Nested(ArmSchema, required=True)


class PlanSchema(Schema):
    """All that was decided before the start, as it was sealed: to check the seal, write it as JSON
    with its names in order and without spaces, every number as it stands here."""

    outcome = ma.fields.String(required=True)
    device_id = ma.fields.String(required=True)
    pairs = ma.fields.Integer(required=True)
    block_days = ma.fields.Integer(required=True)
    first_day = ma.fields.Date(required=True)
    time_zone = ma.fields.String(
        required=True, metadata={"description": "IANA; its days begin at 04:00 there"}
    )
    arms = ma.fields.Nested(ArmsSchema, required=True)
    test = ma.fields.String(required=True, metadata={"description": "In words"})


class DeviationSchema(Schema):
    """Where a block that is over was not lived as planned."""

    block = ma.fields.Integer(required=True, metadata={"description": "Its `number`"})
    code = ma.fields.String(
        required=True, validate=ma.validate.OneOf(list(get_args(DeviationCode)))
    )
    days = ma.fields.Integer(
        required=True, metadata={"description": "Days of the block that it concerns"}
    )


class TestedSchema(Schema):
    """null: fewer than six pairs have ratings in both of their blocks."""

    effect = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Full minus comparison days, in points of the outcome on the next "
            "morning"
        },
    )
    low = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Of the 95 % interval of `effect`; null also where it has no lower end"
        },
    )
    high = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Its upper end; null also where it has none"},
    )
    p = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Two-sided, of the randomisation test over the pairs"},
    )
    pairs = ma.fields.Integer(
        required=True, metadata={"description": "With ratings in both of their blocks"}
    )
    n = ma.fields.Integer(required=True, metadata={"description": "Rated days in these pairs"})


class SensitivitySchema(TestedSchema):
    """The same without the first days of each block, where the last block may linger."""

    left_out_days = ma.fields.Integer(required=True, metadata={"description": "Of each block"})


class ResultSchema(TestedSchema):
    """By the plan, whatever was really done. null: fewer than six pairs can be compared."""

    sensitivity = ma.fields.Nested(SensitivitySchema, required=True)
    completed_pairs = ma.fields.Integer(
        required=True, metadata={"description": "That were over when the trial ended"}
    )
    blocks = ma.fields.Integer(required=True, metadata={"description": "Of these pairs"})
    delivered_blocks = ma.fields.Integer(
        required=True,
        metadata={"description": "Of these, that brought the dose that was drawn, by the sessions"},
    )
    carried_out = ma.fields.Boolean(
        required=True,
        metadata={
            "description": f"At least {LEAST_ADHERENCE:.0%} of the blocks brought it, and at least "
            "six pairs can be compared. false: the numbers show no difference, whatever they are"
        },
    )
    planned_days = ma.fields.Integer(required=True, metadata={"description": "Of these pairs"})
    rated_days = ma.fields.Integer(
        required=True, metadata={"description": "Of these with a rating the next morning"}
    )
    input_hash = ma.fields.String(
        required=True, metadata={"description": "Of the ratings and the plan it was made from"}
    )
    deviations = ma.fields.List(
        ma.fields.Nested(DeviationSchema),
        required=True,
        metadata={"description": "As they were known when the trial ended"},
    )


class ExperimentSchema(Schema):
    id = ma.fields.UUID(required=True)
    device_id = ma.fields.String(required=True)
    outcome = ma.fields.String(required=True)
    pairs = ma.fields.Integer(required=True)
    block_days = ma.fields.Integer(required=True)
    comparison_amplitude_ua = ma.fields.Integer(required=True)
    first_day = ma.fields.Date(required=True)
    time_zone = ma.fields.String(required=True)
    plan = ma.fields.Nested(PlanSchema, required=True)
    seal = ma.fields.String(
        required=True,
        metadata={"description": "SHA-256 of the seed followed by the plan as canonical JSON"},
    )
    seed = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Hexadecimal; revealed when the trial has ended. null also of one that "
            "ran when its account came here from another Cymba, where the seed stayed"
        },
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
    result = ma.fields.Nested(
        ResultSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "null until the trial has ended, and of one whose seed is not here"
        },
    )
    before_trial = before_trial_field()
    sentence = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The result in the account's language; show it whole"},
    )
    version = ma.fields.Integer(required=True)


class ExperimentsSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(ExperimentSchema), required=True)
